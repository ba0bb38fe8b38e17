"""How close all pairs of features of two dictionaries are, computed some at a time, because all of
them need not fit into memory; and who goes with whom.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray

TILE = (256, 2048)  # features of either side whose closeness fits into a cache
HELD = 2**25  # pairs that are held besides, or a single feature's


Index = Int64[ndarray, " _"] | slice


@dataclass(frozen=True, eq=False)
class AllPairs:
    """How close each feature of one side is to each of another's, computed when it is asked for.

    `some` takes rows and columns, each a slice or indices, and gives new arrays, which who asks may
    change. It is asked for at most `tile` of them where all are. `back` gives the same with the
    sides changed, where this costs less than to turn what `some` gives.

    >>> pairs = AllPairs.of_directions(np.eye(2, dtype=np.float32), np.eye(3, 2, dtype=np.float32))
    >>> pairs.shape, pairs.some(slice(1, 2), slice(None)).tolist()
    ((2, 3), [[0.0, 1.0, 0.0]])
    """

    shape: tuple[int, int]
    some: Callable[[Index, Index], Float32[ndarray, "row column"]]
    tile: tuple[int, int] = TILE
    back: Callable[[], "AllPairs"] | None = None

    @staticmethod
    def of_directions(
        left: Float32[ndarray, "left d"], right: Float32[ndarray, "right d"]
    ) -> "AllPairs":
        """Cosines of directions of length 1."""
        # PyTorch multiplies blocks of this size in half of NumPy's time, and in several threads
        mine, other = (
            torch.from_numpy(np.require(x, requirements=["C", "W"])) for x in (left, right)
        )
        return AllPairs(
            (len(left), len(right)),
            lambda rows, columns: (mine[rows] @ other[columns].T).numpy(),
            TILE,
            lambda: AllPairs.of_directions(right, left),
        )

    def turned(self) -> "AllPairs":
        """The same with the sides changed."""
        if self.back:
            return self.back()
        (left, right), (high, wide) = self.shape, self.tile
        return AllPairs(
            (right, left), lambda rows, columns: self.some(columns, rows).T, (wide, high)
        )

    def square(
        self, rows: Int64[ndarray, " row"], columns: Int64[ndarray, " column"]
    ) -> Float32[ndarray, "row column"]:
        """The closeness of these with those, which is held; worked out a tile's rows at a time."""
        found = np.empty((len(rows), len(columns)), np.float32)
        for top in range(0, len(rows), self.tile[0]):
            part = slice(top, top + self.tile[0])
            found[part] = self.some(rows[part], columns)
        return found

    def tiles(self) -> Iterator[tuple[slice, slice, Float32[ndarray, "_ _"]]]:
        """All of them with their rows and columns, some at a time: of a few rows all, then on.

        No more rows at once than may be held whole.
        """
        left, right = self.shape
        height = max(1, min(self.tile[0], HELD // max(1, right)))
        for top in range(0, left, height):
            rows = slice(top, min(top + height, left))
            for begin in range(0, right, self.tile[1]):
                columns = slice(begin, min(begin + self.tile[1], right))
                yield rows, columns, self.some(rows, columns)


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

    def turned(self, right: int) -> "Partners":
        """The left feature that goes with each of so many right ones."""
        rows = np.flatnonzero(self.of_left >= 0)
        return Partners.of_some(right, self.of_left[rows], rows, self.closeness[rows], self.most)

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
