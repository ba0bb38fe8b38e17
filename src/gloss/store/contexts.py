"""Cut windows out of the corpus, with a feature's true activation at every position."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64, UInt8, UInt64
from numpy import ndarray

from gloss.records import PADDING, Contexts, FeatureActivations, Split
from gloss.rules.occurrences import Occurrences, ascending, run_bounds
from gloss.store.context_text import character_edges
from gloss.store.corpus import Corpus, counted_occurrences

BLOCK = 2**15  # windows that are read at a time
MARKED_SHIFT = 4  # of 16 tokens one is marked with its window
FREQUENT = 64  # a token that stands in one of so many windows has a bit for each of them
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
    firsts, ends = corpus.offsets.take(sequences), corpus.offsets.take(sequences + 1)
    lows, highs = (np.minimum(np.maximum(each, firsts), ends) for each in (starts, starts + width))
    order, values = np.argsort(lows), np.zeros(tokens.shape, np.float32)
    # where a position stands in all rows, one after the other: it is at home in the first of them
    shifts = np.arange(len(starts)) * width - starts
    rows, entries = positions_in_ranges(activations.positions, lows, highs, order)
    places = activations.positions.take(entries) + shifts.take(rows)
    values.reshape(-1)[places] = activations.values.take(entries)
    left_out = np.zeros(tokens.shape, bool)
    if len(corpus.left_out):
        rows, entries = positions_in_ranges(corpus.left_out, lows, highs, order)
        left_out.reshape(-1)[corpus.left_out.take(entries) + shifts.take(rows)] = True
    documents = corpus.documents.take(sequences)
    edges = character_edges(corpus, lows, highs, tokens.reshape(-1), shifts)
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
    firsts, ends = corpus.offsets.take(sequences), corpus.offsets.take(sequences + 1)
    before, behind = firsts - starts, ends - starts  # where in a window its sequence stands
    beyond = np.flatnonzero((before > 0) | (behind < width))
    if width > len(corpus):
        tokens = np.empty((len(starts), width), np.int32)
        moved = beyond
    else:
        fitting = np.minimum(np.maximum(starts, 0), len(corpus) - width)
        tokens = stretches(corpus.tokens, fitting, width)
        moved = beyond[fitting.take(beyond) != starts.take(beyond)]
    if not len(beyond):
        return tokens, sequences
    if len(moved):  # at the edges of the corpus
        indices = starts[moved, None] + np.arange(width)
        tokens[moved] = corpus.tokens.take(indices, mode="clip")
    places = np.arange(width, dtype=np.int32)
    outside = places >= np.minimum(behind.take(beyond), width).astype(np.int32)[:, None]
    if (front := before.take(beyond)).max() > 0:
        outside |= places < np.maximum(front, 0).astype(np.int32)[:, None]
    cut = tokens[beyond]
    cut[outside] = PADDING
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


def positions_in_ranges(
    positions: Int64[ndarray, " position"],
    lows: Int64[ndarray, " context"],
    highs: Int64[ndarray, " context"],
    order: Int64[ndarray, " context"],
) -> tuple[Int64[ndarray, " found"], Int64[ndarray, " found"]]:
    """For each row those of the ascending positions that lie between its two: the row, and the
    number of the position. `order` is that in which the lower ones ascend, as what is found does.
    """
    if not len(positions):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first = np.searchsorted(positions, lows.take(order))  # quicker where they ascend
    near = positions.take(np.minimum(first, len(positions) - 1))
    inside = (near < highs.take(order)) & (first < len(positions))
    first, held = first[inside], order[inside]
    counts = np.searchsorted(positions, highs.take(held)) - first
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
    # what is worked out once it is asked for
    held_in: dict[Split, Occurrences] = field(default_factory=dict, repr=False)
    held_bits: dict[int, UInt8[ndarray, " byte"]] = field(default_factory=dict, repr=False)

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
    def same(self) -> Int32[ndarray, " window"]:
        """The number of the window that stands for all that hold the same tokens: the first of
        those that are known of every feature, in the train split, then in what is held out; then
        of the others.
        """
        unknown = np.arange(len(self.starts)) >= self.known
        order = np.argsort(~self.in_train + 2 * unknown, kind="stable")
        prints = self.fingerprints[order]
        first = is_first_of_equals(prints)
        same = np.arange(len(order), dtype=np.int32)
        rows = np.flatnonzero(is_among(prints, np.sort(prints[~first])))
        firsts = rows[first[rows]]
        known = firsts[np.argsort(prints[firsts])]
        same[order[rows]] = order[known[np.searchsorted(prints[known], prints[rows])]]
        return same

    @cached_property
    def copied(self) -> Bool[ndarray, " window"]:
        """Whether another window holds the same tokens as each."""
        return (np.bincount(self.same, minlength=len(self.same)) > 1)[self.same]

    @cached_property
    def drawable(self) -> dict[Split, Int64[ndarray, " window"]]:
        """The numbers of each split's windows without copies of another, ascending, of those that
        are known of every feature.
        """
        return {
            split: windows[(self.same[windows] == windows) & (windows < self.known)]
            for split, windows in self.by_split.items()
        }

    @cached_property
    def by_print(self) -> tuple[UInt64[ndarray, " print"], Int64[ndarray, " print"]]:
        """The prints of different windows, ascending, and the number of the window that stands for
        each.
        """
        own = np.flatnonzero(self.same == np.arange(len(self.same)))
        order = own[np.argsort(self.fingerprints[own])]
        return self.fingerprints[order], order

    def holding_prints(self, prints: UInt64[ndarray, " print"]) -> Int64[ndarray, " window"]:
        """The numbers of the windows that stand for those with these prints."""
        known, numbers = self.by_print
        near = np.minimum(np.searchsorted(known, prints), len(known) - 1)
        return numbers[near[known[near] == prints]]

    def rows_of_new(
        self, numbers: Int[ndarray, " row"], used: Int[ndarray, " used"]
    ) -> Int64[ndarray, " new"]:
        """The rows, ascending, of windows that are not among the used, and before which no equal
        number stands.
        """
        rows, places = np.arange(len(numbers), dtype=np.int32), self.places
        places[numbers[::-1]] = rows[::-1]  # of equal ones the last that is put there stays
        places[used] = -1
        return np.flatnonzero(places.take(numbers) == rows)

    def rows_of_free(
        self, numbers: Int[ndarray, " row"], used: Int[ndarray, " used"]
    ) -> Int64[ndarray, " free"]:
        """The rows, ascending, of windows that are not among the used."""
        places = self.places
        places[numbers] = 0
        places[used] = -1
        return np.flatnonzero(places.take(numbers) == 0)

    @cached_property
    def places(self) -> Int32[ndarray, " window"]:
        """A number for each window, to write into before it is read."""
        return np.empty(len(self.starts), np.int32)

    def windows_of(self, positions: Int64[ndarray, " position"]) -> Int64[ndarray, " position"]:
        """The number of the window that each global token index lies in."""
        ends, most, marks = self.marks
        found = marks.take(positions >> MARKED_SHIFT)
        for _ in range(most):
            found += ends.take(found) <= positions
        return found

    @cached_property
    def marks(self) -> tuple[Int64[ndarray, " window"], int, Int64[ndarray, " mark"]]:
        """Where each window ends, how many windows may begin between two marks, and the window of
        every 16th token.
        """
        ends = np.append(self.starts[1:], len(self.corpus))
        marked = np.arange(0, len(self.corpus), 1 << MARKED_SHIFT)
        marked = np.searchsorted(ends, marked, side="right")
        lasts = np.append(marked[1:], len(ends) - 1) if len(marked) else marked
        return ends, int((lasts - marked).max(initial=0)), marked

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
        first = run_bounds(held)[:-1]
        found = held[first]
        self.recent[:] = [(activations, first, found)]
        return first, found

    def holders(self, split: Split) -> Occurrences:
        """The numbers of the split's windows that hold each token of the vocabulary, at a place
        that counts; of those that are known of every feature. Worked out once.
        """
        if split not in self.held_in:
            places = counted_occurrences(self.corpus, split)
            lengths = np.diff(np.append(self.starts, len(self.corpus)))
            of_tokens = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
            of_places = of_tokens[places.order]
            new = np.diff(of_places, prepend=-1) != 0
            begun = places.offsets[:-1]
            new[begun[begun < len(new)]] = True
            offsets = np.append(0, np.cumsum(new))[places.offsets]
            self.held_in[split] = Occurrences(of_places[new], offsets)
        return self.held_in[split]

    def bits_of(self, token: int) -> UInt8[ndarray, " byte"]:
        """A bit for each window, set where it is one of the train split that holds a frequent
        token. Worked out once.
        """
        if token not in self.held_bits:
            marked = np.zeros(len(self.starts), bool)
            marked[self.holders(Split.TRAIN).of_token(token)] = True
            self.held_bits[token] = np.packbits(marked)
        return self.held_bits[token]

    def number_holding(
        self, tokens: Int[ndarray, " token"], without: Int64[ndarray, " window"]
    ) -> int:
        """How many of these windows hold one of these different tokens, besides these windows of
        the train split.
        """
        holders, number = self.holders(Split.TRAIN), len(self.starts)
        offsets = holders.offsets
        frequent = (offsets[tokens + 1] - offsets[tokens]) * FREQUENT > number
        rare = [np.empty(0, np.int32), *map(holders.of_token, tokens[~frequent].tolist())]
        held = np.concatenate(rare)
        if not frequent.any():
            union = ascending(held)
            near = np.searchsorted(union, without)
            return len(union) - int((np.append(union, -1)[near] == without).sum())
        every = np.bitwise_or.reduce([self.bits_of(token) for token in tokens[frequent].tolist()])
        marked = np.unpackbits(every, count=number).view(bool)
        marked[held] = True
        marked[without] = False
        return int(np.count_nonzero(marked))

    def share(self, activations: FeatureActivations, split: Split) -> float:
        """Of the split's windows, the share in which the feature fires; 0 in an empty split.

        Of a corpus that was mined it is estimated: each window counts as many as its sequence
        stands for.
        """
        firing = self.firing(activations)
        inside = self.in_train.take(firing) == (split is Split.TRAIN)
        weights = self.corpus.weights(activations)
        if weights is None:
            return int(np.count_nonzero(inside)) / max(len(self.by_split[split]), 1)
        fires = firing[inside]
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
