"""Silent windows that are hard to tell: features with a near direction fire there, at any token or at this feature's own."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.records import FeatureActivations, Negative, Split
from gloss.sample.negatives import Ground, HalfSameToken, Negatives, RandomSilent, SameToken, Silent, joined
from gloss.sample.similar import Similar
from gloss.sample.windows import apart
from gloss.store.corpus import Corpus

LEAST_OVERLAP = 0.05  # of the tokens of two features, from which on they count as siblings


@dataclass(frozen=True)
class Neighbours:
    """Windows in which a feature with a near direction fires and this one is silent; the nearest features take turns."""

    nearest: int = 10

    def choose(self, ground: Ground, split: Split, number: int, rng: np.random.Generator) -> Silent:
        """`number` silent windows of neighbours, or as many as were found; fewer is no error."""
        places = [neighbour.activations.positions for neighbour in ground.near.neighbours[: self.nearest]]
        return taking_turns(ground, split, places, number, Negative.NEIGHBOURS, rng)


@dataclass(frozen=True)
class Siblings:
    """Windows in which a near feature fires at a token at which this one fires elsewhere, while this one is silent.

    Siblings are the neighbours that fire at the same tokens: their overlap, the sum over tokens of the smaller of both shares of
    firings in the shown split, is at least a twentieth. They take turns, those with the largest overlap first.
    """

    most: int = 10

    def choose(self, ground: Ground, split: Split, number: int, rng: np.random.Generator) -> Silent:
        """`number` silent windows of siblings, or as many as were found; fewer is no error."""
        own = profile(ground.corpus, ground.activations)
        found = [neighbour.activations for neighbour in ground.near.neighbours]
        overlaps = np.array([np.minimum(own, profile(ground.corpus, each)).sum() for each in found])
        order = [row for row in np.argsort(-overlaps, kind="stable")[: self.most] if overlaps[row] >= LEAST_OVERLAP]
        tokens = np.flatnonzero(own)
        places = [found[row].positions for row in order]
        shared = [each[np.isin(ground.corpus.tokens[each], tokens)] for each in places]
        return taking_turns(ground, split, shared, number, Negative.SIBLINGS, rng)


@dataclass(frozen=True)
class Hard:
    """A sixth each of siblings, neighbours and silent favourite tokens, as far as they are found, and the rest random."""

    def choose(self, ground: Ground, split: Split, number: int, rng: np.random.Generator) -> Silent:
        """`number` silent windows, or all there are; the hardest come first."""
        found = Silent(np.empty(0, np.int64), np.empty(0, np.int64))
        for method in (Siblings(), Neighbours(), SameToken()):
            more = method.choose(ground, split, number // 6 + 2 * len(found.starts), rng)
            found = joined(ground, found, more, len(found.starts) + number // 6)
        return joined(ground, found, RandomSilent().choose(ground, split, number + len(found.starts), rng), number)


def profile(corpus: Corpus, activations: FeatureActivations) -> Float64[ndarray, " id"]:
    """At which tokens the feature fires in the shown split: the share of each; all 0 where it never does."""
    fired = corpus.tokens[activations.positions[corpus.shown[activations.positions]]]
    return np.bincount(fired, minlength=len(corpus.vocabulary)) / max(len(fired), 1)


def taking_turns(
    ground: Ground,
    split: Split,
    places: list[Int64[ndarray, " _"]],
    number: int,
    label: Negative,
    rng: np.random.Generator,
) -> Silent:
    """Silent windows around these global token indices, drawn at random from one list after the other."""
    starts, turns = [np.empty(0, np.int64)], [np.empty(0)]
    for each in places:
        there = each[ground.corpus.shown[each] == (split is Split.SHOWN)]
        around = np.unique(ground.placement.around(there, ground.corpus, ground.width))
        silent = rng.permutation(around[ground.is_silent(around)])[: 2 * number]
        starts.append(silent)
        turns.append(
            np.arange(len(silent), dtype=np.float64) + 0.5 * float(rng.random())
        )  # whose turn comes first within a round is drawn
    found = np.concatenate(starts)
    order = np.argsort(found, kind="stable")
    kept = apart(found[order], ground.corpus.sequences_of(found[order]), -np.concatenate(turns)[order], ground.width)
    kept = kept[ground.fresh(found[order][kept])][:number]
    return Silent(found[order][kept], np.full(len(kept), int(label)))


WANT_NEIGHBOURS = frozenset({"neighbours", "siblings", "hard"})
WANT_EMBEDDINGS = frozenset({"similar"})
NEGATIVES: dict[str, Negatives] = {
    "random": RandomSilent(),
    "same_token": SameToken(),
    "mix": HalfSameToken(),
    "neighbours": Neighbours(),
    "siblings": Siblings(),
    "hard": Hard(),
    "similar": Similar(),
}
