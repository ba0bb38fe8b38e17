"""What windows of the corpus say, as directions: one index for all features, kept as 16-bit floats
and mapped, not read.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32, Int64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.store.sealed_json import damage_error

STARTS = "starts.npy"
COMPARED = 1024  # windows, each with each, from which chance is told
BY_CHANCE = 0.05  # how often the nearest of unlike windows may count as close


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Where some windows begin, ascending, and a vector of length 1 for each."""

    starts: Int64[ndarray, " window"]  # global token indices
    parts: tuple[Float16[ndarray, "_ d"], ...]  # in the order of the windows

    @staticmethod
    def open(folder: Path) -> "Embeddings":
        """Map an index. Raises BadInput where it is not whole, and Damaged where a file of it is
        not.
        """
        try:
            starts = np.load(folder / STARTS) if (folder / STARTS).exists() else None
            parts = tuple(
                np.load(path, mmap_mode="r") for path in sorted(folder.glob("part-*.npy"))
            )
        except (ValueError, EOFError) as problem:
            raise damage_error(folder, "its arrays cannot be read") from problem
        if starts is None or sum(map(len, parts)) != len(starts):
            raise BadInput(
                f"{folder} holds no whole index of windows; run the experiment again to go on"
                " with it"
            )
        return Embeddings(starts, parts)

    def of_windows(self, rows: Int64[ndarray, " row"]) -> Float32[ndarray, "row d"]:
        """The vectors in these rows of the index, of length 1."""
        begins = np.cumsum([0, *map(len, self.parts)])
        where = np.searchsorted(begins, rows, side="right") - 1
        return np.array(
            [self.parts[part][row - begins[part]] for part, row in zip(where, rows, strict=True)],
            np.float32,
        )

    def cosines(self, rows: Int64[ndarray, " row"]) -> Float32[ndarray, "row window"]:
        """The cosine of the windows in these rows with every window."""
        vectors = self.of_windows(rows)
        return np.concatenate(
            [vectors @ np.asarray(part, np.float32).T for part in self.parts], axis=1
        )

    @cached_property
    def chance(self) -> tuple[float, float]:
        """The median and the spread of the cosine of two windows, as of a normal law.

        The spread is that of the lower half: pairs that are alike lie in the upper one.
        """
        from scipy.special import ndtr  # slow to import, and few runs ask

        some = self.of_windows(
            np.linspace(0, len(self.starts) - 1, min(COMPARED, len(self.starts))).astype(np.int64)
        )
        pairs = (some @ some.T)[np.triu_indices(len(some), 1)]
        if not len(pairs):
            return 1.0, 0.0
        low, median = np.quantile(pairs, (ndtr(-1), 0.5))
        return float(median), float(median - low)

    def least(self, number: int) -> float:
        """The cosine that the nearest of so many windows exceeds in one case of twenty, where no
        two say alike.
        """
        from scipy.special import ndtri

        median, spread = self.chance
        return median + spread * float(ndtri(1 - BY_CHANCE / max(number, 1)))
