"""How two numbers of the same items go together: Pearson's and Spearman's correlation, with an
interval over groups of items that belong together.
"""

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.records import Estimate
from gloss.statistics.intervals import estimate_from_draws, small_sample_tail

RESAMPLES = 1000
MOST_WEIGHTS = 1 << 22  # of one block of resamples, so that memory stays bounded

Weights = Float64[ndarray, "draw item"]  # how often each item was drawn


def correlations(
    x: Float64[ndarray, " item"],
    y: Float64[ndarray, " item"],
    groups: Int64[ndarray, " item"],
    rng: np.random.Generator,
) -> tuple[Estimate, Estimate]:
    """Spearman's and Pearson's correlation of finite numbers, with percentile intervals of the
    bootstrap over groups: items of one group are drawn together.

    Missing where either side is constant, or where there are fewer than two groups.

        >>> x = np.arange(30.0)
        >>> spearman, pearson = correlations(x, x**3, np.arange(30), rng)
        >>> spearman.value, pearson.value < 0.95
        (1.0, True)
    """
    names, members = np.unique(groups, return_inverse=True)
    if len(names) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate.missing(), Estimate.missing()
    x, y = ((side - side.mean()) / side.std() for side in (x, y))  # any unit is one
    once = np.ones((1, len(x)))
    spearman, pearson = [spearman_by_weights(x, y, once)], [pearson_by_weights(x, y, once)]
    left = RESAMPLES
    while left > 0:
        rows = min(left, max(1, MOST_WEIGHTS // len(x)))
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), rows)
        weights = drawn[:, members].astype(np.float64)
        spearman.append(spearman_by_weights(x, y, weights))
        pearson.append(pearson_by_weights(x, y, weights))
        left -= rows
    tail = small_sample_tail(len(names))
    ranked, plain = (
        estimate_from_draws(float(found[0][0]), np.concatenate(found[1:]), outside=tail)
        for found in (spearman, pearson)
    )
    return ranked, plain


def spearman_by_weights(
    x: Float64[ndarray, " item"], y: Float64[ndarray, " item"], weights: Weights
) -> Float64[ndarray, " draw"]:
    """The correlation of ranks, as each resample ranks its own items."""
    return pearson_by_weights(weighted_ranks(x, weights), weighted_ranks(y, weights), weights)


def weighted_ranks(values: Float64[ndarray, " item"], weights: Weights) -> Weights:
    """The mean rank of each item among so many copies of all; equal values share theirs."""
    _, levels = np.unique(values, return_inverse=True)
    order = np.argsort(levels, kind="stable")
    begins = np.flatnonzero(np.diff(levels[order], prepend=-1))
    at_level = np.add.reduceat(weights[:, order], begins, axis=1)
    return (np.cumsum(at_level, axis=1) - at_level / 2)[:, levels]


def pearson_by_weights(
    x: Float64[ndarray, "..."], y: Float64[ndarray, "..."], weights: Weights
) -> Float64[ndarray, " draw"]:
    """The correlation in each resample; not a number where a side is constant there."""
    total = weights.sum(1, keepdims=True)
    a, b = (side - (weights * side).sum(1, keepdims=True) / total for side in (x, y))
    both, one, other = ((weights * p).sum(1) for p in (a * b, a * a, b * b))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = both / np.sqrt(one * other)
    return np.where((one > 1e-12) & (other > 1e-12), np.clip(found, -1, 1), np.nan)
