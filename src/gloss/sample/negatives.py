"""Windows in which a feature is silent: any, or those that hold a token at which it often fires."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64, UInt64
from numpy import ndarray

from gloss.records import FeatureActivations, Negative, Neighbour, Split
from gloss.sample.windows import Placement, apart, spaced
from gloss.store.contexts import Tiles, first_of_each, prints_of, tiles_of
from gloss.store.corpus import Corpus
from gloss.store.embeddings import Embeddings
from gloss.store.occurrences import occurrences_of

SILENT, NEAR_MISS = int(Negative.RANDOM), int(Negative.SAME_TOKEN)


@dataclass(frozen=True)
class Near:
    """What lies near a feature and its contexts; hard negatives come from there."""

    neighbours: tuple[Neighbour, ...] = ()  # nearest first
    embeddings: Embeddings | None = None  # of windows of the corpus, as wide as those that are asked for


NOTHING_NEAR = Near()


@dataclass(frozen=True)
class Ground:
    """Where the windows of one feature are looked for."""

    corpus: Corpus
    activations: FeatureActivations
    placement: Placement
    width: int
    near: Near = NOTHING_NEAR
    taken: UInt64[ndarray, " window"] = field(default_factory=lambda: np.empty(0, np.uint64))  # prints of windows that are used

    @property
    def tiles(self) -> Tiles:
        """The aligned windows of the corpus."""
        return tiles_of(self.corpus, self.width)

    def spaced(self, starts: Int64[ndarray, " window"]) -> Int64[ndarray, " window"]:
        """Numbers that are less than the width apart exactly where the windows overlap."""
        return spaced(starts, self.corpus.sequences_of(starts), self.width)

    def is_silent(self, starts: Int64[ndarray, " window"]) -> Bool[ndarray, " window"]:
        """Whether the feature is silent in the whole window that begins there."""
        ends = np.minimum(starts + self.width, self.corpus.offsets[self.corpus.sequences_of(starts) + 1])
        return np.searchsorted(self.activations.positions, starts) == np.searchsorted(self.activations.positions, ends)

    def prints(self, starts: Int64[ndarray, " window"]) -> UInt64[ndarray, " window"]:
        """A number for what each window holds."""
        tiles = self.tiles
        held = tiles.holding(starts)
        own = tiles.starts[held] != starts
        found = tiles.prints[held]
        found[own] = prints_of(self.corpus, starts[own], self.width)
        return found

    def fresh(self, starts: Int64[ndarray, " window"]) -> Bool[ndarray, " window"]:
        """Whether no window of the same tokens is taken already or stands before it here."""
        found = self.prints(starts)
        return first_of_each(found) & ~np.isin(found, self.taken)


@dataclass(frozen=True, slots=True)
class Silent:
    """Windows that hold no activation, and the label of how each was found, a Negative."""

    starts: Int64[ndarray, " window"]
    labels: Int64[ndarray, " window"]


@runtime_checkable
class Negatives(Protocol):
    """A way to find windows in which a feature is silent."""

    def choose(self, ground: Ground, split: Split, number: int, rng: np.random.Generator) -> Silent:
        """`number` windows of the split, or as many as there are; no two overlap or hold the same tokens, none is taken."""
        ...


@dataclass(frozen=True)
class RandomSilent:
    """Draw tiles uniformly without replacement from all tiles of the split in which the feature is silent."""

    def choose(self, ground: Ground, split: Split, number: int, rng: np.random.Generator) -> Silent:
        """`number` silent tiles, or all there are; of tiles that hold the same tokens the first stands for all."""
        tiles, drawable = ground.tiles, ground.tiles.drawable[split]
        firing = tiles.firing(ground.activations)
        fires = tiles.ranks[firing[(tiles.shown[firing] == (split is Split.SHOWN)) & tiles.distinct[firing]]]
        silent = len(drawable) - len(fires)
        drawn = rng.choice(silent, min(2 * number, silent), replace=False)  # some may be taken
        # The r-th silent tile stands behind as many firing ones as have at most r silent ones before them.
        ranks = drawn + np.searchsorted(fires - np.arange(len(fires)), drawn, side="right")
        starts = tiles.starts[drawable[ranks]]
        starts = starts[ground.fresh(starts)][:number]
        return Silent(starts, np.full(len(starts), SILENT))


@dataclass(frozen=True)
class SameToken:
    """Draw silent windows around the feature's favourite tokens, each token in proportion to how often the feature fires there.

    The favourites are the tokens at which it fires most often in the shown split.
    """

    favourites: int = 5

    def choose(self, ground: Ground, split: Split, number: int, rng: np.random.Generator) -> Silent:
        """`number` silent windows that hold a favourite token, or as many as were found; fewer is no error."""
        found, keys = [np.empty(0, np.int64)], [np.empty(0)]
        for token, count in zip(*favourites(ground, self.favourites), strict=True):
            found.append(silent_around(ground, split, int(token), 2 * number, rng))
            keys.append(np.log(rng.random(len(found[-1]))) * len(found[-1]) / count)  # (Efraimidis & Spirakis, 2006)
        starts, order = np.concatenate(found), np.argsort(np.concatenate(found), kind="stable")
        starts = starts[order]
        kept = apart(starts, ground.corpus.sequences_of(starts), np.concatenate(keys)[order], ground.width)
        kept = kept[ground.fresh(starts[kept])][:number]
        return Silent(starts[kept], np.full(len(kept), NEAR_MISS))


@dataclass(frozen=True)
class HalfSameToken:
    """Half `same_token`, as far as they are found, and the rest `random`."""

    favourites: int = 5

    def choose(self, ground: Ground, split: Split, number: int, rng: np.random.Generator) -> Silent:
        """`number` silent windows, or all there are; those with a favourite token come first."""
        near = SameToken(self.favourites).choose(ground, split, number // 2, rng)
        # Each near miss overlaps two tiles at most, so that enough remain when those are left out.
        return joined(ground, near, RandomSilent().choose(ground, split, number + len(near.starts), rng), number)


def joined(ground: Ground, first: Silent, others: Silent, number: int) -> Silent:
    """The first windows, and then others that overlap none of them and hold other tokens, up to `number` in all."""
    distances = np.abs(ground.spaced(others.starts)[:, None] - ground.spaced(first.starts)[None, :])
    copies = np.isin(ground.prints(others.starts), ground.prints(first.starts))
    alone = np.flatnonzero((distances >= ground.width).all(axis=1) & ~copies)[: number - len(first.starts)]
    return Silent(np.concatenate([first.starts, others.starts[alone]]), np.concatenate([first.labels, others.labels[alone]]))


def favourites(ground: Ground, number: int) -> tuple[Int64[ndarray, " token"], Int64[ndarray, " token"]]:
    """The tokens at which the feature fires most often in the shown split, and how often it does."""
    positions = ground.activations.positions
    fired = ground.corpus.tokens[positions[ground.corpus.shown[positions]]]
    tokens, counts = np.unique(fired, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:number]
    return tokens[most].astype(np.int64), counts[most]


def silent_around(ground: Ground, split: Split, token: int, number: int, rng: np.random.Generator) -> Int64[ndarray, " window"]:
    """Distinct silent windows around random occurrences of the token that count: at least `number`, or all there are."""
    places = occurrences_of(ground.corpus).of(token)
    of_split = ground.corpus.shown[places] == (split is Split.SHOWN)
    places = rng.permutation(places[of_split & ground.corpus.counted[places]])
    found, taken, size = np.empty(0, np.int64), 0, 4 * number
    while taken < len(places) and len(found) < number:
        starts = ground.placement.around(places[taken : taken + size], ground.corpus, ground.width)
        found = np.union1d(found, starts[ground.is_silent(starts)])
        taken, size = taken + size, 4 * size
    return found
