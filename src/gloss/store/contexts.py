"""Cut windows out of the corpus, with a feature's true activation at every position."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64, UInt64
from numpy import ndarray

from gloss.records import PADDING, Contexts, FeatureActivations, Split
from gloss.rules.occurrences import Occurrences, ascending
from gloss.store.context_text import character_edges
from gloss.store.corpus import Corpus, counted_occurrences

BLOCK = 2**15  # windows that are read at a time
# windows are marked off one by one in a list of all where some hold one in so many of them
MARKED_OFF = 32
MARKED_BITS = 16  # of prints, by which most that are not alike are told apart at once


def cut_contexts(
    corpus: Corpus,
    activations: FeatureActivations,
    starts: Int64[ndarray, " context"],
    width: int,
    quantiles: Int64[ndarray, " context"],
    positions_inside: Int64[ndarray, " context"] | None = None,
) -> Contexts:
    """The windows of `width` positions that begin at `starts`.

    A window may stand partly outside its sequence, in front too. It belongs to the sequence in
    which its entry of `positions_inside` lies, a global token index: by default its first position.
    What it covers of other sequences is PADDING with activation 0. Raises ValueError where such an
    index lies outside the corpus.
    """
    positions_inside = starts if positions_inside is None else positions_inside
    tokens, sequences = window_tokens(corpus, starts, width, positions_inside)
    firsts, ends = corpus.offsets[sequences], corpus.offsets[sequences + 1]
    lows, highs = (np.minimum(np.maximum(each, firsts), ends) for each in (starts, starts + width))
    values = np.zeros(tokens.shape, np.float32)
    rows, entries = positions_in_ranges(activations.positions, lows, highs)
    values[rows, activations.positions[entries] - starts[rows]] = activations.values[entries]
    left_out = np.zeros(tokens.shape, bool)
    if len(corpus.left_out):
        rows, entries = positions_in_ranges(corpus.left_out, lows, highs)
        left_out[rows, corpus.left_out[entries] - starts[rows]] = True
    documents, edges = corpus.documents[sequences], character_edges(corpus, lows, highs)
    return Contexts(
        starts,
        documents,
        quantiles,
        tokens,
        values,
        starts - firsts,
        edges,
        corpus.groups[documents],
        left_out,
    )


def window_tokens(
    corpus: Corpus,
    starts: Int64[ndarray, " context"],
    width: int,
    positions_inside: Int64[ndarray, " context"],
) -> tuple[Int32[ndarray, "context position"], Int64[ndarray, " context"]]:
    """What these windows hold, and the sequence in which each one's `positions_inside` lies."""
    if len(outside := positions_inside[(positions_inside < 0) | (positions_inside >= len(corpus))]):
        raise ValueError(
            f"windows are anchored at tokens 0 to {len(corpus) - 1} of the corpus, got"
            f" {outside[:3].tolist()}"
        )
    sequences = corpus.sequences_of(positions_inside)
    firsts, ends = corpus.offsets[sequences], corpus.offsets[sequences + 1]
    if width > len(corpus):
        tokens, beyond = np.empty((len(starts), width), np.int32), np.arange(len(starts))
    else:
        tokens = stretches(corpus.tokens, np.clip(starts, 0, len(corpus) - width), width)
        beyond = np.flatnonzero((starts < firsts) | (starts + width > ends))
    indices = starts[beyond, None] + np.arange(width)
    inside = (indices >= firsts[beyond, None]) & (indices < ends[beyond, None])
    cut = np.full(indices.shape, PADDING, np.int32)
    cut[inside] = corpus.tokens[indices[inside]]
    tokens[beyond] = cut
    return tokens, sequences


def stretches(
    tokens: Int32[ndarray, " token"], starts: Int64[ndarray, " start"], width: int
) -> Int32[ndarray, "start position"]:
    """So many tokens from each start on, each stretch copied as one piece."""
    piece = np.dtype((np.void, width * tokens.itemsize))
    size, whole = len(tokens) - width + 1, np.ascontiguousarray(tokens)
    found = np.ndarray(size, piece, whole, strides=(tokens.itemsize,))[starts]
    return found.view(tokens.dtype).reshape(len(starts), width)


def window_fingerprints(
    corpus: Corpus, starts: Int64[ndarray, " window"], width: int
) -> UInt64[ndarray, " window"]:
    """A number for what each window holds, equal where the tokens are: 64 bits, so that others
    hardly ever are.
    """
    blocks = [starts[first : first + BLOCK] for first in range(0, len(starts), BLOCK)]
    found = [
        token_fingerprints(window_tokens(corpus, each, width, each)[0], len(corpus.vocabulary))
        for each in blocks
    ]
    return np.concatenate([np.empty(0, np.uint64), *found])


def token_fingerprints(
    tokens: Int32[ndarray, "window position"], vocabulary: int
) -> UInt64[ndarray, " window"]:
    """The fingerprints of windows of one width.

    Each is a sum of a number for each token times one for its position.
    """
    return odd_multipliers(vocabulary + 1)[tokens - PADDING] @ odd_multipliers(tokens.shape[1])


@lru_cache(maxsize=8)
def odd_multipliers(number: int) -> UInt64[ndarray, " number"]:
    """Odd numbers of 64 bits, the same in every process."""
    return np.random.default_rng(number).integers(2**64, size=number, dtype=np.uint64) | np.uint64(
        1
    )


def is_first_of_equals(values: UInt64[ndarray, " value"]) -> Bool[ndarray, " value"]:
    """Whether no equal value stands before each one."""
    ordered = np.sort(values)
    several = ordered[1:][ordered[1:] == ordered[:-1]]
    first = np.ones(len(values), bool)
    if len(several):
        rows = np.flatnonzero(is_among(values, several))
        first[rows] = False
        first[rows[np.unique(values[rows], return_index=True)[1]]] = True
    return first


def is_among(
    values: UInt64[ndarray, " value"], ascending: UInt64[ndarray, " known"]
) -> Bool[ndarray, " value"]:
    """Whether each value is one of those that ascend.

    Quick where they are prints, of which hardly any two begin with the same bits.
    """
    if len(ascending) == 0:
        return np.zeros(len(values), bool)
    marked = np.zeros(2**MARKED_BITS, bool)
    shift = np.uint64(64 - MARKED_BITS)
    marked[ascending >> shift] = True
    found = marked[values >> shift]
    rows = np.flatnonzero(found)
    near = np.minimum(np.searchsorted(ascending, values[rows]), len(ascending) - 1)
    found[rows] = ascending[near] == values[rows]
    return found


def rows_of_firsts(numbers: Int64[ndarray, " row"]) -> Int64[ndarray, " first"]:
    """The rows, ascending, before which no equal number stands. Wants numbers from 0."""
    bits = max(len(numbers) - 1, 1).bit_length()
    ordered = np.sort((numbers << bits) | np.arange(len(numbers)))
    first = np.diff(ordered >> bits, prepend=-1) != 0
    return np.sort(ordered[first] & ((1 << bits) - 1))


def positions_in_ranges(
    positions: Int64[ndarray, " position"],
    lows: Int64[ndarray, " context"],
    highs: Int64[ndarray, " context"],
) -> tuple[Int64[ndarray, " found"], Int64[ndarray, " found"]]:
    """For each row those of the ascending positions that lie between its two: the row, and the
    number of the position.
    """
    first, order = np.empty(len(lows), np.int64), np.argsort(lows)
    first[order] = np.searchsorted(positions, lows[order])  # quicker where they ascend
    held = np.flatnonzero(np.append(positions, np.iinfo(np.int64).max)[first] < highs)
    first = first[held]
    counts = np.searchsorted(positions, highs[held]) - first
    rows = np.repeat(held, counts)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts - first, counts)


@dataclass(frozen=True, eq=False)
class FixedWindows:
    """Every window of an aligned cut: window j of a sequence covers its tokens from j * width on.

    The last may be shorter.
    """

    corpus: Corpus
    width: int
    # the feature that was last asked for, which of its activations is the first of a window, and
    # the windows in which it fires
    recent: list[
        tuple[FeatureActivations, Int64[ndarray, " window"], Int64[ndarray, " window"]]
    ] = field(default_factory=list, repr=False)

    @cached_property
    def starts(self) -> Int64[ndarray, " window"]:
        """Global index of each window's first token, ascending."""
        counts = self.counts
        within = np.arange(counts.sum()) - np.repeat(self.firsts, counts)
        return np.repeat(self.corpus.offsets[:-1], counts) + within * self.width

    @cached_property
    def counts(self) -> Int64[ndarray, " sequence"]:
        """The number of windows of each sequence."""
        return -(-np.diff(self.corpus.offsets) // self.width)

    @cached_property
    def firsts(self) -> Int64[ndarray, " sequence"]:
        """The number of each sequence's first window."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def in_train(self) -> Bool[ndarray, " window"]:
        """Whether each window belongs to the train split."""
        return self.corpus.in_train[self.starts]

    @cached_property
    def by_split(self) -> dict[Split, Int64[ndarray, " window"]]:
        """The numbers of each split's windows, ascending."""
        return {
            Split.TRAIN: np.flatnonzero(self.in_train),
            Split.HELD_OUT: np.flatnonzero(~self.in_train),
        }

    @cached_property
    def fingerprints(self) -> UInt64[ndarray, " window"]:
        """A number for what each window holds."""
        return window_fingerprints(self.corpus, self.starts, self.width)

    @cached_property
    def known(self) -> int:
        """So many windows, the first ones, are known of every feature: all of them, unless the
        corpus was mined.
        """
        return int(np.searchsorted(self.starts, self.corpus.background_tokens))

    @cached_property
    def sequences(self) -> Int64[ndarray, " window"]:
        """The sequence of each window."""
        return self.corpus.sequences_of(self.starts)

    @cached_property
    def distinct(self) -> Bool[ndarray, " window"]:
        """Whether each window is the first that holds its tokens: of those that are known of every
        feature, in the train split, then in what is held out; then of the others.
        """
        unknown = np.arange(len(self.starts)) >= self.known
        order = np.argsort(~self.in_train + 2 * unknown, kind="stable")
        first = np.zeros(len(order), bool)
        first[order] = is_first_of_equals(self.fingerprints[order])
        return first

    @cached_property
    def drawable(self) -> dict[Split, Int64[ndarray, " window"]]:
        """The numbers of each split's windows without copies of another, ascending, of those that
        are known of every feature.
        """
        return {
            split: windows[self.distinct[windows] & (windows < self.known)]
            for split, windows in self.by_split.items()
        }

    @cached_property
    def ranks(self) -> Int64[ndarray, " window"]:
        """How many drawable windows of the same split stand before each window."""
        train, held_out = (self.distinct & (self.in_train == side) for side in (True, False))
        return np.where(self.in_train, np.cumsum(train) - train, np.cumsum(held_out) - held_out)

    def windows_of(self, positions: Int64[ndarray, " position"]) -> Int64[ndarray, " position"]:
        """The number of the window that each global token index lies in."""
        return self.of_tokens.take(positions).astype(np.int64)

    @cached_property
    def of_tokens(self) -> Int32[ndarray, " token"]:
        """The number of the window that each token lies in."""
        lengths = np.diff(np.append(self.starts, len(self.corpus)))
        return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)

    def firing(self, activations: FeatureActivations) -> Int64[ndarray, " window"]:
        """The numbers of the windows in which the feature is active, ascending."""
        return self.firing_rows(activations)[1]

    def firing_rows(
        self, activations: FeatureActivations
    ) -> tuple[Int64[ndarray, " window"], Int64[ndarray, " window"]]:
        """Of every window in which the feature is active its first activation, and its number."""
        for feature, first, found in self.recent[:1]:
            if feature is activations:
                return first, found
        held = self.windows_of(activations.positions)
        first = np.flatnonzero(np.diff(held, prepend=-1))
        found = held[first]
        self.recent[:] = [(activations, first, found)]
        return first, found

    @cached_property
    def holders(self) -> Occurrences:
        """The numbers of the train split's windows that hold each token of the vocabulary, at a
        place that counts; of those that are known of every feature.
        """
        places = counted_occurrences(self.corpus, Split.TRAIN)
        of_places = self.of_tokens[places.order]
        new = np.diff(of_places, prepend=-1) != 0
        begun = places.offsets[:-1]
        new[begun[begun < len(new)]] = True
        return Occurrences(of_places[new], np.append(0, np.cumsum(new))[places.offsets])

    def number_holding(
        self, tokens: Int[ndarray, " token"], without: Int64[ndarray, " window"]
    ) -> int:
        """How many of these windows hold one of these different tokens, besides these windows of
        the train split.
        """
        held = [self.holders.of_token(token) for token in tokens.tolist()]
        if sum(map(len, held)) * MARKED_OFF < len(self.starts):
            union = ascending(np.concatenate([np.empty(0, np.int32), *held]))
            near = np.searchsorted(union, without)
            return len(union) - int((np.append(union, -1)[near] == without).sum())
        marked = np.zeros(len(self.starts), bool)
        for each in held:
            marked[each] = True
        marked[without] = False
        return int(np.count_nonzero(marked))

    def share(self, activations: FeatureActivations, split: Split) -> float:
        """Of the split's windows, the share in which the feature fires; 0 in an empty split.

        Of a corpus that was mined it is estimated: each window counts as many as its sequence
        stands for.
        """
        firing = self.firing(activations)
        fires = firing[self.in_train[firing] == (split is Split.TRAIN)]
        weights = self.corpus.weights(activations)
        if weights is None:
            return len(fires) / max(len(self.by_split[split]), 1)
        own = self.corpus.sequences_in_train == (split is Split.TRAIN)
        every = weights[own] @ self.counts[own]
        return float(weights[self.sequences[fires]].sum() / every) if every else 0.0


@lru_cache(maxsize=4)
def corpus_windows(corpus: Corpus, width: int) -> FixedWindows:
    """The fixed windows of a corpus; worked out once for all features.

    Raises ValueError where the width is no length.
    """
    if width < 1:
        raise ValueError(f"a context has at least 1 position, got {width}")
    return FixedWindows(corpus, width)
