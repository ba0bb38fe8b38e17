"""Gather what shows one feature: contexts of both splits in which it fires, and contexts in which
it is inactive.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.records import Contexts, Examples, Failure, FeatureActivations, FeatureId, Reason, Split
from gloss.sample import Sampler
from gloss.sample.negatives import NEGATIVES, NO_SOURCES, NegativeSources, SearchContext
from gloss.sample.samplers import Quantiles
from gloss.sample.weighted_choice import choose_weighted
from gloss.sample.windows import PLACEMENTS, ChosenWindows, FiringWindows
from gloss.store.contexts import cut_contexts, is_first_of_equals
from gloss.store.corpus import Corpus
from gloss.store.feature_facts import feature_facts

QUANTILES = Quantiles()  # of held-out contexts


def require_sampler_table(given: object) -> None:
    """Raise ValueError for what cannot name a sampler."""
    if not isinstance(given, str) and not (isinstance(given, Mapping) and "method" in given):
        raise ValueError(
            f"held_out_sample must be the name of a sampler, or a table with one, got {given!r}"
        )


@dataclass(frozen=True)
class SamplingSettings:
    """How many contexts of each kind a feature gets, how long they are, where they stand and what
    the inactive ones hold.
    """

    context_length: int = 32  # tokens
    train: int = 200  # a language model is shown fewer of them; rules are found from all
    held_out: int = 50
    # half of them hold a top token: an explainer learns most from near misses
    inactive_train: int = 2000
    inactive_held_out: int = 50
    minimum: int = 10  # windows in which the feature must fire, in each split
    placement: str = "aligned"  # or centred
    # of the held-out split; or same_token, mix, neighbours, siblings, hard, similar
    negatives: str = "random"
    # what chooses the held-out contexts, whatever explainers are shown: a sampler's name, or a
    # table with its settings
    held_out_sample: str | Mapping[str, Any] = "quantiles"

    checks: ClassVar[Mapping[str, Any]] = {"held_out_sample": require_sampler_table}

    def __post_init__(self) -> None:
        for name in ("context_length", "train", "held_out", "minimum"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("inactive_train", "inactive_held_out"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name, known in (("placement", PLACEMENTS), ("negatives", NEGATIVES)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )


@dataclass(frozen=True, slots=True)
class Draws:
    """A stream of random numbers for each kind of contexts, so that none depends on how the others
    are drawn.
    """

    key: bytes  # of one feature

    @classmethod
    def of(cls, rng: np.random.Generator) -> "Draws":
        """Those of one feature: equal for generators that are in one state."""
        return cls(rng.bytes(16))

    def stream(self, kind: str) -> np.random.Generator:
        """That of a kind of contexts, from its beginning."""
        # numpy's stubs know of no seed sequences but its own
        state: Any = HashedState(hashlib.sha256(self.key + kind.encode()).digest())
        return np.random.Generator(np.random.PCG64(state))


class HashedState(np.random.bit_generator.ISeedSequence):
    """The state of a generator, taken from a hash as it is: a tenth of what it takes to make a seed
    and to hash that again.
    """

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> ndarray:
        """So many words of the hash. Raises ValueError where it has not so many."""
        return np.frombuffer(self.digest, dtype, n_words)


class CommonWindows(NamedTuple):
    """A feature's windows that are the same whatever explainers are shown, by their roles."""

    held_out: ChosenWindows
    inactive_train: ChosenWindows
    inactive_held_out: ChosenWindows


@dataclass(frozen=True)
class FeatureWindows:
    """The windows in which a feature fires, none twice, and what is searched for others."""

    search: SearchContext  # of which the windows in which it fires are taken
    firing: FiringWindows
    rows: Mapping[Split, Int64[ndarray, " window"]]  # of the firing windows, by their split

    @classmethod
    def of(
        cls,
        feature: FeatureId,
        activations: FeatureActivations,
        corpus: Corpus,
        sampling: SamplingSettings,
        near: NegativeSources = NO_SOURCES,
    ) -> "FeatureWindows | Failure":
        """The feature's windows, or the failure that it fires in too few of a split."""
        search = SearchContext(
            corpus, activations, PLACEMENTS[sampling.placement], sampling.context_length, near
        )
        windows = drop_duplicate_windows(
            search, search.placement.firing(activations, corpus, search.width)
        )
        in_train = (
            corpus.in_train[windows.starts]
            if windows.numbers is None
            else search.windows.in_train[windows.numbers]
        )
        fires = {Split.TRAIN: np.flatnonzero(in_train), Split.HELD_OUT: np.flatnonzero(~in_train)}
        if min(map(len, fires.values())) < sampling.minimum:
            return too_few_windows(
                feature, len(fires[Split.TRAIN]), len(fires[Split.HELD_OUT]), sampling.minimum
            )
        if not search.is_aligned:  # of aligned ones it is known in which it fires
            search = search.besides(windows.starts)
        return cls(search, windows, fires)

    def chosen(
        self, split: Split, sampler: Sampler, number: int, rng: np.random.Generator
    ) -> ChosenWindows:
        """Those in which it fires that a sampler chooses in a split."""
        rows, corpus = self.rows[split], self.search.corpus
        starts, maxima = self.firing.starts[rows], self.firing.maxima[rows]
        weights = corpus.weights(self.search.activations)
        if weights is not None:
            weights = weights[corpus.sequences_of(starts)]
        choice = choose_weighted(sampler, maxima, weights, number, rng)
        return ChosenWindows(starts[choice.rows], choice.quantiles)

    def common(self, sampling: SamplingSettings, sampler: Sampler, draws: Draws) -> "CommonWindows":
        """What is the same whatever explainers are shown; the sampler chooses what is held out."""
        inactive_train = NEGATIVES["mix"].choose(
            self.search,
            Split.TRAIN,
            sampling.inactive_train,
            draws.stream("inactive_train"),
        )
        inactive_held_out = NEGATIVES[sampling.negatives].choose(
            self.search.besides(inactive_train.starts, inactive_train.numbers),
            Split.HELD_OUT,
            sampling.inactive_held_out,
            draws.stream("inactive_held_out"),
        )
        held_out = self.chosen(Split.HELD_OUT, sampler, sampling.held_out, draws.stream("held_out"))
        return CommonWindows(held_out, inactive_train, inactive_held_out)

    def cut(self, windows: ChosenWindows) -> Contexts:
        """These windows with their tokens and activations."""
        search = self.search
        return cut_contexts(
            search.corpus, search.activations, windows.starts, search.width, windows.quantiles
        )


def gather_examples(
    feature: FeatureId,
    activations: FeatureActivations,
    corpus: Corpus,
    sampler: Sampler,
    sampling: SamplingSettings,
    rng: np.random.Generator,
    near: NegativeSources = NO_SOURCES,
) -> Examples | Failure:
    """The feature's examples, or the failure that it fires in too few windows of a split.

    The `sampler` chooses what explainers are shown; what they are tested on is of every strength,
    by quantiles. Windows are split by document, near copies together, before any is drawn; no two
    of a feature's hold the same tokens. Where fewer are found than asked for, all are taken. The
    negatives `neighbours`, `siblings` and `hard` want the feature's neighbours, `similar` wants
    embeddings.
    """
    found = FeatureWindows.of(feature, activations, corpus, sampling, near)
    if isinstance(found, Failure):
        return found
    draws = Draws.of(rng)
    common = found.common(sampling, QUANTILES, draws)
    return Examples(
        feature,
        train=found.cut(found.chosen(Split.TRAIN, sampler, sampling.train, draws.stream("train"))),
        held_out=found.cut(common.held_out),
        inactive_train=found.cut(common.inactive_train),
        inactive_held_out=found.cut(common.inactive_held_out),
        **feature_facts(corpus, activations, sampling.context_length)._asdict(),
    )


def drop_duplicate_windows(search: SearchContext, windows: FiringWindows) -> FiringWindows:
    """The windows without those that hold the tokens of another.

    Of equal windows one of the train split stays, and of these the strongest.
    """
    if windows.numbers is not None:
        rows = np.flatnonzero(search.windows.copied.take(windows.numbers))
        names = search.windows.same[windows.numbers[rows]].astype(np.uint64)
    else:
        rows = np.arange(len(windows))
        names = search.fingerprints(windows.starts)
    if not len(rows):
        return windows
    held_out = ~search.corpus.in_train[windows.starts[rows]]
    order = np.lexsort((-windows.maxima[rows], held_out))
    kept = np.ones(len(windows), bool)
    kept[rows[order]] = is_first_of_equals(names[order])
    return windows.take(np.flatnonzero(kept))


def too_few_windows(feature: FeatureId, train: int, held_out: int, minimum: int) -> Failure:
    """The failure of a feature that fires in too few windows, with the numbers."""
    detail = (
        f"fires in {train} train and {held_out} held-out windows that differ, wanted at least"
        f" {minimum} of each"
    )
    return Failure(feature, "sample", Reason.TOO_FEW_EXAMPLES, detail)
