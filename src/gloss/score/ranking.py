"""How well a value ranks firing contexts above silent ones: AUROC (Hanley and McNeil, 1982) and AUPRC, with intervals."""

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.records import Estimate
from gloss.score.intervals import drawn_apart, from_draws, widened


def ranked(
    values: Float64[ndarray, " context"],
    firing: Bool[ndarray, " context"],
    hard: Bool[ndarray, " context"],
    share_firing: float,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """AUROC and AUPRC of values that should be higher where the feature fires.

    A value that is not a number failed: it loses against every context of the other kind, and claims nothing for precision.
    `auprc_at_base_rate` weighs firing contexts and silent ones drawn at random (not `hard`) as they come in text.
    Contexts are drawn with replacement, firing and silent ones apart.
    """
    failed = np.isnan(values)
    lost = np.where(failed, np.where(firing, -np.inf, np.inf), values)
    silent = np.where(failed, -np.inf, values)
    draws = np.vstack([np.ones(len(values)), drawn_apart(firing, rng)])
    plain = max(1, int((~firing & ~hard).sum()))
    weights = np.where(firing, share_firing / max(1, int(firing.sum())), np.where(hard, 0.0, (1 - share_firing) / plain))
    found = {
        "auroc": auroc(draws, lost, firing),
        "auprc": auprc(draws, silent, firing),
        "auprc_at_base_rate": auprc(draws * weights, silent, firing),
    }
    fewest = min(int(firing.sum()), int((~firing).sum()))
    if fewest < 2:
        return {name: Estimate(float(value[0]), np.nan, np.nan) for name, value in found.items()}
    return {name: from_draws(float(value[0]), value[1:], outside=widened(fewest)) for name, value in found.items()}


def levels(counts: Float64[ndarray, "draw context"], values: Float64[ndarray, " context"]) -> Float64[ndarray, "draw level"]:
    """The counts added up by value, the highest first."""
    distinct, level = np.unique(-values, return_inverse=True)
    return counts @ (level[:, None] == np.arange(len(distinct))).astype(np.float64)


def auroc(
    draws: Float64[ndarray, "draw context"], values: Float64[ndarray, " context"], firing: Bool[ndarray, " context"]
) -> Float64[ndarray, " draw"]:
    """The share of pairs of a firing and a silent context in which the firing one is higher; ties count half."""
    up, down = levels(draws * firing, values), levels(draws * ~firing, values)
    below = down.sum(1, keepdims=True) - np.cumsum(down, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (up * (below + down / 2)).sum(1) / (up.sum(1) * down.sum(1))


def auprc(
    draws: Float64[ndarray, "draw context"], values: Float64[ndarray, " context"], firing: Bool[ndarray, " context"]
) -> Float64[ndarray, " draw"]:
    """Average precision: ties together, the sum over values of gained recall times precision."""
    with np.errstate(invalid="ignore", divide="ignore"):
        up, all_of_them = levels(draws * firing, values), levels(draws, values)
        precision = np.nan_to_num(np.cumsum(up, 1) / np.cumsum(all_of_them, 1))
        return (up * precision).sum(1) / up.sum(1)
