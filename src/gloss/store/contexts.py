"""Cut windows out of the corpus, with a feature's true activation at every position."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt64
from numpy import ndarray

from gloss.records import PADDING, Contexts, FeatureActivations, Split
from gloss.store.corpus import Corpus
from gloss.store.whole import edges_of

BLOCK = 2**15  # windows that are read at a time


def cut(
    corpus: Corpus,
    activations: FeatureActivations,
    starts: Int64[ndarray, " context"],
    width: int,
    quantiles: Int64[ndarray, " context"],
    anchors: Int64[ndarray, " context"] | None = None,
) -> Contexts:
    """The windows of `width` positions that begin at `starts`; a window may stand partly outside its sequence, in front too.

    A window belongs to the sequence of its anchor, a global token index: by default its first position. What it covers
    of other sequences is PADDING with activation 0. Raises ValueError where an anchor lies outside the corpus.
    """
    anchors = starts if anchors is None else anchors
    tokens, sequences = tokens_in(corpus, starts, width, anchors)
    firsts, ends = corpus.offsets[sequences], corpus.offsets[sequences + 1]
    lows, highs = np.clip(starts, firsts, ends), np.clip(starts + width, firsts, ends)
    values = np.zeros(tokens.shape, np.float32)
    rows, entries = between(activations.positions, lows, highs)
    values[rows, activations.positions[entries] - starts[rows]] = activations.values[entries]
    left_out = np.zeros(tokens.shape, bool)
    rows, entries = between(corpus.left_out, lows, highs)
    left_out[rows, corpus.left_out[entries] - starts[rows]] = True
    documents, edges = corpus.documents[sequences], edges_of(corpus, lows, highs)
    return Contexts(starts, documents, quantiles, tokens, values, starts - firsts, edges, corpus.groups[documents], left_out)


def tokens_in(
    corpus: Corpus, starts: Int64[ndarray, " context"], width: int, anchors: Int64[ndarray, " context"]
) -> tuple[Int32[ndarray, "context position"], Int64[ndarray, " context"]]:
    """What these windows hold, and the sequence of each, which is that of its anchor."""
    if len(outside := anchors[(anchors < 0) | (anchors >= len(corpus))]):
        raise ValueError(f"windows are anchored at tokens 0 to {len(corpus) - 1} of the corpus, got {outside[:3].tolist()}")
    sequences = corpus.sequences_of(anchors)
    firsts, ends = corpus.offsets[sequences], corpus.offsets[sequences + 1]
    indices = starts[:, None] + np.arange(width)
    inside = (indices >= firsts[:, None]) & (indices < ends[:, None])
    tokens = np.full(indices.shape, PADDING, np.int32)
    tokens[inside] = corpus.tokens[indices[inside]]
    return tokens, sequences


def prints_of(corpus: Corpus, starts: Int64[ndarray, " window"], width: int) -> UInt64[ndarray, " window"]:
    """A number for what each window holds, equal where the tokens are: 64 bits, so that others hardly ever are."""
    blocks = [starts[first : first + BLOCK] for first in range(0, len(starts), BLOCK)]
    found = [prints(tokens_in(corpus, each, width, each)[0], len(corpus.vocabulary)) for each in blocks]
    return np.concatenate([np.empty(0, np.uint64), *found])


def prints(tokens: Int32[ndarray, "window position"], vocabulary: int) -> UInt64[ndarray, " window"]:
    """The prints of windows of one width: sums of a number for each token times one for its place."""
    return random_numbers(vocabulary + 1)[tokens - PADDING] @ random_numbers(tokens.shape[1])


@lru_cache(maxsize=8)
def random_numbers(number: int) -> UInt64[ndarray, " number"]:
    """Odd numbers of 64 bits, the same in every process."""
    return np.random.default_rng(number).integers(2**64, size=number, dtype=np.uint64) | np.uint64(1)


def first_of_each(values: UInt64[ndarray, " value"]) -> Bool[ndarray, " value"]:
    """Whether no equal value stands before each one."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def between(
    positions: Int64[ndarray, " position"], lows: Int64[ndarray, " context"], highs: Int64[ndarray, " context"]
) -> tuple[Int64[ndarray, " found"], Int64[ndarray, " found"]]:
    """For each row those of the ascending positions that lie between its two: the row, and the number of the position."""
    first, last = np.searchsorted(positions, lows), np.searchsorted(positions, highs)
    counts = last - first
    rows = np.repeat(np.arange(len(lows)), counts)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts - first, counts)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Every window of an aligned cut: tile j of a sequence covers its tokens from j * width on; the last may be shorter."""

    corpus: Corpus
    width: int

    @cached_property
    def starts(self) -> Int64[ndarray, " tile"]:
        """Global index of each tile's first token, ascending."""
        counts = -(-np.diff(self.corpus.offsets) // self.width)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(self.corpus.offsets[:-1], counts) + within * self.width

    @cached_property
    def shown(self) -> Bool[ndarray, " tile"]:
        """Whether each tile belongs to the shown split."""
        return self.corpus.shown[self.starts]

    @cached_property
    def by_split(self) -> dict[Split, Int64[ndarray, " tile"]]:
        """The numbers of each split's tiles, ascending."""
        return {Split.SHOWN: np.flatnonzero(self.shown), Split.HELD_OUT: np.flatnonzero(~self.shown)}

    @cached_property
    def prints(self) -> UInt64[ndarray, " tile"]:
        """A number for what each tile holds."""
        return prints_of(self.corpus, self.starts, self.width)

    @cached_property
    def distinct(self) -> Bool[ndarray, " tile"]:
        """Whether each tile is the first that holds its tokens: in the shown split, then in the one that is held out."""
        order = np.argsort(~self.shown, kind="stable")
        first = np.zeros(len(order), bool)
        first[order] = first_of_each(self.prints[order])
        return first

    @cached_property
    def drawable(self) -> dict[Split, Int64[ndarray, " tile"]]:
        """The numbers of each split's tiles without copies of another, ascending."""
        return {split: tiles[self.distinct[tiles]] for split, tiles in self.by_split.items()}

    @cached_property
    def ranks(self) -> Int64[ndarray, " tile"]:
        """How many drawable tiles of the same split stand before each tile."""
        shown, held_out = (self.distinct & (self.shown == side) for side in (True, False))
        return np.where(self.shown, np.cumsum(shown) - shown, np.cumsum(held_out) - held_out)

    def holding(self, positions: Int64[ndarray, " position"]) -> Int64[ndarray, " position"]:
        """The number of the tile that each global token index lies in."""
        return np.searchsorted(self.starts, positions, side="right") - 1

    def firing(self, activations: FeatureActivations) -> Int64[ndarray, " tile"]:
        """The numbers of the tiles in which the feature is active, ascending."""
        held = self.holding(activations.positions)
        return held[np.diff(held, prepend=-1) > 0]

    def share(self, firing: Int64[ndarray, " tile"], split: Split) -> float:
        """Of the split's tiles, the share in which the feature fires; 0 where the split is empty."""
        fires = np.count_nonzero(self.shown[firing] == (split is Split.SHOWN))
        return fires / max(len(self.by_split[split]), 1)


@lru_cache(maxsize=4)
def tiles_of(corpus: Corpus, width: int) -> Tiles:
    """The tiles of a corpus; worked out once for all features. Raises ValueError where the width is no length."""
    if width < 1:
        raise ValueError(f"a context has at least 1 position, got {width}")
    return Tiles(corpus, width)
