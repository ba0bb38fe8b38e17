"""Examples as references into the corpus: where each context begins is kept, and the rest is read
again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, Shaped
from numpy import ndarray

from gloss.records import Contexts, Examples, FeatureActivations, FeatureId, Split
from gloss.store.contexts import corpus_windows, cut_contexts
from gloss.store.corpus import Corpus, token_occurrences

ROLES = ("train", "held_out", "inactive_train", "inactive_held_out")


def reference_rows(
    feature: FeatureId, contexts: Mapping[str, Contexts], sample: str = ""
) -> list[dict[str, Any]]:
    """One row a context of each role, in order: its feature, role, first position, quantile, width,
    and the sample that it belongs to; none where it is the same for all samples.
    """
    return [
        {
            "dictionary": feature.dictionary,
            "feature": feature.index,
            "role": role,
            "sample": sample,
            "context": start,
            "quantile": quantile,
            "width": found.tokens.shape[1],
        }
        for role, found in contexts.items()
        for start, quantile in zip(*starts_and_quantiles(found), strict=True)
    ]


def contexts_by_role(examples: Examples) -> dict[str, Contexts]:
    """All contexts of a feature's examples."""
    return {role: getattr(examples, role) for role in ROLES}


def starts_and_quantiles(contexts: Contexts) -> tuple[list[int], list[int]]:
    return contexts.starts.tolist(), contexts.quantiles.tolist()


def restore_examples(
    feature: FeatureId,
    rows: Sequence[Mapping[str, Any]],
    corpus: Corpus,
    activations: FeatureActivations,
    output_tokens: tuple[str, ...] = (),
) -> Examples:
    """The examples that these rows refer to, equal to those that were stored.

    Raises ValueError where there is no row.
    """
    if not rows:
        raise ValueError(f"{feature}: no contexts were stored, so its examples cannot be restored")
    width = int(rows[0]["width"])
    train, held_out, inactive_train, inactive_held_out = (
        restore_contexts(role, rows, corpus, activations, width) for role in ROLES
    )
    windows = corpus_windows(corpus, width)
    top_tokens = train_top_tokens(corpus, activations)
    return Examples(
        feature,
        train,
        held_out,
        inactive_train,
        inactive_held_out,
        strongest=strongest_train_activation(corpus, activations),
        share_train=windows.share(activations, Split.TRAIN),
        share_held_out=windows.share(activations, Split.HELD_OUT),
        output_tokens=output_tokens,
        top_tokens=top_tokens,
        share_near=inactive_share_with_tokens(corpus, activations, width, top_tokens),
    )


def restore_contexts(
    role: str,
    rows: Sequence[Mapping[str, Any]],
    corpus: Corpus,
    activations: FeatureActivations,
    width: int,
) -> Contexts:
    """The contexts of one role, in the order of their rows."""
    chosen = [(row["context"], row["quantile"]) for row in rows if row["role"] == role]
    starts, quantiles = np.array(chosen, np.int64).reshape(-1, 2).T
    return cut_contexts(corpus, activations, starts.copy(), width, quantiles.copy())


def strongest_train_activation(corpus: Corpus, activations: FeatureActivations) -> float:
    """The feature's largest activation in the train split; 0 where it has none."""
    return float(activations.values[corpus.in_train[activations.positions]].max(initial=0.0))


def train_top_tokens(
    corpus: Corpus, activations: FeatureActivations, number: int = 5
) -> tuple[int, ...]:
    """The tokens at which the feature fires most often in the train split."""
    tokens, counts = train_token_counts(corpus, activations)
    return tuple(tokens[np.argsort(-counts, kind="stable")[:number]].tolist())


def train_token_counts(
    corpus: Corpus, activations: FeatureActivations
) -> tuple[Int32[ndarray, " id"], Shaped[ndarray, " id"]]:
    """The tokens of the train split at which the feature fires, and how often: each as often as its
    sequence stands for, where the corpus was mined.
    """
    fired = activations.positions[corpus.in_train[activations.positions]]
    weights = corpus.weights(activations)
    if weights is None:
        return np.unique(corpus.tokens[fired], return_counts=True)
    tokens, where = np.unique(corpus.tokens[fired], return_inverse=True)
    return tokens, np.bincount(where, weights[corpus.sequences_of(fired)], len(tokens))


def inactive_share_with_tokens(
    corpus: Corpus, activations: FeatureActivations, width: int, top_tokens: tuple[int, ...]
) -> float:
    """Of the train split's inactive windows, the share that hold one of these tokens; 0 where none
    is inactive. Of a corpus that was mined it is that of the background.
    """
    windows = corpus_windows(corpus, width)
    inactive = windows.in_train.copy()
    inactive[windows.known :] = False
    inactive[windows.firing(activations)] = False
    holding = np.zeros(len(inactive), bool)
    places = token_occurrences(corpus).of_any(np.array(top_tokens, np.int64))
    holding[windows.windows_of(places[corpus.counted[places]])] = True
    return float(np.count_nonzero(holding & inactive) / max(np.count_nonzero(inactive), 1))
