"""Who goes with whom: partners of the features of one dictionary among those of another, from how
close all pairs are. These are computed some at a time, because all of them need not fit into
memory.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from scipy.optimize import linear_sum_assignment

# features that are assigned: what so many pairs cost fills 2 GiB, and the time grows with the cube
MOST = 16_384
AT_ONCE = 2**24  # pairs, or a single feature's, that are held besides
HUNGARIAN, MUTUAL_NEAREST = "hungarian", "mutual_nearest"  # as entry points are called

# the column of each row, or -1, and how close it is, or not a number
Partners = tuple[Int64[ndarray, " left"], Float32[ndarray, " left"]]


@dataclass(frozen=True, eq=False)
class AllPairs:
    """How close each feature of one side is to each of another's, computed when it is asked for.

    >>> pairs = AllPairs.of_directions(np.eye(2, dtype=np.float32), np.eye(3, 2, dtype=np.float32))
    >>> pairs.shape, pairs.rows(np.array([1])).tolist()
    ((2, 3), [[0.0, 1.0, 0.0]])
    """

    shape: tuple[int, int]
    rows: Callable[[Int64[ndarray, " row"]], Float32[ndarray, "row right"]]

    @staticmethod
    def of_directions(
        left: Float32[ndarray, "left d"], right: Float32[ndarray, "right d"]
    ) -> "AllPairs":
        """Cosines of directions of length 1."""
        return AllPairs((len(left), len(right)), lambda rows: left[rows] @ right.T)

    def blocks(
        self, rows: Int64[ndarray, " row"] | None = None
    ) -> Iterator[tuple[slice, Float32[ndarray, "_ right"]]]:
        """The rows, or these of them, some at a time, each time with their places."""
        wanted = np.arange(self.shape[0]) if rows is None else rows
        number = max(1, AT_ONCE // max(1, self.shape[1]))
        for begin in range(0, len(wanted), number):
            part = slice(begin, min(begin + number, len(wanted)))
            yield part, self.rows(wanted[part])

    def square(
        self, rows: Int64[ndarray, " row"], columns: Int64[ndarray, " column"]
    ) -> Float32[ndarray, "row column"]:
        """The closeness of these with those."""
        found = np.empty((len(rows), len(columns)), np.float32)
        for part, values in self.blocks(rows):
            found[part] = values[:, columns]
        return found


def usual_matcher(shape: tuple[int, int]) -> str:
    """What finds the partners of so many features where nobody asks for another."""
    return HUNGARIAN if max(shape) <= MOST else MUTUAL_NEAREST


def assign(pairs: AllPairs) -> Partners:
    """One to one so that closeness adds up to the most (Kuhn, 1955); whoever is left over on the
    larger side has no partner. Holds all pairs, as doubles.
    """
    left, right = pairs.shape
    # as scipy wants it, which copies it otherwise: doubles, to be made small, no longer than wide
    cost = np.empty((min(left, right), max(left, right)))
    for part, values in pairs.blocks():
        if left <= right:
            np.negative(values, out=cost[part])
        else:
            np.negative(values.T, out=cost[:, part])
    short, long = linear_sum_assignment(cost)
    rows, columns = (short, long) if left <= right else (long, short)
    return of_rows(left, rows, columns, -cost[short, long])


def mutual_nearest(pairs: AllPairs) -> Partners:
    """Those that are each other's nearest; the others have no partner. Holds few pairs at a time.

    >>> left, right = np.array([[1, 0], [0.8, 0.6]], np.float32), np.eye(2, dtype=np.float32)
    >>> mutual_nearest(AllPairs.of_directions(left, right))[0].tolist()
    [0, -1]
    """
    left, right = pairs.shape
    of_left, closest = np.zeros(left, np.int64), np.full(left, -np.inf, np.float32)
    of_right, closest_there = np.zeros(right, np.int64), np.full(right, -np.inf, np.float32)
    for part, values in pairs.blocks() if right else ():
        of_left[part] = values.argmax(1)
        closest[part] = np.take_along_axis(values, of_left[part, None], 1)[:, 0]
        nearest = values.argmax(0)
        best = values[nearest, np.arange(right)]
        better = best > closest_there
        of_right[better], closest_there[better] = nearest[better] + part.start, best[better]
    rows = np.flatnonzero(of_right[of_left] == np.arange(left)) if right else np.empty(0, np.int64)
    return of_rows(left, rows, of_left[rows], closest[rows])


def of_rows(left: int, rows: ndarray, columns: ndarray, closeness: ndarray) -> Partners:
    """The partners of all rows, from those of some."""
    partner, found = np.full(left, -1, np.int64), np.full(left, np.nan, np.float32)
    partner[rows], found[rows] = columns, closeness
    return partner, found


FINDERS: Mapping[str, Callable[[AllPairs], Partners]] = {
    HUNGARIAN: assign,
    MUTUAL_NEAREST: mutual_nearest,
}
