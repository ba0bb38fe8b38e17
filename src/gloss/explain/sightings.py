"""The shown contexts as one table of tokens: where the feature fires, weighted back to the true base rate."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.records import PADDING, Contexts, Examples
from gloss.rules.lexicon import lexicon_of
from gloss.rules.passage import Passage
from gloss.store.vocabulary import Vocabulary


@dataclass(frozen=True)
class Sightings:
    """Every token of the shown contexts, firing windows first."""

    passage: Passage
    fires: Bool[ndarray, " token"]
    activations: Float32[ndarray, " token"]
    weights: Float64[ndarray, " token"]  # 1 in firing windows, more in silent ones, which stand for all others; 0 if left out
    second_half: Bool[ndarray, " token"]  # of the documents, by lot: what one half suggests the other half must confirm
    offsets: tuple[int, ...] = ()  # of the tokens that drive the feature at its peaks, where that is known

    @cached_property
    def words(self) -> tuple[Int64[ndarray, " token"], tuple[str, ...]]:
        """Each token's word so far, as an index into the words that occur; however a word was cut, it is one word."""
        words = self.passage.words
        return words.lexicon.firsts[words.ids].astype(np.int64), words.lexicon.strings

    @staticmethod
    def of(examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator) -> "Sightings":
        """Only the shown contexts and the shown silent contexts are read."""
        shown, silent = examples.shown, examples.silent_shown
        both = joined(shown, silent)
        groups = np.unique(both.units)
        lots = rng.permutation(len(groups)) % 2 == 1
        real = both.tokens != PADDING
        silent_for_one = (1 - examples.share_shown) / examples.share_shown  # silent windows for each in which it fires
        weights = np.concatenate([np.ones(len(shown)), len(shown) * silent_for_one * shares_of(examples)])
        counts = real.sum(axis=1)
        return Sightings(
            passage=Passage.of_contexts(one_id_a_string(both, vocabulary.strings), vocabulary.strings),
            fires=both.activations[real] > 0,
            activations=both.activations[real],
            weights=np.repeat(weights, counts) * both.counted[real],
            second_half=np.repeat(lots[np.searchsorted(groups, both.units)], counts),
            offsets=examples.offsets,
        )


def one_id_a_string(contexts: Contexts, strings: tuple[str, ...]) -> Contexts:
    """The contexts with the first of all ids that bear a token's string: rules see strings, and so does what is counted."""
    firsts = lexicon_of(strings).firsts
    return replace(contexts, tokens=np.where(contexts.tokens == PADDING, PADDING, firsts[contexts.tokens]))


def shares_of(examples: Examples) -> Float64[ndarray, " context"]:
    """The share of all silent windows that each silent context stands for.

    Near misses were looked for, so there are more of them among the contexts than in the text: all contexts that hold a
    favourite token share what is due to such windows, all others share the rest.
    """
    silent = examples.silent_shown
    near = (np.isin(silent.tokens, np.array(examples.favourites, np.int32)) & silent.counted).any(axis=1)
    if not near.any() or near.all() or not np.isfinite(examples.share_near):
        return np.full(len(silent), 1 / max(len(silent), 1))
    due = examples.share_near
    return np.where(near, due / np.count_nonzero(near), (1 - due) / np.count_nonzero(~near))


def joined(first: Contexts, second: Contexts) -> Contexts:
    """The contexts of both, in this order; an unknown place stays unknown."""
    places = None
    if first.places is not None and (second.places is not None or not len(second)):
        places = np.concatenate([first.places, second.places if second.places is not None else np.empty(0, np.int64)])
    groups = None
    if first.groups is not None or second.groups is not None:
        groups = np.concatenate([first.units, second.units])
    return Contexts(
        np.concatenate([first.starts, second.starts]),
        np.concatenate([first.documents, second.documents]),
        np.concatenate([first.quantiles, second.quantiles]),
        np.concatenate([first.tokens, second.tokens]) if len(second) else first.tokens,
        np.concatenate([first.activations, second.activations]) if len(second) else first.activations,
        places,
        groups=groups,
        left_out=~np.concatenate([first.counted, second.counted]) if len(second) else first.left_out,
    )
