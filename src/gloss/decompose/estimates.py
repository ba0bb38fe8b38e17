"""Ratios of sums over sequences, with intervals from resampled sequences, because tokens of one
sequence resemble each other.
"""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.records import Estimate

RESAMPLES = 1000
TAIL = 0.025  # on each side of a 95 % interval


def ratio_with_interval(
    numerators: Float64[ndarray, " sequence"],
    denominators: Float64[ndarray, " sequence"],
    rng: np.random.Generator,
) -> Estimate:
    """The sum of the numerators over that of the denominators; missing where the latter is 0."""
    total = denominators.sum()
    if total == 0:
        return Estimate.missing()
    drawn = rng.multinomial(
        len(numerators), np.full(len(numerators), 1 / len(numerators)), size=RESAMPLES
    )
    below = drawn @ denominators
    ratios = (drawn @ numerators)[below != 0] / below[below != 0]
    low, high = np.quantile(ratios, [TAIL, 1 - TAIL])
    return Estimate(float(numerators.sum() / total), float(low), float(high))
