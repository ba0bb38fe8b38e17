"""How well a model of a game predicts masks that it was not fitted to: R2 with its 95 % interval,
resampled by mask.
"""

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.records import Estimate

RESAMPLES = 1000
MOST_AT_ONCE = 1 << 22
NORMAL_QUANTILE = 1.959963984540054


def r2(
    values: Float64[ndarray, " mask"],
    predicted: Float64[ndarray, " mask"],
    rng: np.random.Generator,
) -> Estimate:
    """1 - squared error over squared deviation from the mean: at most 1, below 0 where the mean
    itself predicts better.

    The interval is the percentile bootstrap's, widened for few masks by Student's t. Missing for
    fewer than two masks, or where all values are the same.
    """
    spread = values - values.mean() if len(values) else values
    if len(values) < 2 or not (spread**2).sum() > 1e-24 * max(1.0, float((values**2).sum())):
        return Estimate.missing()
    error = (values - predicted) ** 2
    point = 1 - float(error.sum() / (spread**2).sum())
    low, high = np.quantile(draws(error, spread, rng), (tail := widened(len(values)), 1 - tail))
    return Estimate(point, min(float(low), point), max(float(high), point))


def draws(
    error: Float64[ndarray, " mask"], spread: Float64[ndarray, " mask"], rng: np.random.Generator
) -> Float64[ndarray, " draw"]:
    """R2 on masks drawn with replacement; draws of one mask alone are left out."""
    masks = len(error)
    found: list[ndarray] = []
    left = RESAMPLES
    while left > 0:
        rows = min(left, max(1, MOST_AT_ONCE // masks))
        counts = rng.multinomial(masks, np.full(masks, 1 / masks), rows).astype(np.float64)
        variance = counts @ spread**2 - (counts @ spread) ** 2 / masks
        found.append(1 - (counts @ error)[variance > 0] / variance[variance > 0])
        left -= rows
    return np.concatenate(found)


def widened(items: int) -> float:
    """The tail to cut off at each end, so that few items cover 95 % too (Hesterberg, 2015)."""
    return NormalDist().cdf(
        -math.sqrt(items / (items - 1)) * approximate_student_quantile(items - 1)
    )


def approximate_student_quantile(freedom: int) -> float:
    """What a tail of 2.5 % lies beyond, by an expansion (Fisher, 1926) that is too small below
    three degrees of freedom.
    """
    z = NORMAL_QUANTILE
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
