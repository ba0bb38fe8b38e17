"""The bootstrap over documents, at the cost of the documents that hold something to count."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

AT_ONCE = 2**22  # counts that are in memory at a time
FEW = 100  # silent documents that are drawn one by one
LARGE = 10.0  # times the mean size


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

    @cached_property
    def largest(self) -> Int64[ndarray, " large"]:
        """Documents so much larger than the others that each is drawn by itself; FEW at most."""
        large = np.flatnonzero(self.sizes > LARGE * self.total / len(self))
        return large[np.argsort(-self.sizes[large], kind="stable")[:FEW]]

    @cached_property
    def most(self) -> float:
        """The size of the largest of all others."""
        return float(np.delete(self.sizes, self.largest).max(initial=0.0))

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
        multinomial law exactly. So do the tokens of the silent ones, where these are few, and those
        of very large ones; of all others the normal law of their sum is drawn, which has their
        mean and variance, within what they can add up to. Costs `resamples`
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
        number = len(self) - len(counted)
        if number <= FEW:
            return picked_tokens(np.delete(self.sizes, counted), drawn, rng)
        alone = self.sizes[np.setdiff1d(self.largest, counted)]
        own = np.concatenate([self.sizes[counted], alone])
        rest = number - len(alone)
        tokens = np.zeros(len(drawn))
        if len(alone):  # one such may hold more than all others, and no normal law has that shape
            theirs = rng.binomial(drawn, len(alone) / number)
            tokens, drawn = picked_tokens(alone, theirs, rng), drawn - theirs
        mean = (self.total - own.sum()) / rest
        variance = max((self.squares - np.square(own).sum()) / rest - mean**2, 0.0)
        others = rng.normal(drawn * mean, np.sqrt(drawn * variance))
        return tokens + np.clip(others, 0.0, drawn * self.most)


def picked_tokens(
    sizes: Float64[ndarray, " document"], drawn: Int64[ndarray, " draw"], rng: np.random.Generator
) -> Float64[ndarray, " draw"]:
    """The tokens of so many draws among these documents, one by one."""
    picked = rng.integers(0, max(len(sizes), 1), int(drawn.sum()))
    rows = np.repeat(np.arange(len(drawn)), drawn)
    return np.bincount(rows, sizes[picked], len(drawn)).astype(np.float64)


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
