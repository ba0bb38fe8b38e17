"""Windows in which a feature is inactive: any, with its top tokens, where near features fire, or
whose text is similar.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int64, Shaped, UInt64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.records import FeatureActivations, Negative, Neighbour, Split
from gloss.rules.occurrences import ascending
from gloss.sample.windows import ChosenWindows, Placement, overlap_keys, select_disjoint
from gloss.store.contexts import (
    FixedWindows,
    corpus_windows,
    is_among,
    is_first_of_equals,
    rows_of_firsts,
    window_fingerprints,
)
from gloss.store.corpus import Corpus, counted_occurrences
from gloss.store.embeddings import Embeddings
from gloss.store.feature_facts import train_token_counts

RANDOM_LABEL, SAME_TOKEN_LABEL = int(Negative.RANDOM), int(Negative.SAME_TOKEN)
LEAST_OVERLAP = 0.05  # of the tokens of two features, from which on they count as siblings


@dataclass(frozen=True)
class NegativeSources:
    """What lies near a feature and its contexts; hard negatives come from there."""

    neighbours: tuple[Neighbour, ...] = ()  # nearest first
    # of windows of the corpus, as wide as those that are asked for
    embeddings: Embeddings | None = None


NO_SOURCES = NegativeSources()


@dataclass(frozen=True)
class SearchContext:
    """Where the windows of one feature are looked for."""

    corpus: Corpus
    activations: FeatureActivations
    placement: Placement
    width: int
    sources: NegativeSources = NO_SOURCES
    # prints of windows that are used, ascending
    taken: UInt64[ndarray, " window"] = field(default_factory=lambda: np.empty(0, np.uint64))

    @property
    def windows(self) -> FixedWindows:
        """The aligned windows of the corpus."""
        return corpus_windows(self.corpus, self.width)

    def besides(self, taken: UInt64[ndarray, " window"]) -> "SearchContext":
        """The same search where windows with these prints are used."""
        return replace(self, taken=np.sort(taken))

    @cached_property
    def fires_in(self) -> Int64[ndarray, " window"]:
        """The numbers of the aligned windows in which the feature fires, ascending."""
        return self.windows.firing(self.activations)

    def overlap_keys(self, starts: Int64[ndarray, " window"]) -> Int64[ndarray, " window"]:
        """Numbers that are less than the width apart exactly where the windows overlap."""
        return overlap_keys(starts, self.corpus.sequences_of(starts), self.width)

    @cached_property
    def firing_marks(self) -> Bool[ndarray, " fixed_window"]:
        """Whether the feature fires in each of the aligned windows."""
        marks = np.zeros(len(self.windows.starts), bool)
        marks[self.fires_in] = True
        return marks

    def fixed_numbers(self, starts: Int64[ndarray, " window"]) -> Int64[ndarray, " window"] | None:
        """The numbers of these windows, where all of them are aligned."""
        held = self.windows.windows_of(starts)
        return held if (self.windows.starts.take(held) == starts).all() else None

    def fires(self, starts: Int64[ndarray, " window"]) -> Bool[ndarray, " window"]:
        """Whether the feature is active somewhere in the window that begins there."""
        if (numbers := self.fixed_numbers(starts)) is not None:
            return self.firing_marks.take(numbers)
        ends = np.minimum(
            starts + self.width, self.corpus.offsets[self.corpus.sequences_of(starts) + 1]
        )
        return np.searchsorted(self.activations.positions, starts) != np.searchsorted(
            self.activations.positions, ends
        )

    def is_inactive(self, starts: Int64[ndarray, " window"]) -> Bool[ndarray, " window"]:
        """Whether the feature is known to be inactive in the whole window that begins there."""
        return ~self.fires(starts) & (starts < self.corpus.background_tokens)

    def fingerprints(self, starts: Int64[ndarray, " window"]) -> UInt64[ndarray, " window"]:
        """A number for what each window holds."""
        windows = self.windows
        held = windows.windows_of(starts)
        own = windows.starts.take(held) != starts
        found = windows.fingerprints.take(held)
        if own.any():
            found[own] = window_fingerprints(self.corpus, starts[own], self.width)
        return found

    def are_apart(
        self, starts: Int64[ndarray, " window"], others: Int64[ndarray, " other"]
    ) -> Bool[ndarray, " window"]:
        """Whether each window overlaps none of the others."""
        numbers, known = self.fixed_numbers(starts), self.fixed_numbers(others)
        if numbers is None or known is None:
            keys, taken = self.overlap_keys(starts), np.sort(self.overlap_keys(others))
            return is_apart(keys, taken, self.width)
        marks = np.ones(len(self.windows.starts), bool)
        marks[known] = False
        return marks.take(numbers)

    def is_fresh(self, starts: Int64[ndarray, " window"]) -> Bool[ndarray, " window"]:
        """Whether no window of the same tokens is taken already or stands before it here."""
        found = self.fingerprints(starts)
        return is_first_of_equals(found) & ~is_among(found, self.taken)


@runtime_checkable
class NegativeFinder(Protocol):
    """A way to find windows in which a feature is inactive."""

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` windows of the split, or as many as there are.

        No two overlap or hold the same tokens, none is taken.
        """
        ...


@dataclass(frozen=True)
class RandomNegatives:
    """Draw fixed windows uniformly without replacement from all of the split in which the feature
    is inactive.
    """

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` inactive windows, or all there are.

        Of windows that hold the same tokens the first stands for all.
        """
        found = [np.empty(0, np.int64), *random_windows(search, split, number, rng, number)]
        starts = np.concatenate(found)
        return ChosenWindows(starts, np.full(len(starts), RANDOM_LABEL))


def random_windows(
    search: SearchContext, split: Split, number: int, rng: np.random.Generator, block: int
) -> Iterator[Int64[ndarray, " window"]]:
    """At most `number` inactive windows that are not taken, in the order in which they are drawn,
    looked up in blocks when they are asked for.
    """
    windows, drawable = search.windows, search.windows.drawable[split]
    firing = search.fires_in[: np.searchsorted(search.fires_in, windows.known)]
    fires = windows.ranks[
        firing[(windows.in_train[firing] == (split is Split.TRAIN)) & windows.distinct[firing]]
    ]
    inactive = len(drawable) - len(fires)
    drawn = rng.choice(inactive, min(2 * number, inactive), replace=False)  # some may be taken
    # The r-th inactive window stands behind as many firing ones as have at most r inactive ones
    # before them.
    before, left, first = fires - np.arange(len(fires)), number, 0
    while left and first < len(drawn):
        some = drawn[first : first + block]
        numbers = drawable[some + np.searchsorted(before, some, side="right")]
        # no two of them hold the same tokens
        numbers = numbers[~is_among(windows.fingerprints[numbers], search.taken)][:left]
        left, first = left - len(numbers), first + block
        yield windows.starts[numbers]


@dataclass(frozen=True)
class SameTokenNegatives:
    """Draw inactive windows around the feature's top tokens, each token in proportion to how often
    the feature fires there.

    Its top tokens are those at which it fires most often in the train split.
    """

    top_tokens: int = 5

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` inactive windows that hold a top token, or as many as were found.

        Fewer is no error.
        """
        found, keys = [np.empty(0, np.int64)], [np.empty(0)]
        for token, count in zip(*count_top_tokens(search, self.top_tokens), strict=True):
            found.append(inactive_windows_around(search, split, int(token), 2 * number, rng))
            # (Efraimidis & Spirakis, 2006)
            keys.append(np.log(rng.random(len(found[-1]))) * len(found[-1]) / count)
        starts = choose_disjoint(search, np.concatenate(found), np.concatenate(keys), number)
        return ChosenWindows(starts, np.full(len(starts), SAME_TOKEN_LABEL))


@dataclass(frozen=True)
class MixedNegatives:
    """Half `same_token`, as far as they are found, and the rest `random`."""

    top_tokens: int = 5

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` inactive windows, or all there are; those with a top token come first."""
        near = SameTokenNegatives(self.top_tokens).choose(search, split, number // 2, rng)
        # Each near miss overlaps two fixed windows at most: enough remain when those are left out.
        return fill_with_random(search, split, near, number, rng)


def choose_disjoint(
    search: SearchContext,
    starts: Int64[ndarray, " window"],
    strengths: Float64[ndarray, " window"],
    number: int,
) -> Int64[ndarray, " chosen"]:
    """At most `number` windows that do not overlap and hold different tokens that are not taken,
    greedily from the strongest; weaker ones are looked at as far as they are needed.
    """
    looked = 2 * number
    while True:
        some = np.arange(len(starts))
        if looked < len(starts):
            least = -np.partition(-strengths, looked)[looked]
            some = np.flatnonzero(strengths >= least)
        held = strongest_disjoint(search, starts[some], strengths[some])
        kept = held[search.is_fresh(held)]
        if len(kept) >= number or len(some) == len(starts):
            return kept[:number]
        looked *= 4


def strongest_disjoint(
    search: SearchContext, starts: Int64[ndarray, " window"], strengths: Float64[ndarray, " window"]
) -> Int64[ndarray, " kept"]:
    """The windows that overlap no stronger one, the strongest first; of equals the first in the
    corpus.
    """
    order = np.argsort(-strengths)
    falling = strengths[order]
    if (falling[1:] == falling[:-1]).any():
        order = np.lexsort((starts, -strengths))
    if (numbers := search.fixed_numbers(starts[order])) is not None:
        return starts[order[rows_of_firsts(numbers)]]
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    sequences = search.corpus.sequences_of(starts)
    return starts[select_disjoint(starts, sequences, strengths[order], search.width)]


def fill_with_random(
    search: SearchContext,
    split: Split,
    first: ChosenWindows,
    number: int,
    rng: np.random.Generator,
) -> ChosenWindows:
    """The first windows, and then random ones up to `number` in all."""
    wanted = number - len(first)
    others = (
        ChosenWindows(starts, np.full(len(starts), RANDOM_LABEL))
        for starts in random_windows(
            search, split, number + len(first), rng, wanted + wanted // 4 + 1
        )
    )
    return append_disjoint_windows(search, first, others, number)


def append_disjoint_windows(
    search: SearchContext, first: ChosenWindows, others: Iterable[ChosenWindows], number: int
) -> ChosenWindows:
    """The first windows, and then others that overlap none of them and hold other tokens, up to
    `number` in all; no more of the others are asked for than it takes.
    """
    found, left = [first], number - len(first)
    prints = np.sort(search.fingerprints(first.starts))
    for some in others if left > 0 else ():
        far = search.are_apart(some.starts, first.starts)
        copies = is_among(search.fingerprints(some.starts), prints)
        alone = np.flatnonzero(far & ~copies)[:left]
        found.append(ChosenWindows(some.starts[alone], some.quantiles[alone]))
        left -= len(alone)
        if not left:
            break
    return ChosenWindows(
        np.concatenate([each.starts for each in found]),
        np.concatenate([each.quantiles for each in found]),
    )


def is_apart(
    keys: Int64[ndarray, " window"], ascending: Int64[ndarray, " known"], width: int
) -> Bool[ndarray, " window"]:
    """Whether each key is at least so far from all those that ascend."""
    if len(ascending) == 0:
        return np.ones(len(keys), bool)
    behind = np.searchsorted(ascending, keys)
    after = ascending[np.minimum(behind, len(ascending) - 1)]
    before = ascending[np.maximum(behind - 1, 0)]
    return (np.abs(after - keys) >= width) & (np.abs(keys - before) >= width)


def count_top_tokens(
    search: SearchContext, number: int
) -> tuple[Int64[ndarray, " token"], Shaped[ndarray, " token"]]:
    """The tokens at which the feature fires most often in the train split, and how often."""
    tokens, counts = train_token_counts(search.corpus, search.activations)
    most = np.argsort(-counts, kind="stable")[:number]
    return tokens[most].astype(np.int64), counts[most]


def inactive_windows_around(
    search: SearchContext, split: Split, token: int, number: int, rng: np.random.Generator
) -> Int64[ndarray, " window"]:
    """Distinct inactive windows around random occurrences of the token that count: at least
    `number`, or all there are.
    """
    # shuffled as wide as they are looked up by
    places = counted_occurrences(search.corpus, split).of_token(token).astype(np.int64)
    found = np.empty(0, np.int64)
    for some in shuffled_blocks(places, number, rng):
        starts = ascending(search.placement.around(some, search.corpus, search.width))
        inactive = starts[search.is_inactive(starts)]
        found = ascending(np.concatenate([found, inactive])) if len(found) else inactive
        if len(found) >= number:
            break
    return found


def shuffled_blocks(
    places: Int[ndarray, " place"], number: int, rng: np.random.Generator
) -> Iterator[Int[ndarray, " place"]]:
    """All places in random order, in growing blocks that are drawn when they are asked for.

    Few places, four times the number or less, are one block. Of more, the first block is a quarter
    more than the number, whatever the number of places.
    """
    size = 4 * number
    if len(places) <= size:
        yield rng.permutation(places)
        return
    first = rng.choice(len(places), number + number // 4, replace=False)
    yield places[first]
    others = rng.permutation(np.delete(places, first))
    taken = 0
    while taken < len(others):
        yield others[taken : taken + size]
        taken, size = taken + size, 4 * size


@dataclass(frozen=True)
class SimilarNegatives:
    """The inactive windows nearest to each of those in which the feature fires, by their
    embeddings; the firing ones take turns.

    Only what lies closer than the nearest of as many unlike windows would lie by chance.
    """

    firing: int = 64  # windows that inactive ones are compared with, drawn at random

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` inactive windows, or as many as are close; fewer is no error.

        Raises BadInput where nothing is embedded.
        """
        index = search.sources.embeddings
        if index is None:
            raise BadInput(
                'negatives = "similar" looks windows up in an index of embeddings, got none; give'
                " NegativeSources one"
            )
        of_split = search.corpus.in_train[index.starts] == (split is Split.TRAIN)
        fires = of_split & search.fires(index.starts)
        drawn = rng.permutation(np.flatnonzero(fires))[: self.firing]
        inactive = of_split & search.is_inactive(index.starts)
        inactive[inactive] = search.is_fresh(index.starts[inactive])
        rows = np.empty(0, np.int64)
        if number and len(drawn) and inactive.any():
            rows = nearest_by_turn(
                index.cosines(drawn), inactive, number, index.least(int(inactive.sum()))
            )
        return ChosenWindows(index.starts[rows], np.full(len(rows), int(Negative.SIMILAR)))


def nearest_by_turn(
    cosines: Float32[ndarray, "firing window"],
    inactive: Bool[ndarray, " window"],
    number: int,
    least: float,
) -> Int64[ndarray, " chosen"]:
    """The inactive window nearest to each firing one, then the second nearest of each, and so on.

    None twice, none too far.
    """
    cosines = np.where(inactive, cosines, np.float32(-2))
    most = min(number, int(inactive.sum()))
    nearest = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
    close = np.take_along_axis(cosines, nearest, axis=1)
    order = np.argsort(-close, axis=1, kind="stable")
    nearest, close = (np.take_along_axis(each, order, axis=1) for each in (nearest, close))
    turns = nearest.T[least < close.T]
    return turns[np.sort(np.unique(turns, return_index=True)[1])][:number]


@dataclass(frozen=True)
class NeighbourNegatives:
    """Windows in which a feature with a near direction fires and this one is inactive.

    The nearest features take turns.
    """

    nearest: int = 10

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` inactive windows of neighbours, or as many as were found; fewer is no error."""
        places = [
            neighbour.activations.positions
            for neighbour in search.sources.neighbours[: self.nearest]
        ]
        return draw_by_turn(search, split, places, number, Negative.NEIGHBOURS, rng)


@dataclass(frozen=True)
class SiblingNegatives:
    """Windows in which a near feature fires at a token at which this one fires elsewhere, while
    this one is inactive.

    Siblings are the neighbours that fire at the same tokens: their overlap, the sum over tokens of
    the smaller of both shares of firings in the train split, is at least a twentieth. They take
    turns, those with the largest overlap first.
    """

    most: int = 10

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` inactive windows of siblings, or as many as were found; fewer is no error."""
        own = token_profile(search.corpus, search.activations)
        found = [neighbour.activations for neighbour in search.sources.neighbours]
        overlaps = np.array(
            [np.minimum(own, token_profile(search.corpus, each)).sum() for each in found]
        )
        order = [
            row
            for row in np.argsort(-overlaps, kind="stable")[: self.most]
            if overlaps[row] >= LEAST_OVERLAP
        ]
        tokens = np.flatnonzero(own)
        places = [found[row].positions for row in order]
        shared = [each[np.isin(search.corpus.tokens[each], tokens)] for each in places]
        return draw_by_turn(search, split, shared, number, Negative.SIBLINGS, rng)


@dataclass(frozen=True)
class HardNegatives:
    """A sixth each of siblings, neighbours and inactive top tokens, as far as they are found, and
    the rest random.
    """

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` inactive windows, or all there are; the hardest come first."""
        found = ChosenWindows(np.empty(0, np.int64), np.empty(0, np.int64))
        for method in (SiblingNegatives(), NeighbourNegatives(), SameTokenNegatives()):
            more = method.choose(search, split, number // 6 + 2 * len(found.starts), rng)
            found = append_disjoint_windows(search, found, [more], len(found) + number // 6)
        return fill_with_random(search, split, found, number, rng)


def token_profile(corpus: Corpus, activations: FeatureActivations) -> Float64[ndarray, " id"]:
    """At which tokens the feature fires in the train split: the share of each.

    All 0 where it never does.
    """
    tokens, counts = train_token_counts(corpus, activations)
    whole = np.zeros(len(corpus.vocabulary))
    whole[tokens] = counts
    return whole / max(counts.sum(), 1)


def draw_by_turn(
    search: SearchContext,
    split: Split,
    places: list[Int64[ndarray, " _"]],
    number: int,
    label: Negative,
    rng: np.random.Generator,
) -> ChosenWindows:
    """Inactive windows around these global token indices, drawn at random from one list after the
    other.
    """
    starts, turns = [np.empty(0, np.int64)], [np.empty(0)]
    for each in places:
        there = each[search.corpus.in_train[each] == (split is Split.TRAIN)]
        around = np.unique(search.placement.around(there, search.corpus, search.width))
        inactive = rng.permutation(around[search.is_inactive(around)])[: 2 * number]
        starts.append(inactive)
        turns.append(
            np.arange(len(inactive), dtype=np.float64) + 0.5 * float(rng.random())
        )  # whose turn comes first within a round is drawn
    found = choose_disjoint(search, np.concatenate(starts), -np.concatenate(turns), number)
    return ChosenWindows(found, np.full(len(found), int(label)))


WANT_NEIGHBOURS = frozenset({"neighbours", "siblings", "hard"})
WANT_EMBEDDINGS = frozenset({"similar"})
NEGATIVES: dict[str, NegativeFinder] = {
    "random": RandomNegatives(),
    "same_token": SameTokenNegatives(),
    "mix": MixedNegatives(),
    "neighbours": NeighbourNegatives(),
    "siblings": SiblingNegatives(),
    "hard": HardNegatives(),
    "similar": SimilarNegatives(),
}
