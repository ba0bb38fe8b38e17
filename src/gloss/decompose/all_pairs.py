"""How close all pairs of features of two dictionaries are, computed some at a time, because all of
them need not fit into memory; and who goes with whom.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

AT_ONCE = 2**24  # pairs, or a single feature's, that are held besides


@dataclass(frozen=True, eq=False)
class AllPairs:
    """How close each feature of one side is to each of another's, computed when it is asked for.

    `rows` gives new arrays, which who asks may change.

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


@dataclass(frozen=True, eq=False, slots=True)
class Partners:
    """The one right feature at most that goes with each left one."""

    of_left: Int64[ndarray, " left"]  # -1 where there is none
    closeness: Float32[ndarray, " left"]  # not a number where there is none
    # what the closeness of no one-to-one partners adds up to more than; None where nobody knows
    most: float | None = None

    @staticmethod
    def of_some(
        left: int, rows: ndarray, columns: ndarray, closeness: ndarray, most: float | None
    ) -> "Partners":
        """Of so many features those of some; the others have none."""
        partner, found = np.full(left, -1, np.int64), np.full(left, np.nan, np.float32)
        partner[rows], found[rows] = columns, closeness
        return Partners(partner, found, most)

    @property
    def total(self) -> float:
        """What their closeness adds up to."""
        return float(np.nansum(self.closeness, dtype=np.float64))

    @property
    def gap(self) -> float | None:
        """The share of the most that there can be by which these may fall short of the best."""
        if self.most is None:
            return None
        return max(0.0, 1 - self.total / self.most) if self.most > 0 else 0.0
