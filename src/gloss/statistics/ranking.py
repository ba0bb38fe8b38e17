"""How well numbers rank firing contexts above inactive ones, as mixed and at the feature's true
rate, with intervals.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.records import Estimate
from gloss.statistics.intervals import estimate_from_draws

DRAWS = 2000
# of an item, at either end of the ranking; with a half, intervals of nearly perfect rankings lie
# too low
END = 0.25

# how much of a side stands at each level, the highest level first
LevelWeights = Float64[ndarray, "draw level"]


def ranking_estimates(
    firing: Float64[ndarray, " firing"],
    inactive: Float64[ndarray, " inactive"],
    hard: Bool[ndarray, " inactive"],
    share_firing: float,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """AUROC and AUPRC (average precision) of values that should be higher where the feature fires;
    missing where a side is empty.

    A value that is not a number failed: it loses against every context of the other side, and
    claims nothing for precision. `auprc_at_base_rate` weighs firing contexts and inactive ones
    drawn at random (not `hard`) as they come in text, `share_firing` of them firing.
    """
    found, wrong = fill_failed(firing, -np.inf), fill_failed(inactive, -np.inf)
    mixed = len(firing) / max(1, len(firing) + len(inactive))
    return {
        "auroc": estimate_by_weights(area_under_roc, found, fill_failed(inactive, np.inf), rng),
        "auprc": estimate_by_weights(
            partial(average_precision_at_share, share=mixed), found, wrong, rng
        ),
        "auprc_at_base_rate": estimate_by_weights(
            partial(average_precision_at_share, share=share_firing), found, wrong[~hard], rng
        ),
    }


def ranking_placements(
    firing: Float64[ndarray, " firing"], inactive: Float64[ndarray, " inactive"]
) -> tuple[Float64[ndarray, " firing"], Float64[ndarray, " inactive"]]:
    """For each context the share of the other side against which it is ranked rightly (DeLong et
    al., 1988).

    Half for ties, 0 for one that is not a number.
    """
    return share_below(firing, inactive), share_below(-inactive, -firing)


def share_below(
    values: Float64[ndarray, " value"], others: Float64[ndarray, " other"]
) -> Float64[ndarray, " value"]:
    """Of all others the share that lies below each value, equal ones by half."""
    known = np.sort(others[~np.isnan(others)])
    below = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")
    return np.where(np.isnan(values), 0.0, below / 2 / max(1, len(others)))


def ranking_headline(hard: Bool[ndarray, " inactive"]) -> str:
    """The metric to show first: the one that sees explanations that are too broad, where inactive
    contexts were drawn at random.
    """
    return "auroc" if hard.all() else "auprc_at_base_rate"


def fill_failed(values: Float64[ndarray, " context"], value: float) -> Float64[ndarray, " context"]:
    """The values, with `value` in place of those that are not a number."""
    return np.where(np.isnan(values), value, values)


def estimate_by_weights(
    measure: Callable[[LevelWeights, LevelWeights], Float64[ndarray, " draw"]],
    firing: Float64[ndarray, " firing"],
    inactive: Float64[ndarray, " inactive"],
    rng: np.random.Generator,
) -> Estimate:
    """The measure of both sides with the interval of a Bayesian bootstrap (Rubin, 1981); missing
    where a side is empty.

    A quarter of an item is added at each end of either side: the rate above any threshold is then
    drawn from Beta(k + 1/4, n - k + 1/4), so that a perfect ranking of few is not certain.
    """
    if len(firing) == 0 or len(inactive) == 0:
        return Estimate.missing()
    levels = np.unique(np.concatenate([firing, inactive]))[::-1]
    # 0 and the last level hold the ends
    sides = [np.searchsorted(-levels, -side) + 1 for side in (firing, inactive)]
    counts = [
        np.bincount(side, minlength=len(levels) + 2)[None].astype(np.float64) for side in sides
    ]
    drawn = [draw_level_weights(side, len(levels) + 2, rng) for side in sides]
    return estimate_from_draws(float(measure(counts[0], counts[1])[0]), measure(drawn[0], drawn[1]))


def draw_level_weights(
    levels: Int64[ndarray, " item"], number: int, rng: np.random.Generator
) -> LevelWeights:
    """How much of a side could lie at each level, drawn from the levels of its items: shape (draw,
    level).
    """
    drawn = np.zeros((DRAWS, number))
    np.add.at(drawn.T, levels, rng.standard_exponential((len(levels), DRAWS)))
    drawn[:, [0, -1]] += rng.standard_gamma(END, (DRAWS, 2))
    return drawn


def area_under_roc(firing: LevelWeights, inactive: LevelWeights) -> Float64[ndarray, " draw"]:
    """The chance that a firing context ranks above an inactive one; a tie counts half.

    >>> area_under_roc(np.array([[2.0, 0.0]]), np.array([[0.0, 3.0]]))
    array([1.])
    """
    below = inactive.sum(1, keepdims=True) - np.cumsum(inactive, axis=1) + inactive / 2
    return (firing * below).sum(1) / (firing.sum(1) * inactive.sum(1))


def average_precision_at_share(
    firing: LevelWeights, inactive: LevelWeights, share: float
) -> Float64[ndarray, " draw"]:
    """The sum over levels, from the top, of gained recall times precision where this share of
    contexts fires.
    """
    right = share * np.cumsum(firing, axis=1) / firing.sum(1, keepdims=True)
    wrong = (1 - share) * np.cumsum(inactive, axis=1) / inactive.sum(1, keepdims=True)
    precision = np.divide(right, right + wrong, out=np.zeros_like(right), where=right > 0)
    return (firing * precision).sum(1) / firing.sum(1)
