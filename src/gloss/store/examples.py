"""Examples as references into the corpus: where each context begins is kept, and the rest is read again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gloss.records import Contexts, Examples, FeatureActivations, FeatureId, Split
from gloss.store.contexts import cut, tiles_of
from gloss.store.corpus import Corpus
from gloss.store.occurrences import occurrences_of

ROLES = ("shown", "held_out", "silent_shown", "silent_held_out")


def reference_rows(examples: Examples) -> list[dict[str, Any]]:
    """One row a context, in order: its feature, role, first position, quantile and width."""
    width = examples.shown.tokens.shape[1]
    return [
        {
            "dictionary": examples.feature.dictionary,
            "feature": examples.feature.index,
            "role": role,
            "context": start,
            "quantile": quantile,
            "width": width,
        }
        for role in ROLES
        for start, quantile in zip(*starts_and_quantiles(getattr(examples, role)), strict=True)
    ]


def starts_and_quantiles(contexts: Contexts) -> tuple[list[int], list[int]]:
    return contexts.starts.tolist(), contexts.quantiles.tolist()


def restored(
    feature: FeatureId,
    rows: Sequence[Mapping[str, Any]],
    corpus: Corpus,
    activations: FeatureActivations,
    output_tokens: tuple[str, ...] = (),
) -> Examples:
    """The examples that these rows refer to, equal to those that were stored. Raises ValueError where there is no row."""
    if not rows:
        raise ValueError(f"{feature}: no contexts were stored, so its examples cannot be restored")
    width = int(rows[0]["width"])
    shown, held_out, silent_shown, silent_held_out = (contexts_of(role, rows, corpus, activations, width) for role in ROLES)
    tiles = tiles_of(corpus, width)
    firing = tiles.firing(activations)
    favourites = favourites_of(corpus, activations)
    return Examples(
        feature,
        shown,
        held_out,
        silent_shown,
        silent_held_out,
        strongest=strongest_shown(corpus, activations),
        share_shown=tiles.share(firing, Split.SHOWN),
        share_held_out=tiles.share(firing, Split.HELD_OUT),
        output_tokens=output_tokens,
        favourites=favourites,
        share_near=share_near(corpus, activations, width, favourites),
    )


def contexts_of(
    role: str, rows: Sequence[Mapping[str, Any]], corpus: Corpus, activations: FeatureActivations, width: int
) -> Contexts:
    """The contexts of one role, in the order of their rows."""
    chosen = [(row["context"], row["quantile"]) for row in rows if row["role"] == role]
    starts, quantiles = np.array(chosen, np.int64).reshape(-1, 2).T
    return cut(corpus, activations, starts.copy(), width, quantiles.copy())


def strongest_shown(corpus: Corpus, activations: FeatureActivations) -> float:
    """The feature's largest activation in the shown split; 0 where it has none."""
    return float(activations.values[corpus.shown[activations.positions]].max(initial=0.0))


def favourites_of(corpus: Corpus, activations: FeatureActivations, number: int = 5) -> tuple[int, ...]:
    """The tokens at which the feature fires most often in the shown split."""
    tokens, counts = np.unique(corpus.tokens[activations.positions[corpus.shown[activations.positions]]], return_counts=True)
    return tuple(tokens[np.argsort(-counts, kind="stable")[:number]].tolist())


def share_near(corpus: Corpus, activations: FeatureActivations, width: int, favourites: tuple[int, ...]) -> float:
    """Of the shown split's silent windows, the share that hold one of these tokens; 0 where none is silent."""
    tiles = tiles_of(corpus, width)
    shown = tiles.shown.copy()
    shown[tiles.firing(activations)] = False
    holding = np.zeros(len(shown), bool)
    places = occurrences_of(corpus).of_any(np.array(favourites, np.int64))
    holding[tiles.holding(places[corpus.counted[places]])] = True
    return float(np.count_nonzero(holding & shown) / max(np.count_nonzero(shown), 1))
