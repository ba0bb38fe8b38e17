"""How much of what is held out stands in the shown split, too, token for token."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gloss.records import Split
from gloss.store.contexts import prints_of, tiles_of
from gloss.store.corpus import Corpus

LEAST = 8  # tokens: a shorter end of a sequence says nothing
BLOCK = 2**15


@dataclass(frozen=True, slots=True)
class Copied:
    """Held-out windows, and those of them that stand in the shown split."""

    windows: int
    copied: int

    @property
    def share(self) -> float:
        """Of the windows, those that are copies; 0 where there is none."""
        return self.copied / max(1, self.windows)

    def __str__(self) -> str:
        share = f"{self.share:.1%}" if self.share >= 0.001 or not self.copied else f"{self.share:.1e}"
        return f"{share} of the {self.windows:,} held-out windows stand token for token in the shown split"


@lru_cache(maxsize=4)
def copied_windows(corpus: Corpus, width: int) -> Copied:
    """Count the held-out tiles of a corpus that are copies.

    A whole tile is one where its tokens stand anywhere inside a sequence of the shown split; a shorter one, of 8 tokens or
    more, where they end a sequence there, too.
    """
    tiles = tiles_of(corpus, width)
    ends = corpus.offsets[corpus.sequences_of(tiles.starts) + 1]
    lengths = np.minimum(tiles.starts + width, ends) - tiles.starts
    held_out = tiles.by_split[Split.HELD_OUT]
    held_out = held_out[lengths[held_out] >= min(LEAST, width)]
    wanted = tiles.prints[held_out]
    looked_for = np.unique(wanted)
    found = np.isin(looked_for, tiles.prints[tiles.by_split[Split.SHOWN]])
    last = np.repeat(corpus.offsets[1:], np.diff(corpus.offsets)) - width  # where the last whole window of each sequence begins
    starts = np.flatnonzero(corpus.shown & (np.arange(len(corpus)) <= last))
    for first in range(0, len(starts) if len(wanted) else 0, BLOCK):
        there = prints_of(corpus, starts[first : first + BLOCK], width)
        places = np.minimum(np.searchsorted(looked_for, there), len(looked_for) - 1)
        found[places[looked_for[places] == there]] = True
    copied = int(found[np.searchsorted(looked_for, wanted)].sum())
    return Copied(len(wanted), copied)
