"""Means over prompts with 95 % intervals by Student's t (1908)."""

import math

from jaxtyping import Float64
from numpy import ndarray

from gloss.records import Estimate

NORMAL_QUANTILE = 1.959963984540054
# by degrees of freedom
STUDENT = (math.inf, 12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)


def mean_with_interval(values: Float64[ndarray, " prompt"], least: float = -math.inf) -> Estimate:
    """The mean of independent values, none of which can be below `least`.

    One value bounds nothing: its interval has no end. A mean that is not a number, because a value
    is not, is a missing estimate.
    """
    mean = float(values.mean())
    if not math.isfinite(mean):
        return Estimate.missing()
    if len(values) == 1:
        return Estimate(mean, least, math.inf)
    half = (
        tabulated_student_quantile(len(values) - 1)
        * float(values.std(ddof=1))
        / math.sqrt(len(values))
    )
    return Estimate(mean, max(least, mean - half), mean + half)


def tabulated_student_quantile(freedom: int) -> float:
    """What a tail of 2.5 % lies beyond.

    From ten degrees of freedom on it comes from an expansion (Fisher, 1926).
    """
    if freedom < len(STUDENT):
        return STUDENT[freedom]
    z = NORMAL_QUANTILE
    first = (z**3 + z) / (4 * freedom)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return z + first + second + third
