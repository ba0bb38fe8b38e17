"""95 % intervals: the bootstrap, Student's t (1908), Welch's (1947), Wilson's (1927), Jeffreys'.

The bootstrap is the percentile one (Efron, 1979; Hesterberg, 2015).
"""

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from numpy import ndarray

from gloss.records import Estimate

OUTSIDE = 0.025  # at each end
NORMAL_QUANTILE = 1.959963984540054  # of 1 - OUTSIDE
MOST_DRAWN_AT_ONCE = 1 << 22  # items over all resamples of one block, so that memory stays bounded


def bootstrap(
    statistic: Callable[..., Any],
    *arrays: Shaped[ndarray, " item"],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Estimate:
    """The statistic of paired arrays, with the percentile interval of its values on items drawn
    with replacement.

    `statistic` is given the arrays with any leading axes and works along the last: `lambda x:
    x.mean(axis=-1)`. Items must be independent (Efron, 1979): resample documents or contexts, not
    neighbouring tokens. Resamples on which the statistic is not a number (no positive was drawn)
    are left out; with fewer than two items, or no number at all, the estimate is missing. Raises
    ValueError where the arrays differ in length.

        >>> values = np.arange(20.0)
        >>> found = bootstrap(lambda x: x.mean(axis=-1), values, rng=rng)
        >>> found.value, found.low < 9.5 < found.high
        (9.5, True)
    """
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1:
        raise ValueError(
            f"bootstrap was given arrays of lengths {sorted(lengths)}, wants one or more of equal"
            " length"
        )
    items = lengths.pop()
    if items < 2:
        return Estimate.missing()
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(statistic(*arrays))
        draws = draw_with_replacement(statistic, *arrays, rng=rng, resamples=resamples)
    return estimate_from_draws(value, draws, outside=small_sample_tail(items))


def draw_with_replacement(
    statistic: Callable[..., Any],
    *arrays: Shaped[ndarray, " item"],
    rng: np.random.Generator,
    resamples: int,
) -> Float64[ndarray, " draw"]:
    """The statistic of as many items, drawn with replacement, so many times."""
    items = len(arrays[0])
    found: list[ndarray] = []
    for rows in block_sizes(resamples, items):
        drawn = rng.integers(0, items, size=(rows, items))
        found.append(np.asarray(statistic(*(array[drawn] for array in arrays)), dtype=np.float64))
    return np.concatenate(found)


def block_sizes(resamples: int, items: int) -> Iterator[int]:
    """How many resamples of so many items are made at a time."""
    most = max(1, MOST_DRAWN_AT_ONCE // max(items, 1))
    for first in range(0, resamples, most):
        yield min(most, resamples - first)


def bootstrap_difference(
    statistic: Callable[..., Any],
    one: Float64[ndarray, " item"],
    other: Float64[ndarray, " item_"],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Estimate:
    """The statistic of one sample less that of another, each drawn with replacement by itself;
    missing for fewer than two items of either.
    """
    fewest = min(len(one), len(other))
    if fewest < 2:
        return Estimate.missing()
    drawn = (
        draw_with_replacement(statistic, side, rng=rng, resamples=resamples)
        for side in (one, other)
    )
    value = float(statistic(one)) - float(statistic(other))
    return estimate_from_draws(value, next(drawn) - next(drawn), outside=small_sample_tail(fewest))


def resample_by_side(
    firing: Bool[ndarray, " context"], rng: np.random.Generator, resamples: int = 1000
) -> Float64[ndarray, "draw context"]:
    """How often each context is drawn in each resample, with as many firing and as many inactive
    ones as there are.
    """
    counts = np.zeros((resamples, len(firing)))
    for side in (firing, ~firing):
        if number := int(side.sum()):
            counts[:, side] = rng.multinomial(number, np.full(number, 1 / number), resamples)
    return counts


def small_sample_tail(items: int) -> float:
    """The tail to cut off so that few items cover 95 % too: resampled spread is sqrt((n-1)/n) too
    narrow, and not Student's.
    """
    freedom = items - 1
    return NormalDist().cdf(-math.sqrt(items / freedom) * student_quantile(freedom))


def estimate_from_draws(
    value: float, draws: Float64[ndarray, " draw"], *, outside: float = OUTSIDE
) -> Estimate:
    """The value with the draws' interval, `outside` of them cut off at each end.

    Widened where it would leave the value out.
    """
    finite = draws[np.isfinite(draws)]
    if not math.isfinite(value) or len(finite) == 0:
        return Estimate.missing()
    finite.sort()  # a copy; NumPy's quantile takes several times as long as this
    low, high = (quantile_of_sorted(finite, share) for share in (outside, 1 - outside))
    return Estimate(value, min(low, value), max(high, value))


def quantile_of_sorted(values: Float64[ndarray, " draw"], share: float) -> float:
    """The quantile of values in rising order, by a straight line between neighbours, to the last
    bit as `np.quantile` has it.

        >>> quantile_of_sorted(np.array([0.0, 1.0, 3.0]), 0.75)
        2.0
    """
    place = (len(values) - 1) * share
    below = min(math.floor(place), len(values) - 1)
    low, high = float(values[below]), float(values[min(below + 1, len(values) - 1)])
    along = place - below
    step = high - low
    return high - step * (1 - along) if along >= 0.5 else low + step * along


def wilson_interval(successes: int, trials: int) -> Estimate:
    """A share of independent trials with its interval (Wilson, 1927); missing where there were
    none.

        >>> wilson_interval(20, 20).low > 0.8
        True
    """
    if trials == 0:
        return Estimate.missing()
    share, z = successes / trials, NORMAL_QUANTILE
    denominator = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / denominator
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / denominator
    return Estimate(share, min(max(0.0, centre - half), share), max(min(1.0, centre + half), share))


def draw_rates(
    successes: int, trials: int, *, rng: np.random.Generator, draws: int = 2000
) -> Float64[ndarray, " draw"]:
    """Rates that could lie behind a count, so that 20 of 20 is not certainty: draws of Jeffreys'
    posterior, Beta(successes + 1/2, failures + 1/2).
    """
    return rng.beta(successes + 0.5, trials - successes + 0.5, size=draws)


def student_quantile(freedom: int | float) -> float:
    """What Student's t exceeds on either side in 5 % of cases: 12.71 with one degree of freedom,
    1.96 with very many.
    """
    from scipy.special import stdtrit  # slow to import, and few commands ask

    return float(stdtrit(freedom, 1 - OUTSIDE))


def student_interval(values: Float64[ndarray, " run"]) -> Estimate:
    """The mean of a few independent numbers with its interval (Student, 1908).

    Missing for fewer than two.

        >>> found = student_interval(np.array([1.0, 2.0, 3.0]))
        >>> round(found.low, 2), found.value, round(found.high, 2)
        (-0.48, 2.0, 4.48)
    """
    if len(values) < 2:
        return Estimate.missing()
    mean, half = (
        float(values.mean()),
        student_quantile(len(values) - 1.0) * float(values.std(ddof=1)) / math.sqrt(len(values)),
    )
    return Estimate(mean, mean - half, mean + half)


def bounded(estimate: Estimate, least: float = 0.0, most: float = 1.0) -> Estimate:
    """The same, of a number that cannot lie outside these bounds: nor can its interval.

    >>> bounded(Estimate(0.9, 0.7, 1.1))
    Estimate(value=0.9, low=0.7, high=1.0)
    """
    # a missing end stays one, because nothing is larger or smaller than it
    return Estimate(estimate.value, max(estimate.low, least), min(estimate.high, most))


def welch_interval(one: Float64[ndarray, " run"], other: Float64[ndarray, " run_"]) -> Estimate:
    """The difference of two means of independent numbers, with Welch's interval (1947); missing for
    fewer than two of either.
    """
    if min(len(one), len(other)) < 2:
        return Estimate.missing()
    parts = [float(values.var(ddof=1)) / len(values) for values in (one, other)]
    difference, variance = float(one.mean() - other.mean()), sum(parts)
    if variance == 0:
        return Estimate(difference, difference, difference)
    freedom = variance**2 / sum(
        part**2 / (len(v) - 1) for part, v in zip(parts, (one, other), strict=True)
    )
    half = student_quantile(freedom) * math.sqrt(variance)
    return Estimate(difference, difference - half, difference + half)


RATIO_RESAMPLES = 1000


def ratio_with_interval(
    numerators: Float64[ndarray, " sequence"],
    denominators: Float64[ndarray, " sequence"],
    rng: np.random.Generator,
) -> Estimate:
    """The sum of the numerators over that of the denominators, with the bootstrap's interval over
    sequences; missing where the denominators sum to 0.
    """
    total = denominators.sum()
    if total == 0:
        return Estimate.missing()
    items, above, below = len(numerators), list[ndarray](), list[ndarray]()
    for rows in block_sizes(RATIO_RESAMPLES, items):
        drawn = rng.multinomial(items, np.full(items, 1 / items), size=rows)
        above.append(drawn @ numerators)
        below.append(drawn @ denominators)
    divisors = np.concatenate(below)
    ratios = np.concatenate(above)[divisors != 0] / divisors[divisors != 0]
    low, high = np.quantile(ratios, [OUTSIDE, 1 - OUTSIDE])
    return Estimate(float(numerators.sum() / total), float(low), float(high))


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
    half = student_quantile(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, max(least, mean - half), mean + half)
