"""What sets add on average: the Banzhaf interaction index of a fit, corrected by what it misses.

A Fourier coefficient is the mean of the value times the signs of its players. A fit's own, plus the
mean of what the fit misses times these signs over masks that it was not fitted to, has no bias
however poor the fit is, and an interval (regression adjustment: Witter, Liu & Musco, 2025, for
Shapley values).
"""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import PlayerSet
from gloss.records import Estimate
from gloss.statistics.intervals import student_quantile

MOST_LARGER_SETS = 64  # sets of two players and more whose average is worked out


def average_effects(
    fourier: Mapping[PlayerSet, float],
    sets: Iterable[PlayerSet],
    masks: Bool[ndarray, "mask player"],
    missed: Float64[ndarray, " mask"],
) -> dict[PlayerSet, Estimate]:
    """For each set the mean, over all masks of the others, of what its players add together beyond
    what fewer of them add: 2^|S| times its Fourier coefficient.

    `missed` is the value less its prediction at uniform masks that were not fitted to.
    """
    removed = np.ascontiguousarray(~masks.T)
    number = len(masks)
    scale = student_quantile(number - 1) / np.sqrt(number)
    found: dict[PlayerSet, Estimate] = {}
    for one in sets:
        terms = np.where(np.logical_xor.reduce(removed[list(one)], axis=0), -missed, missed)
        size = 2.0 ** len(one)
        value = size * (fourier.get(one, 0.0) + float(terms.mean()))
        half = size * scale * float(terms.std(ddof=1))
        found[one] = Estimate(value, value - half, value + half)
    return found


def widen_by_noise(
    averages: Mapping[PlayerSet, Estimate], deviation: float, number: int, players: int
) -> dict[PlayerSet, Estimate]:
    """The same where one value has this deviation: having seen all masks does not take it away.

    The averages are over so many masks.
    """
    seen = number / 2.0 ** min(players, 1000)
    scale = student_quantile(number - 1) * deviation * np.sqrt(min(1.0, seen) / number)
    found: dict[PlayerSet, Estimate] = {}
    for one, each in averages.items():
        half = float(np.hypot(each.high - each.value, 2.0 ** len(one) * scale))
        found[one] = Estimate(each.value, each.value - half, each.value + half)
    return found


def sets_of_interest(fourier: Mapping[PlayerSet, float], players: int) -> list[PlayerSet]:
    """Single players, and the sets that make up most of the variation."""
    larger = sorted(
        (one for one in fourier if len(one) > 1), key=lambda one: (-abs(fourier[one]), one)
    )
    return [*((player,) for player in range(players)), *larger[:MOST_LARGER_SETS]]
