"""The bootstrap over documents, at the cost of the documents that hold something to count."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

AT_ONCE = 2**22  # counts that are in memory at a time
FEW = 100  # silent documents that are drawn one by one


@dataclass(frozen=True, eq=False)
class DocumentSizes:
    """The documents of a text, of which a statistic counts something in some, and in the others,
    the silent ones, only how large they are.
    """

    sizes: Float64[ndarray, " document"]  # tokens of each

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def total(self) -> float:
        """Tokens of all documents."""
        return float(self.sizes.sum())

    @cached_property
    def squares(self) -> float:
        """The sum of the squares of all sizes."""
        return float(np.square(self.sizes).sum())

    def resampled_sums(
        self,
        columns: Float64[ndarray, "counted column"],
        counted: Int64[ndarray, " counted"],
        resamples: int,
        rng: np.random.Generator,
    ) -> tuple[Float64[ndarray, "draw column"], Float64[ndarray, " draw"]]:
        """What the columns of the counted documents add up to, and the tokens of the silent ones,
        in each draw of as many documents as there are, with replacement.

        How often each counted document is drawn, and how often a silent one, follows the
        multinomial law exactly. So do the tokens of the silent ones, where these are few; of many,
        the normal law of their sum is drawn, which has their mean and variance. Costs `resamples`
        times the counted documents, however many there are in all.
        """
        among = rng.binomial(len(self), len(counted) / max(len(self), 1), resamples)
        sums = [counts @ columns for counts in drawn_counts(among, len(counted), rng)]
        return np.concatenate(sums), self.silent_tokens(len(self) - among, counted, rng)

    def silent_tokens(
        self,
        drawn: Int64[ndarray, " draw"],
        counted: Int64[ndarray, " counted"],
        rng: np.random.Generator,
    ) -> Float64[ndarray, " draw"]:
        """The tokens of so many draws among the documents that are not counted."""
        number, own = len(self) - len(counted), self.sizes[counted]
        if number <= FEW:
            sizes = np.delete(self.sizes, counted)
            picked = rng.integers(0, max(number, 1), int(drawn.sum()))
            rows = np.repeat(np.arange(len(drawn)), drawn)
            return np.bincount(rows, sizes[picked], len(drawn)).astype(np.float64)
        mean = (self.total - own.sum()) / number
        variance = max((self.squares - np.square(own).sum()) / number - mean**2, 0.0)
        return rng.normal(drawn * mean, np.sqrt(drawn * variance))


def drawn_counts(
    drawn: Int64[ndarray, " draw"], items: int, rng: np.random.Generator
) -> Iterator[Float64[ndarray, "draw item"]]:
    """How often each of so many items comes up in so many draws with replacement, some rows at a
    time.
    """
    rows = max(1, AT_ONCE // max(items, 1))
    for first in range(0, len(drawn), rows):
        each = drawn[first : first + rows]
        cells = np.repeat(np.arange(len(each)) * items, each)
        if items:
            small = np.uint16 if items <= np.iinfo(np.uint16).max else np.int64
            cells += rng.integers(0, items, len(cells), dtype=small)
        counts = np.bincount(cells, minlength=len(each) * items)
        yield counts.reshape(len(each), items).astype(np.float64)
