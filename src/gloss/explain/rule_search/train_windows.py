"""The train contexts as one table of tokens: where the feature fires, weighted back to the true
base rate.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.explain.rule_search.alike import AlikeTokens
from gloss.records import PADDING, Contexts, Examples
from gloss.rules.lexicon import recent_lexicon
from gloss.rules.passage import Passage
from gloss.store.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainWindows:
    """Every token of the train contexts, firing windows first."""

    passage: Passage
    fires: Bool[ndarray, " token"]
    activations: Float32[ndarray, " token"]
    # 1 in firing windows, more in inactive ones, which stand for all others; 0 if left out
    weights: Float64[ndarray, " token"]
    # of the documents, by lot: what one half suggests the other half must confirm
    second_half: Bool[ndarray, " token"]
    # of the tokens that drive the feature at its peaks, where that is known
    offsets: tuple[int, ...] = ()
    alike: AlikeTokens | None = None  # which tokens the subject takes for alike, where known

    @cached_property
    def words(self) -> tuple[Int64[ndarray, " token"], tuple[str, ...]]:
        """Each token's word so far, as an index into the words that occur.

        However a word was cut, it is one word.
        """
        words = self.passage.words
        return words.lexicon.firsts[words.ids].astype(np.int64), words.lexicon.strings

    @staticmethod
    def of(
        examples: Examples,
        vocabulary: Vocabulary,
        rng: np.random.Generator,
        trials: Contexts | None = None,
    ) -> "TrainWindows":
        """Only the contexts of the train split are read.

        With trials, which are changed train contexts: all of them together weigh as much as the
        firing tokens of the others.
        """
        shown, inactive = examples.train, examples.inactive_train
        both = concatenate_contexts(shown, inactive)
        groups = np.unique(both.units)
        lots = rng.permutation(len(groups)) % 2 == 1
        real = both.tokens != PADDING
        # inactive windows for each in which it fires
        inactive_for_one = (1 - examples.share_train) / examples.share_train
        weights = np.concatenate(
            [np.ones(len(shown)), len(shown) * inactive_for_one * inactive_context_shares(examples)]
        )
        if trials is not None and len(trials):
            both = concatenate_contexts(both, trials)
            real = both.tokens != PADDING
            firing = np.count_nonzero(shown.activations > 0)
            weights = np.append(weights, np.full(len(trials), firing / len(trials)))
        counts = real.sum(axis=1)
        return TrainWindows(
            passage=Passage.of_contexts(
                with_canonical_ids(both, vocabulary.strings), vocabulary.strings
            ),
            fires=both.activations[real] > 0,
            activations=both.activations[real],
            weights=np.repeat(weights, counts) * both.counted[real],
            second_half=np.repeat(lots[np.searchsorted(groups, both.units)], counts),
            offsets=examples.offsets,
            alike=AlikeTokens.of(vocabulary),
        )


def with_canonical_ids(contexts: Contexts, strings: tuple[str, ...]) -> Contexts:
    """The contexts with the first of all ids that bear a token's string: rules see strings, and so
    does what is counted.
    """
    firsts = recent_lexicon(strings).firsts
    return replace(
        contexts, tokens=np.where(contexts.tokens == PADDING, PADDING, firsts[contexts.tokens])
    )


def inactive_context_shares(examples: Examples) -> Float64[ndarray, " context"]:
    """The share of all inactive windows that each inactive context stands for.

    Near misses were looked for, so there are more of them among the contexts than in the text: all
    contexts that hold a top token share what is due to such windows, all others share the rest.
    """
    inactive = examples.inactive_train
    near = (
        np.isin(inactive.tokens, np.array(examples.top_tokens, np.int32)) & inactive.counted
    ).any(axis=1)
    if not near.any() or near.all() or not np.isfinite(examples.share_near):
        return np.full(len(inactive), 1 / max(len(inactive), 1))
    due = examples.share_near
    return np.where(near, due / np.count_nonzero(near), (1 - due) / np.count_nonzero(~near))


def concatenate_contexts(first: Contexts, second: Contexts) -> Contexts:
    """The contexts of both, in this order; an unknown position stays unknown."""
    sequence_positions = None
    if first.sequence_positions is not None and (
        second.sequence_positions is not None or not len(second)
    ):
        sequence_positions = np.concatenate(
            [
                first.sequence_positions,
                (
                    second.sequence_positions
                    if second.sequence_positions is not None
                    else np.empty(0, np.int64)
                ),
            ]
        )
    groups = None
    if first.groups is not None or second.groups is not None:
        groups = np.concatenate([first.units, second.units])
    return Contexts(
        np.concatenate([first.starts, second.starts]),
        np.concatenate([first.documents, second.documents]),
        np.concatenate([first.quantiles, second.quantiles]),
        np.concatenate([first.tokens, second.tokens]) if len(second) else first.tokens,
        (
            np.concatenate([first.activations, second.activations])
            if len(second)
            else first.activations
        ),
        sequence_positions,
        groups=groups,
        left_out=(
            ~np.concatenate([first.counted, second.counted]) if len(second) else first.left_out
        ),
    )
