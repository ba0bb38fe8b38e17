"""R2 over all masks alike, from masks of any sizes that were each predicted by all the others."""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.game import ValuedMasks
from gloss.attribute.solve.index_weights import log_choices
from gloss.records import Estimate
from gloss.statistics.intervals import small_sample_tail

RESAMPLES = 1000
MOST_AT_ONCE = 1 << 22


def left_out_r2(
    used: ValuedMasks, predicted: Float64[ndarray, " mask"], rng: np.random.Generator
) -> Estimate:
    """1 - squared error over squared deviation from the mean, each mask weighing as much as its
    size is likely where each player is kept with probability 1/2.

    The interval is the percentile bootstrap's over masks, widened by Student's t for as many as
    weigh. Missing where all values are the same.
    """
    values, n = used.values, used.masks.shape[1]
    sizes = used.masks.sum(axis=1)
    there = np.bincount(sizes, minlength=n + 1)
    weights = np.exp(log_choices(n) - n * np.log(2))[sizes] / there[sizes]
    weights /= weights.sum()
    spread = values - weights @ values
    if not (weights @ spread**2) > 1e-24 * max(1.0, float(weights @ values**2)):
        return Estimate.missing()
    error = (values - predicted) ** 2
    point = 1 - float(weights @ error / (weights @ spread**2))
    each = np.stack([weights, weights * spread, weights * spread**2, weights * error], axis=1)
    found: list[ndarray] = []
    rows = max(1, min(RESAMPLES, MOST_AT_ONCE // len(values)))
    while sum(map(len, found)) < RESAMPLES:
        counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), rows)
        total, first, second, missed = (counts @ each).T
        found.append(1 - missed / np.maximum(second - first**2 / total, 1e-300))
    tail = small_sample_tail(max(2, int(1 / (weights**2).sum())))
    low, high = np.quantile(np.concatenate(found), (tail, 1 - tail))
    return Estimate(point, min(float(low), point), max(float(high), point))
