"""Shares of windows: those in which a feature fires by chance, and held-out ones that stand in the
train split, too, token for token.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gloss.records import FeatureActivations, Split
from gloss.store.contexts import corpus_windows, window_fingerprints
from gloss.store.corpus import Corpus

LEAST_TOKENS = 8  # tokens: a shorter end of a sequence says nothing
BLOCK = 2**15


def firing_window_share(
    corpus: Corpus, activations: FeatureActivations, split: Split, length: int
) -> float:
    """Of all windows of so many tokens inside a sequence of the split, the share in which the
    feature fires; 0 where none fits.

    Exact: an inactive stretch of g tokens holds g - length + 1 inactive windows. Of a corpus that
    was mined it is estimated, each sequence counted as often as it stands for.
    """
    fired = activations.positions
    inside = corpus.documents_in_train[corpus.documents] == (split is Split.TRAIN)
    firsts, ends = corpus.offsets[:-1], corpus.offsets[1:]
    weights = corpus.weights(activations)
    weights = np.ones(len(firsts), np.int64) if weights is None else weights
    windows = (np.maximum(ends - firsts - length + 1, 0) * weights)[inside].sum()
    if windows == 0:
        return 0.0
    borders = np.concatenate([firsts - 1, ends, fired])
    sequences = np.concatenate(
        [np.arange(len(firsts)), np.arange(len(firsts)), corpus.sequences_of(fired)]
    )
    order = np.lexsort((borders, sequences))
    borders, sequences = borders[order], sequences[order]
    within = (np.diff(sequences) == 0) & inside[sequences[1:]]
    held = np.maximum(np.diff(borders) - length, 0) * weights[sequences[1:]]
    inactive = held[within].sum()
    return float(1 - inactive / windows)


@dataclass(frozen=True, slots=True)
class CopiedWindows:
    """Held-out windows, and those of them that stand in the train split."""

    windows: int
    copied: int
    counted: bool = True  # False: nobody counted them

    @property
    def share(self) -> float:
        """Of the windows, those that are copies; 0 where there is none."""
        return self.copied / max(1, self.windows)

    def __str__(self) -> str:
        if not self.counted:
            return "copies of held-out windows in the train split are not counted in a mined corpus"
        share = (
            f"{self.share:.1%}" if self.share >= 0.001 or not self.copied else f"{self.share:.1e}"
        )
        return (
            f"{share} of the {self.windows:,} held-out windows stand token for token in the train"
            " split"
        )


@lru_cache(maxsize=4)
def count_copied_windows(corpus: Corpus, width: int) -> CopiedWindows:
    """Count the held-out windows of a corpus that are copies.

    A whole window is one where its tokens stand anywhere inside a sequence of the train split; a
    shorter one, of 8 tokens or more, where they end a sequence there, too.
    """
    windows = corpus_windows(corpus, width)
    ends = corpus.offsets[corpus.sequences_of(windows.starts) + 1]
    lengths = np.minimum(windows.starts + width, ends) - windows.starts
    held_out = windows.by_split[Split.HELD_OUT]
    held_out = held_out[lengths[held_out] >= min(LEAST_TOKENS, width)]
    wanted = windows.fingerprints[held_out]
    looked_for = np.unique(wanted)
    found = np.isin(looked_for, windows.fingerprints[windows.by_split[Split.TRAIN]])
    # where the last whole window of each sequence begins
    last = np.repeat(corpus.offsets[1:], np.diff(corpus.offsets)) - width
    starts = np.flatnonzero(corpus.in_train & (np.arange(len(corpus)) <= last))
    for first in range(0, len(starts) if len(wanted) else 0, BLOCK):
        there = window_fingerprints(corpus, starts[first : first + BLOCK], width)
        places = np.minimum(np.searchsorted(looked_for, there), len(looked_for) - 1)
        found[places[looked_for[places] == there]] = True
    copied = int(found[np.searchsorted(looked_for, wanted)].sum())
    return CopiedWindows(len(wanted), copied)
