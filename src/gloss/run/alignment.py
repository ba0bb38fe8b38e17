"""Which features of two dictionaries go together: by what they write and read, by where they fire
on the same text, by what their explanations say; each beside chance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from scipy.sparse import csc_matrix

from gloss.decompose.all_pairs import AllPairs, Index
from gloss.decompose.coactivation import SharedTokens, activation_correlations, moved_in_time
from gloss.decompose.feature_matching import (
    FeaturePartners,
    Hungarian,
    Matcher,
    UnitDirections,
    match_features,
    require_same_widths,
)
from gloss.decompose.partner_search import HUNGARIAN, Nearest, assign
from gloss.errors import BadInput, GlossError
from gloss.models.embedder import Embedder
from gloss.models.sites import Site, parse_site
from gloss.records import Estimate
from gloss.run.experiment import method_label
from gloss.run.methods import build_method
from gloss.run.opened_run import OpenedRun
from gloss.run.sources import NamedDictionary
from gloss.run.stages.embeddings import open_embedder
from gloss.statistics.intervals import bootstrap, wilson_interval

WEIGHTS, DECODER, ENCODER = "weights", "decoder", "encoder"
COACTIVATION, EXPLANATIONS = "coactivation", "explanations"
FEWEST_PAIRS = 10  # or else nothing is said of how close partners are
MOST_PAIRS = 4096  # of more, so many are drawn to be held against shuffled ones


@dataclass(frozen=True, eq=False)
class Side:
    """A dictionary that is compared, and the run that it is of, where it is one's."""

    name: str
    dictionary: NamedDictionary
    explainer: str = ""  # whose explanations are compared; "" takes the run's first

    @cached_property
    def directions(self) -> UnitDirections:
        return UnitDirections.of(self.dictionary.load())

    @property
    def run(self) -> OpenedRun:
        """Raises BadInput where it is of none, or has not collected."""
        run = self.dictionary.run
        if run is None:
            raise BadInput(
                f"{self.name} is no run, so nobody knows where its features fire or what is said of"
                " them; give the folder of a run"
            )
        if not run.part("collect", 0).is_done:
            raise BadInput(f"{self.name} has not collected yet; run its experiment first")
        return run

    @property
    def site(self) -> Site | None:
        """Where the features of a run were read."""
        if self.dictionary.run is None:
            return None
        return parse_site(self.run.activations.manifest["made_from"]["site"])

    @cached_property
    def texts(self) -> dict[int, str]:
        """The explanation of each explained feature. Raises BadInput where there is none."""
        labels = [method_label(table) for table in self.run.experiment.explain]
        explainer = self.explainer or labels[0]
        rows = self.run.rows("explain", "explanations")
        found = {row["feature"]: row["text"] for row in rows if row["method"] == explainer}
        if not found:
            raise BadInput(
                f"{self.name} has no explanation by {explainer}; its explainers are"
                f" {', '.join(labels)}"
            )
        return dict(sorted(found.items()))


@dataclass(frozen=True, eq=False)
class Closeness:
    """How close each of some features of one dictionary is to each of some of another's."""

    left: Int64[ndarray, " left"]  # indices of features
    right: Int64[ndarray, " right"]
    pairs: AllPairs  # 1: the same


@dataclass(frozen=True, eq=False)
class Alignment:
    """Partners, one to one, and what chance gives in the same way."""

    way: str
    matcher: str
    features: int  # of the smaller side, with a partner or without
    left: Int64[ndarray, " pair"]
    right: Int64[ndarray, " pair"]
    closeness: Float32[ndarray, " pair"]
    agreed: Float32[ndarray, " pair"]  # the same, or -1 where encoder and decoder disagree
    by_chance: Float32[ndarray, " _"]
    agreed_by_chance: Float32[ndarray, " _"]
    left_by_chance: Int64[ndarray, " _"]  # whose these are
    # the share by which the closeness of the best partners can add up to more; None: nobody knows
    gap: float | None = None

    def __len__(self) -> int:
        return len(self.left)

    def share(self, least: float) -> Estimate:
        """The share of the smaller side's features that are in both, with Wilson's interval."""
        return wilson_interval(int((self.agreed >= least).sum()), self.features)

    def share_by_chance(self, least: float) -> float:
        return float((self.agreed_by_chance >= least).sum() / self.features)


@dataclass(frozen=True)
class PartnerCloseness:
    """How close partners are by another measure than the one that they were found by."""

    pairs: int
    matched: Estimate
    shuffled: Estimate  # each with the partners of the others
    difference: Estimate


@dataclass(frozen=True, eq=False)
class ComparedPair:
    """Two dictionaries beside each other: partners in each way, and how close these are by the
    other measures.
    """

    left: Side
    right: Side
    alignments: tuple[Alignment, ...]
    # by the way that partners were found, the measure, and whether these are the shared ones alone
    otherwise: dict[tuple[str, str, bool], PartnerCloseness]
    impossible: dict[str, GlossError]  # ways that there are not, and why
    # by what they write, one for several: as it is, and with random ones on the right
    nearest: tuple[Nearest, Nearest] | None

    @cached_property
    def has_one_dictionary(self) -> bool:
        """Whether both sides have the same features, so that what differs is the subject."""
        mine, other = self.left.directions, self.right.directions
        return np.array_equal(mine.writes, other.writes) and np.array_equal(mine.reads, other.reads)

    @property
    def name(self) -> str:
        """Both, by the last parts of their folders where these differ."""
        return " and ".join(short_names((self.left.name, self.right.name)))


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """The last parts of folders, where these differ."""
    short = [Path(name).name or name for name in names]
    return tuple(short if len(set(short)) == len(short) else names)


Measured = tuple[Closeness, Callable[[np.random.Generator], AllPairs]]


def by_directions(left: Side, right: Side, which: str) -> Measured:
    """Cosines of what features write, or read; chance draws directions at random.

    Raises Mismatch where sites differ in width.
    """
    require_same_widths(left.directions, right.directions)
    mine, other = (getattr(side.directions, which) for side in (left, right))

    def chance(rng: np.random.Generator) -> AllPairs:
        return AllPairs.of_directions(mine, getattr(right.directions.random_twin(rng), which))

    found = AllPairs.of_directions(mine, other)
    return Closeness(np.arange(len(mine)), np.arange(len(other)), found), chance


def by_coactivation(left: Side, right: Side) -> Measured:
    """Correlations of activations on the tokens that both read, of the features that fire often
    enough; chance moves the right ones along the text.

    Raises BadInput for what is no run, and Mismatch for other tokens.
    """
    mine, other = shared_firing(left, right)

    def chance(rng: np.random.Generator) -> AllPairs:
        return activation_correlations(mine, moved_in_time(other, rng))

    found = Closeness(left.run.live, right.run.live, activation_correlations(mine, other))
    return found, chance


@lru_cache(maxsize=1)
def shared_firing(left: Side, right: Side) -> tuple[csc_matrix, csc_matrix]:
    """The activations of both on the tokens that both read, of the features that fire often enough.

    Raises BadInput for what is no run, and Mismatch for other tokens.
    """
    tokens = SharedTokens.of(left.run.corpus, right.run.corpus)
    mine, other = (tokens.matrix(side.run.activations, side.run.live) for side in (left, right))
    return mine, other


def by_explanations(left: Side, right: Side) -> Measured:
    """Cosines of what explanations say, by what embeds text in the left run's [embeddings]; chance
    finds partners among other features of the larger side itself.

    Raises BadInput where there are none, BadSettings where nothing embeds.
    """
    said = [tuple(side.texts.values()) for side in (left, right)]
    embedder = open_embedder(left.run)
    mine, other = (embed_explanations(embedder, texts) for texts in said)
    large, number = max(mine, other, key=len), min(len(mine), len(other))

    def chance(rng: np.random.Generator) -> AllPairs:
        drawn = rng.choice(len(large), number, replace=False)

        every = np.arange(len(large))

        def others(rows: Index, columns: Index) -> Float32[ndarray, "row column"]:
            found = large[drawn[rows]] @ large[columns].T
            found[drawn[rows][:, None] == every[columns]] = -2  # nobody is the partner of itself
            return found

        return AllPairs((number, len(large)), others)

    rows, columns = (np.array(list(side.texts), dtype=np.int64) for side in (left, right))
    return Closeness(rows, columns, AllPairs.of_directions(mine, other)), chance


@lru_cache(maxsize=32)
def embed_explanations(embedder: Embedder, texts: tuple[str, ...]) -> Float32[ndarray, "text d"]:
    """What the texts say, as directions; once for all pairs that a run is in."""
    return embedder.embed(texts)


MEASURES: Mapping[str, Callable[[Side, Side], Measured]] = {
    DECODER: lambda left, right: by_directions(left, right, "writes"),
    ENCODER: lambda left, right: by_directions(left, right, "reads"),
    COACTIVATION: by_coactivation,
    EXPLANATIONS: by_explanations,
}
WAYS = (WEIGHTS, *MEASURES)


def align_by_weights(
    left: Side, right: Side, rng: np.random.Generator, name: str = ""
) -> Alignment:
    """Partners by decoder, shared where the encoder says the same (Paulo and Belrose, 2025), found
    by the matcher of this name.
    """
    name = name or HUNGARIAN
    matcher: Matcher = build_method("match", {"method": name})
    found = match_features(left.directions, right.directions, matcher)
    if isinstance(matcher, Hungarian):  # of chance, nobody asks for the last part in a thousand
        matcher = replace(matcher, rounds=2)
    chance = match_features(left.directions, right.directions.random_twin(rng), matcher)
    has = found.by_writing >= 0

    def agreed(side: FeaturePartners) -> Float32[ndarray, " left"]:
        same = side.by_reading == side.by_writing
        return np.where(same, np.minimum(side.reading, side.writing), np.float32(-1))

    kept = chance.by_writing >= 0
    return Alignment(
        WEIGHTS,
        name,
        min(len(left.directions), len(right.directions)),
        np.flatnonzero(has),
        found.by_writing[has],
        found.writing[has],
        agreed(found)[has],
        chance.writing[kept],
        agreed(chance)[kept],
        np.flatnonzero(kept),
        found.gap,
    )


def align_by(way: str, measured: Measured, rng: np.random.Generator) -> Alignment:
    """Partners that are closest together by one measure."""
    closeness, chance = measured
    found = assign(closeness.pairs)
    has = found.of_left >= 0
    drawn = assign(chance(rng))
    drawn_rows = np.flatnonzero(drawn.of_left >= 0)
    drawn_near = drawn.closeness[drawn_rows]
    return Alignment(
        way,
        HUNGARIAN,
        min(closeness.pairs.shape),
        closeness.left[has],
        closeness.right[found.of_left[has]],
        found.closeness[has],
        found.closeness[has],
        drawn_near,
        drawn_near,
        closeness.left[drawn_rows],
        found.gap,
    )


def partner_closeness(
    found: Alignment, closeness: Closeness, rng: np.random.Generator, least: float = -2.0
) -> PartnerCloseness:
    """How close partners are by a measure, beside each one's mean with the partners of all others,
    with bootstraps over pairs; missing for few.

    Of the partners that are at least so close by their own measure.
    """
    rows, columns = (
        np.searchsorted(known, np.clip(own, known[0], known[-1])) if len(known) else own * 0
        for known, own in ((closeness.left, found.left), (closeness.right, found.right))
    )
    both = np.isin(found.left, closeness.left) & np.isin(found.right, closeness.right)
    both &= found.agreed >= least
    pairs = np.flatnonzero(both)
    if len(pairs) < FEWEST_PAIRS:
        return PartnerCloseness(len(pairs), *(Estimate.missing(),) * 3)
    used = pairs if len(pairs) <= MOST_PAIRS else rng.choice(pairs, MOST_PAIRS, replace=False)
    square = closeness.pairs.square(rows[used], columns[used]).astype(np.float64)
    matched, others = np.diagonal(square), len(used) - 1
    shuffled = (square.sum(0) + square.sum(1) - 2 * matched) / (2 * others)
    return PartnerCloseness(
        len(used),
        *(
            bootstrap(lambda x: x.mean(axis=-1), values, rng=rng)
            for values in (matched, shuffled, matched - shuffled)
        ),
    )
