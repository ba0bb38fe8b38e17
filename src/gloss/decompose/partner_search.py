"""Who goes with whom: partners of the features of one dictionary among those of another, from how
close all pairs are.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from scipy.optimize import linear_sum_assignment

from gloss.decompose.all_pairs import AllPairs, Partners
from gloss.decompose.sparse_assignment import assign_among_nearest

# features of which all pairs are held: what these cost fills 2 GiB, and the time grows with the
# cube
MOST = 16_384
GAP, ROUNDS = 0.001, 6  # of more: how much the best partners may have more, and passes over pairs
EMPTY = np.empty(0, np.int64)
HUNGARIAN, MUTUAL_NEAREST = "hungarian", "mutual_nearest"  # as entry points are called


def assign(pairs: AllPairs, exact: int = MOST, gap: float = GAP, rounds: int = ROUNDS) -> Partners:
    """One to one so that closeness adds up to the most (Kuhn, 1955); of more than `exact` features
    on a side, to so much but for the share `gap`, unless so many rounds do not show it.
    """
    if max(pairs.shape) > exact:
        return assign_among_nearest(pairs, gap, rounds)
    return assign_all(pairs)


def assign_all(pairs: AllPairs) -> Partners:
    """The best partners of all; whoever is left over on the larger side has none. Holds all pairs,
    as doubles.
    """
    left, right = pairs.shape
    # as scipy wants it, which copies it otherwise: doubles, to be made small, no longer than wide
    cost = np.empty((min(left, right), max(left, right)))
    for rows, columns, values in pairs.tiles():
        if left <= right:
            np.negative(values, out=cost[rows, columns])
        else:
            np.negative(values.T, out=cost[columns, rows])
    short, long = linear_sum_assignment(cost)
    rows, columns = (short, long) if left <= right else (long, short)
    closeness = -cost[short, long]
    return Partners.of_some(left, rows, columns, closeness, float(closeness.sum()))


def mutual_nearest(pairs: AllPairs) -> Partners:
    """Those that are each other's nearest; the others have no partner. Holds few pairs at a time.

    >>> left, right = np.array([[1, 0], [0.8, 0.6]], np.float32), np.eye(2, dtype=np.float32)
    >>> mutual_nearest(AllPairs.of_directions(left, right)).of_left.tolist()
    [0, -1]
    """
    left, right = pairs.shape
    near = Nearest.of(pairs)
    rows = np.flatnonzero(near.of_right[near.of_left] == np.arange(left)) if right else EMPTY
    return Partners.of_some(left, rows, near.of_left[rows], near.closeness[rows], None)


@dataclass(frozen=True, eq=False, slots=True)
class Nearest:
    """The nearest of the other side, of each feature; several may have the same."""

    of_left: Int64[ndarray, " left"]
    closeness: Float32[ndarray, " left"]
    of_right: Int64[ndarray, " right"]
    closeness_of_right: Float32[ndarray, " right"]

    @staticmethod
    def of(pairs: AllPairs) -> "Nearest":
        """In one pass over all pairs, of which few are held at a time."""
        left, right = pairs.shape
        of_left, closest = np.zeros(left, np.int64), np.full(left, -np.inf, np.float32)
        of_right, closest_there = np.zeros(right, np.int64), np.full(right, -np.inf, np.float32)
        for rows, columns, values in pairs.tiles():
            _join(of_left[rows], closest[rows], values, columns.start)
            _join(of_right[columns], closest_there[columns], values.T, rows.start)
        return Nearest(of_left, closest, of_right, closest_there)

    def wanted_by_several(self, least: float) -> Int64[ndarray, " left"]:
        """The left features that are the nearest of several right ones, as close as this."""
        wanted = self.of_right[self.closeness_of_right >= least]
        return np.flatnonzero(np.bincount(wanted, minlength=len(self.of_left)) > 1)


def _join(nearest: ndarray, closest: ndarray, values: ndarray, begin: int) -> None:
    """Take over into the first two, in place, those columns from `begin` on that are nearer."""
    better = np.flatnonzero(values.max(1) > closest)
    some = values[better]
    at = some.argmax(1)
    nearest[better], closest[better] = at + begin, some[np.arange(len(better)), at]
