"""Gather what shows one feature: contexts of both splits in which it fires, and contexts in which
it is inactive.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt64
from numpy import ndarray

from gloss.records import Contexts, Examples, Failure, FeatureActivations, FeatureId, Reason, Split
from gloss.sample import Sampler
from gloss.sample.negatives import NEGATIVES, NO_SOURCES, NegativeSources, SearchContext
from gloss.sample.windows import PLACEMENTS, FiringWindows
from gloss.store.contexts import cut_contexts, is_first_of_equals
from gloss.store.corpus import Corpus
from gloss.store.stored_examples import (
    inactive_share_with_tokens,
    strongest_train_activation,
    train_top_tokens,
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

    Windows are split by document, near copies together, before any is drawn; no two of a feature's
    hold the same tokens. Where fewer are found than asked for, all are taken. The negatives
    `neighbours`, `siblings` and `hard` want the feature's neighbours, `similar` wants embeddings.
    """
    search = SearchContext(
        corpus, activations, PLACEMENTS[sampling.placement], sampling.context_length, near
    )
    windows, fingerprints = drop_duplicate_windows(
        search, search.placement.firing(activations, corpus, search.width)
    )
    in_train = corpus.in_train[windows.starts]
    fires = {Split.TRAIN: np.flatnonzero(in_train), Split.HELD_OUT: np.flatnonzero(~in_train)}
    if min(map(len, fires.values())) < sampling.minimum:
        return too_few_windows(
            feature, len(fires[Split.TRAIN]), len(fires[Split.HELD_OUT]), sampling.minimum
        )

    def firing(split: Split, number: int) -> Contexts:
        return sample_firing_contexts(search, windows, fires[split], sampler, number, rng)

    firing_rows = search.windows.firing(activations)
    top_tokens = train_top_tokens(corpus, activations)
    shown, held_out = firing(Split.TRAIN, sampling.train), firing(Split.HELD_OUT, sampling.held_out)
    search = replace(search, taken=fingerprints)
    inactive_train = sample_inactive_contexts(
        search, "mix", Split.TRAIN, sampling.inactive_train, rng
    )
    search = replace(
        search, taken=np.append(fingerprints, search.fingerprints(inactive_train.starts))
    )
    return Examples(
        feature,
        train=shown,
        held_out=held_out,
        inactive_train=inactive_train,
        inactive_held_out=sample_inactive_contexts(
            search, sampling.negatives, Split.HELD_OUT, sampling.inactive_held_out, rng
        ),
        strongest=strongest_train_activation(corpus, activations),
        share_train=search.windows.share(firing_rows, Split.TRAIN),
        share_held_out=search.windows.share(firing_rows, Split.HELD_OUT),
        top_tokens=top_tokens,
        share_near=inactive_share_with_tokens(corpus, activations, search.width, top_tokens),
    )


def drop_duplicate_windows(
    search: SearchContext, windows: FiringWindows
) -> tuple[FiringWindows, UInt64[ndarray, " window"]]:
    """The windows without those that hold the tokens of another, and their prints.

    Of equal windows one of the train split stays, and of these the strongest.
    """
    fingerprints = search.fingerprints(windows.starts)
    order = np.lexsort((-windows.maxima, ~search.corpus.in_train[windows.starts]))
    kept = np.sort(order[is_first_of_equals(fingerprints[order])])
    return FiringWindows(windows.starts[kept], windows.maxima[kept]), fingerprints[kept]


def sample_firing_contexts(
    search: SearchContext,
    windows: FiringWindows,
    rows: np.ndarray,
    sampler: Sampler,
    number: int,
    rng: np.random.Generator,
) -> Contexts:
    """The contexts that the sampler chooses among these rows of the windows."""
    choice = sampler.choose(windows.maxima[rows], number, rng)
    return cut_contexts(
        search.corpus,
        search.activations,
        windows.starts[rows[choice.rows]],
        search.width,
        choice.quantiles,
    )


def sample_inactive_contexts(
    search: SearchContext, negatives: str, split: Split, number: int, rng: np.random.Generator
) -> Contexts:
    """Contexts of the split in which the feature is inactive."""
    found = NEGATIVES[negatives].choose(search, split, number, rng)
    return cut_contexts(search.corpus, search.activations, found.starts, search.width, found.labels)


def too_few_windows(feature: FeatureId, train: int, held_out: int, minimum: int) -> Failure:
    """The failure of a feature that fires in too few windows, with the numbers."""
    detail = (
        f"fires in {train} train and {held_out} held-out windows that differ, wanted at least"
        f" {minimum} of each"
    )
    return Failure(feature, "sample", Reason.TOO_FEW_EXAMPLES, detail)
