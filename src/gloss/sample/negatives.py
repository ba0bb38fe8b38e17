"""Windows in which a feature is inactive: any, with its top tokens, where near features fire, or
whose text is similar.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int64, Shaped, UInt64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.records import FeatureActivations, Negative, Neighbour, Split
from gloss.rules.occurrences import Occurrences
from gloss.sample.windows import Aligned, ChosenWindows, Placement, overlap_keys, select_disjoint
from gloss.store.contexts import (
    FixedWindows,
    corpus_windows,
    is_among,
    is_first_of_equals,
    window_fingerprints,
)
from gloss.store.corpus import Corpus, counted_occurrences
from gloss.store.embeddings import Embeddings
from gloss.store.feature_facts import train_token_counts

RANDOM_LABEL, SAME_TOKEN_LABEL = int(Negative.RANDOM), int(Negative.SAME_TOKEN)
FEW = 8  # times as many windows as are wanted: of more, some are drawn and looked at
TRIES = 3  # before all are looked at
# times as many as should do are looked at, and so many more
DRAWN, SLACK = 1.2, 16
MOST_OF_TOKEN = 0.25  # of a token's places that are drawn; where more are wanted, all are looked at
LEAST_INACTIVE, MOST_DRAWN = 0.1, 0.9  # shares of windows that are counted on
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
    # where windows begin whose text is used
    taken: Int64[ndarray, " window"] = field(default_factory=lambda: np.empty(0, np.int64))

    @cached_property
    def windows(self) -> FixedWindows:
        """The aligned windows of the corpus."""
        return corpus_windows(self.corpus, self.width)

    def besides(
        self,
        starts: Int64[ndarray, " window"],
        numbers: Int64[ndarray, " window"] | None = None,
    ) -> "SearchContext":
        """The same search where the text of these windows is used, too; of aligned ones the numbers
        may be given.
        """
        taken = np.concatenate([self.taken, starts])
        more = SearchContext(
            self.corpus, self.activations, self.placement, self.width, self.sources, taken
        )
        numbers = self.fixed_numbers(starts) if numbers is None else numbers
        if numbers is not None:
            vars(more)["used"] = np.concatenate([self.used, self.windows.same.take(numbers)])
        return more

    @property
    def is_aligned(self) -> bool:
        """Whether all windows that are looked for are among the aligned ones."""
        return isinstance(self.placement, Aligned)

    @cached_property
    def fires_in(self) -> Int64[ndarray, " window"]:
        """The numbers of the aligned windows in which the feature fires, ascending."""
        return self.windows.firing(self.activations)

    @cached_property
    def used(self) -> Int[ndarray, " window"]:
        """The numbers of the aligned windows that stand for all of their text, of those in one of
        which the feature fires or of which one is taken; some twice.
        """
        fires = self.windows.same.take(self.fires_in)
        if not len(self.taken):
            return fires
        taken = self.windows.holding_prints(self.fingerprints(self.taken))
        return np.concatenate([fires, taken])

    @cached_property
    def taken_prints(self) -> UInt64[ndarray, " window"]:
        """The prints of what is taken, ascending."""
        return np.sort(self.fingerprints(self.taken))

    def overlap_keys(self, starts: Int64[ndarray, " window"]) -> Int64[ndarray, " window"]:
        """Numbers that are less than the width apart exactly where the windows overlap."""
        return overlap_keys(starts, self.corpus.sequences_of(starts), self.width)

    def fixed_numbers(self, starts: Int64[ndarray, " window"]) -> Int64[ndarray, " window"] | None:
        """The numbers of these windows, where all of them are aligned."""
        held = self.windows.windows_of(starts)
        return held if (self.windows.starts.take(held) == starts).all() else None

    def fires(self, starts: Int64[ndarray, " window"]) -> Bool[ndarray, " window"]:
        """Whether the feature is active somewhere in the window that begins there."""
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
        keys, taken = self.overlap_keys(starts), np.sort(self.overlap_keys(others))
        return is_apart(keys, taken, self.width)

    def is_fresh(self, starts: Int64[ndarray, " window"]) -> Bool[ndarray, " window"]:
        """Whether no window of the same tokens is taken already or stands before it here."""
        found = self.fingerprints(starts)
        return is_first_of_equals(found) & ~is_among(found, self.taken_prints)

    def holders(self, split: Split) -> Occurrences:
        """Of each token of the vocabulary, where in a split it stands and counts: the places, or,
        where windows are aligned, the numbers of the windows that hold it.
        """
        if self.is_aligned:
            return self.windows.holders(split)
        return counted_occurrences(self.corpus, split)

    def free_windows(
        self, held: Int[ndarray, " place"]
    ) -> tuple[
        Int64[ndarray, " window"],
        Int64[ndarray, " window"] | None,
        Int64[ndarray, " window"],
    ]:
        """The windows that hold tokens there, as `holders` tell it, of those that are not used:
        where they begin, their numbers if they are aligned, and which of all they are.
        """
        if self.is_aligned:
            free = self.windows.rows_of_free(self.windows.same.take(held), self.used)
            numbers = held.take(free).astype(np.int64)
            return self.windows.starts.take(numbers), numbers, free
        starts = self.placement.around(held.astype(np.int64), self.corpus, self.width)
        copies = is_among(self.fingerprints(starts), self.taken_prints)
        free = np.flatnonzero(self.is_inactive(starts) & ~copies)
        return starts[free], None, free


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
        found = random_windows(search.used, search, split, number, rng)
        starts = search.windows.starts.take(found)
        return ChosenWindows(starts, np.full(len(found), RANDOM_LABEL), found)


def random_windows(
    used: Int[ndarray, " used"],
    search: SearchContext,
    split: Split,
    number: int,
    rng: np.random.Generator,
) -> Int64[ndarray, " window"]:
    """The numbers of at most `number` aligned windows of a split that are not among those used, in
    random order.
    """
    windows, drawable = search.windows, search.windows.drawable[split]
    if len(drawable) > FEW * number:
        inactive = 1 - len(search.fires_in) / len(windows.starts)
        found = np.empty(0, np.int64)
        for _ in range(TRIES):
            tried = int(DRAWN * number / max(inactive, LEAST_INACTIVE)) + SLACK
            some = drawable.take(rng.integers(len(drawable), size=tried))
            found = np.concatenate([found, some])
            found = found.take(windows.rows_of_new(found, used))
            if len(found) >= number:
                return found[:number]
    left = drawable[windows.rows_of_free(drawable, used)]
    return left[rng.choice(len(left), min(number, len(left)), replace=False)]


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
        tokens, counts = count_top_tokens(search, self.top_tokens)
        if not number or not len(tokens):
            return ChosenWindows(np.empty(0, np.int64), np.empty(0, np.int64))
        wanted = places_wanted(search, split, tokens, counts, number)
        while True:
            found = windows_by_turn(search, split, tokens, counts, wanted, rng)
            rows = choose_disjoint(search, found.starts, -found.turns, number, found.numbers)
            if len(rows) == number or not found.short.any():
                numbers = None if found.numbers is None else found.numbers[rows]
                labels = np.full(len(rows), SAME_TOKEN_LABEL)
                return ChosenWindows(found.starts[rows], labels, numbers)
            wanted[found.short] *= max(2, 2 * number // (len(rows) + 1))


class WindowsByTurn(NamedTuple):
    """Windows around random places of tokens that take turns."""

    starts: Int64[ndarray, " window"]
    numbers: Int64[ndarray, " window"] | None  # of aligned ones
    turns: Float64[ndarray, " window"]  # the least comes first
    short: Bool[ndarray, " token"]  # the tokens whose other places would make more turns known


def windows_by_turn(
    search: SearchContext,
    split: Split,
    tokens: Int64[ndarray, " token"],
    counts: Shaped[ndarray, " token"],
    wanted: Int64[ndarray, " token"],
    rng: np.random.Generator,
) -> WindowsByTurn:
    """Windows that may be used around so many random places of these tokens, each with a turn
    between 0 and where its token's end.

    A token of twice the count has a turn twice as often. Of a token that has many more places some
    are drawn, and no window comes whose turn is behind what is known.
    """
    held = search.holders(split)
    begins, sizes = held.offsets[tokens], held.offsets[tokens + 1] - held.offsets[tokens]
    # of nearly all some would come so often that they stood for fewer windows than they have turns
    lengths = np.where(wanted >= MOST_OF_TOKEN * sizes, sizes, wanted)
    of_token = np.repeat(np.arange(len(tokens)), lengths)
    places = np.arange(len(of_token)) + (begins - np.cumsum(lengths) + lengths)[of_token]
    if len(some := np.flatnonzero((lengths < sizes)[of_token])):
        drawn = (rng.random(len(some)) * sizes[of_token[some]]).astype(np.int64)
        places[some] = begins[of_token[some]] + drawn
    starts, numbers, free = search.free_windows(held.order[places])
    of_token = of_token[free]
    ends = np.bincount(of_token, minlength=len(tokens)) / counts
    turns = rng.random(len(free)) * ends[of_token]
    limit = ends[lengths < sizes].min(initial=np.inf)
    known = turns < limit
    starts, turns = starts[known], turns[known]
    numbers = None if numbers is None else numbers[known]
    return WindowsByTurn(starts, numbers, turns, (lengths < sizes) & (ends <= limit))


def places_wanted(
    search: SearchContext,
    split: Split,
    tokens: Int64[ndarray, " token"],
    counts: Shaped[ndarray, " token"],
    number: int,
) -> Int64[ndarray, " token"]:
    """At how many random places of each token to look for so many different windows in all: at all
    where these are not many; else most often at enough.
    """
    offsets, every = search.holders(split).offsets, len(search.windows.starts)
    sizes = offsets[tokens + 1] - offsets[tokens]
    if sizes.sum() <= FEW * number:
        return sizes
    inactive = 1 - len(search.fires_in) / every
    others = max(inactive * every / 2, 1.0)  # of a split
    draws = -others * np.log(1 - min(number / others, MOST_DRAWN))  # since some come twice
    silent = np.maximum((1 - counts / np.maximum(sizes, 1)) * inactive, LEAST_INACTIVE)
    return (DRAWN * draws * counts / counts.sum() / silent).astype(np.int64) + SLACK


@dataclass(frozen=True)
class MixedNegatives:
    """Half `same_token`, as far as they are found, and the rest `random`."""

    top_tokens: int = 5

    def choose(
        self, search: SearchContext, split: Split, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """`number` inactive windows, or all there are; those with a top token come first."""
        near = SameTokenNegatives(self.top_tokens).choose(search, split, number // 2, rng)
        return fill_with_random(search, split, near, number, rng)


def choose_disjoint(
    search: SearchContext,
    starts: Int64[ndarray, " window"],
    strengths: Float64[ndarray, " window"],
    number: int,
    numbers: Int64[ndarray, " window"] | None = None,
) -> Int64[ndarray, " chosen"]:
    """The rows of at most `number` windows that do not overlap and hold different tokens that are
    not taken, greedily from the strongest; weaker ones are looked at as far as they are needed. Of
    aligned windows the numbers may be given.
    """
    numbers = search.fixed_numbers(starts) if numbers is None else numbers
    if numbers is not None:
        order = strongest_first(starts, strengths)
        names = search.windows.same.take(numbers[order])
        return order[search.windows.rows_of_new(names, search.used)[:number]]
    looked = 2 * number
    while True:
        some = np.arange(len(starts))
        if looked < len(starts):
            least = -np.partition(-strengths, looked)[looked]
            some = np.flatnonzero(strengths >= least)
        held = some[strongest_disjoint(search, starts[some], strengths[some])]
        kept = held[search.is_fresh(starts[held])]
        if len(kept) >= number or len(some) == len(starts):
            return kept[:number]
        looked *= 4


def strongest_disjoint(
    search: SearchContext, starts: Int64[ndarray, " window"], strengths: Float64[ndarray, " window"]
) -> Int64[ndarray, " kept"]:
    """The rows of the windows that overlap no stronger one, the strongest first; of equals the
    first in the corpus.
    """
    order = np.argsort(starts, kind="stable")
    sequences = search.corpus.sequences_of(starts[order])
    return order[select_disjoint(starts[order], sequences, strengths[order], search.width)]


def strongest_first(
    starts: Int64[ndarray, " window"], strengths: Float64[ndarray, " window"]
) -> Int64[ndarray, " window"]:
    """The rows from the strongest to the weakest; of equals the first in the corpus leads."""
    order = np.argsort(-strengths)
    falling = strengths[order]
    if (falling[1:] == falling[:-1]).any():
        return np.lexsort((starts, -strengths))
    return order


def fill_with_random(
    search: SearchContext,
    split: Split,
    first: ChosenWindows,
    number: int,
    rng: np.random.Generator,
) -> ChosenWindows:
    """The first windows, and then random ones up to `number` in all that overlap none of them."""
    windows, used = search.windows, search.besides(first.starts, first.numbers).used
    if not search.is_aligned:
        ends = np.minimum(
            first.starts + search.width,
            search.corpus.offsets[search.corpus.sequences_of(first.starts) + 1],
        )
        used = np.concatenate(
            [used, windows.windows_of(first.starts), windows.windows_of(ends - 1)]
        )
    others = random_windows(used, search, split, number - len(first), rng)
    return ChosenWindows(
        np.concatenate([first.starts, windows.starts.take(others)]),
        np.concatenate([first.quantiles, np.full(len(others), RANDOM_LABEL)]),
        None if first.numbers is None else np.concatenate([first.numbers, others]),
    )


def append_disjoint_windows(
    search: SearchContext, first: ChosenWindows, others: ChosenWindows, number: int
) -> ChosenWindows:
    """The first windows, and then others that overlap none of them and hold other tokens, up to
    `number` in all.
    """
    prints = np.sort(search.fingerprints(first.starts))
    far = search.are_apart(others.starts, first.starts)
    copies = is_among(search.fingerprints(others.starts), prints)
    alone = np.flatnonzero(far & ~copies)[: number - len(first)]
    return ChosenWindows(
        np.append(first.starts, others.starts[alone]),
        np.append(first.quantiles, others.quantiles[alone]),
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
            found = append_disjoint_windows(search, found, more, len(found) + number // 6)
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
    found = np.concatenate(starts)
    found = found[choose_disjoint(search, found, -np.concatenate(turns), number)]
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
