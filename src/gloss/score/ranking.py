"""How well numbers rank firing contexts above silent ones, as mixed and at the feature's true rate, with intervals."""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.records import Estimate
from gloss.score.intervals import from_draws

DRAWS = 2000
END = 0.25  # of an item, at either end of the ranking; with a half, intervals of nearly perfect rankings lie too low


def ranked(
    firing: Float64[ndarray, " firing"], silent: Float64[ndarray, " silent"], share: float, rng: np.random.Generator
) -> dict[str, Estimate]:
    """`auroc` and `auprc` where this share of contexts fires; missing where a side is empty.

    The intervals are those of a Bayesian bootstrap (Rubin, 1981) with a quarter of an item added at each end of either side:
    the rate above any threshold is then drawn from Beta(k + 1/4, n - k + 1/4), so that a perfect ranking of few is not certain.
    """
    if len(firing) == 0 or len(silent) == 0:
        return {"auroc": Estimate.missing(), "auprc": Estimate.missing()}
    levels = np.unique(np.concatenate([firing, silent]))[::-1]
    sides = [np.searchsorted(-levels, -side) + 1 for side in (firing, silent)]  # 0 and the last level hold the ends
    counts = [np.bincount(side, minlength=len(levels) + 2)[None].astype(np.float64) / len(side) for side in sides]
    drawn = [shares(side, len(levels) + 2, rng) for side in sides]
    values, draws = (
        {"auroc": area(*each), "auprc": average_precision(*each, share)}
        for each in ((counts[0], counts[1]), (drawn[0], drawn[1]))
    )
    return {name: from_draws(float(values[name][0]), draws[name]) for name in values}


def shares(levels: ndarray, number: int, rng: np.random.Generator) -> Float64[ndarray, "draw level"]:
    """What share of a side could lie at each level, from the levels of its items."""
    weights = np.zeros((DRAWS, number))
    np.add.at(weights.T, levels, rng.standard_exponential((len(levels), DRAWS)))
    weights[:, [0, -1]] += rng.standard_gamma(END, (DRAWS, 2))
    return weights / weights.sum(axis=1, keepdims=True)


def area(firing: Float64[ndarray, "draw level"], silent: Float64[ndarray, "draw level"]) -> Float64[ndarray, " draw"]:
    """The chance that a firing context stands above a silent one; half where they tie."""
    below = 1 - np.cumsum(silent, axis=1) + silent / 2
    return (firing * below).sum(axis=1)


def average_precision(
    firing: Float64[ndarray, "draw level"], silent: Float64[ndarray, "draw level"], share: float
) -> Float64[ndarray, " draw"]:
    """The sum over levels, from the top, of gained recall times precision where this share of contexts fires."""
    right, wrong = share * np.cumsum(firing, axis=1), (1 - share) * np.cumsum(silent, axis=1)
    precision = np.divide(right, right + wrong, out=np.zeros_like(right), where=right > 0)
    return (firing * precision).sum(axis=1)
