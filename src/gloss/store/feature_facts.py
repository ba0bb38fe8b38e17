"""What is true of a feature in the whole corpus, worked out once and kept beside its contexts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, Shaped
from numpy import ndarray

from gloss.records import FeatureActivations, Split
from gloss.rules.occurrences import run_bounds
from gloss.store.contexts import corpus_windows
from gloss.store.corpus import Corpus
from gloss.store.identity_cache import once_for_each

TOP_TOKENS = 5


class FeatureFacts(NamedTuple):
    """What `Examples` say of a feature besides its contexts."""

    strongest: float  # its largest activation in the train split; 0 where it has none
    share_train: float  # of the train split's windows, the share in which it fires
    share_held_out: float  # the same of the held-out split
    top_tokens: tuple[int, ...]  # at which it fires most often in the train split
    # of the train split's inactive windows, the share that hold a top token; 0 where none is
    # inactive. Of a corpus that was mined it is that of the background
    share_near: float

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> "FeatureFacts":
        """Those that a row of the table `feature_facts` says."""
        return FeatureFacts(
            row["strongest"],
            row["share_train"],
            row["share_held_out"],
            tuple(row["top_tokens"]),
            row["share_near"],
        )


def feature_facts(corpus: Corpus, activations: FeatureActivations, width: int) -> FeatureFacts:
    """Look at where a feature fires and at the windows that hold its top tokens, among the fixed
    windows of so many positions.
    """
    windows, top_tokens = corpus_windows(corpus, width), train_top_tokens(corpus, activations)
    in_train = corpus.in_train.take(activations.positions)
    return FeatureFacts(
        strongest=float(activations.values.max(initial=0.0, where=in_train)),
        share_train=windows.share(activations, Split.TRAIN),
        share_held_out=windows.share(activations, Split.HELD_OUT),
        top_tokens=top_tokens,
        share_near=inactive_share_with_tokens(corpus, activations, width, top_tokens),
    )


def inactive_share_with_tokens(
    corpus: Corpus, activations: FeatureActivations, width: int, tokens: tuple[int, ...]
) -> float:
    """Of the train split's inactive windows, the share that hold one of these tokens; 0 where none
    is inactive. Of a corpus that was mined it is that of the background.
    """
    windows = corpus_windows(corpus, width)
    firing = windows.firing(activations)
    firing = firing[windows.in_train[firing] & (firing < windows.known)]
    every = int(np.searchsorted(windows.by_split[Split.TRAIN], windows.known))
    holding = windows.number_holding(np.array(tokens, np.int64), firing)
    return holding / max(every - len(firing), 1)


def train_top_tokens(
    corpus: Corpus, activations: FeatureActivations, number: int = TOP_TOKENS
) -> tuple[int, ...]:
    """The tokens at which the feature fires most often in the train split."""
    tokens, counts = train_token_counts(corpus, activations)
    return tuple(tokens[np.argsort(-counts, kind="stable")[:number]].tolist())


@once_for_each(2)  # of a feature: inactive windows are looked for around the same tokens
def train_token_counts(
    corpus: Corpus, activations: FeatureActivations
) -> tuple[Int32[ndarray, " id"], Shaped[ndarray, " id"]]:
    """The tokens of the train split at which the feature fires, and how often: each as often as its
    sequence stands for, where the corpus was mined.
    """
    fired = activations.positions[corpus.in_train.take(activations.positions)]
    there, weights = corpus.tokens.take(fired), corpus.weights(activations)
    if weights is None:
        ordered = np.sort(there)
        bounds = run_bounds(ordered)
        return ordered[bounds[:-1]], bounds[1:] - bounds[:-1]
    tokens, where = np.unique(there, return_inverse=True)
    return tokens, np.bincount(where, weights[corpus.sequences_of(fired)], len(tokens))
