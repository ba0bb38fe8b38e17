"""The train contexts as one table of tokens: where the feature fires, weighted back to the true
base rate.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.explain.rule_search.affixes import SharedAffixes, TokenTraits, find_shared_affixes
from gloss.explain.rule_search.alike import AlikeTokens
from gloss.records import PADDING, Contexts, Examples
from gloss.rules.execute import where_condition_holds
from gloss.rules.language import PredicateUnit, TokenState
from gloss.rules.lexicon import recent_lexicon
from gloss.rules.passage import Passage
from gloss.store.vocabulary import Vocabulary

FARTHEST = 8  # from a token others are looked for, beside those that may drive the feature


@dataclass(frozen=True)
class Units:
    """The tokens, or the words so far, that occur in the windows, by numbers from 0."""

    unit: PredicateUnit
    ids: Int64[ndarray, " token"]  # the number of what stands at every token
    # four times that, 2 more in the second half of the documents, and 1 more where it does not fire
    keys: Int64[ndarray, " token"]
    number: int  # of those that may occur
    universe: int  # of those that there are
    string: Callable[[int], str]  # of each number


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
    def half(self) -> Int64[ndarray, " token"]:
        """The half of the documents that each token belongs to: 0 or 1."""
        return self.second_half.astype(np.int64)

    @cached_property
    def token_ids(self) -> Int64[ndarray, " number"]:
        """The tokens that occur, by their ids in the vocabulary."""
        return np.flatnonzero(np.bincount(self.passage.ids))

    @cached_property
    def tokens(self) -> "Units":
        """The tokens that occur."""
        strings, ids = self.passage.strings, self.token_ids.tolist()
        numbers = np.zeros(len(strings), np.int64)
        numbers[self.token_ids] = np.arange(len(ids))
        own = numbers.take(self.passage.ids)
        return Units(
            PredicateUnit.TOKEN,
            own,
            own * 4 + self.half * 2 + ~self.fires,
            len(ids),
            len(strings),
            lambda number: strings[ids[number]],
        )

    @cached_property
    def apart(self) -> tuple[Int64[ndarray, " place"], Int64[ndarray, " token"]]:
        """The numbers of the tokens with FARTHEST places of nothing around every window, and where
        each token stands there.
        """
        windows = np.repeat(np.arange(1, len(self.passage.offsets)), np.diff(self.passage.offsets))
        places = np.arange(len(windows)) + windows * self.farthest
        numbers = np.full(
            len(windows) + len(self.passage.offsets) * self.farthest, self.tokens.number
        )
        numbers[places] = self.tokens.ids
        return numbers, places

    @cached_property
    def farthest(self) -> int:
        """How far from a token others may be looked for."""
        return max(FARTHEST, *(-offset for offset in self.offsets), 0)

    @cached_property
    def words(self) -> "Units":
        """The words so far that occur. However a word was cut, it is one word."""
        cuts, passage = self.passage.word_cuts, self.passage
        own, number = cuts.first.take(cuts.ids), len(cuts.places)
        return Units(
            PredicateUnit.WORD,
            own,
            own * 4 + self.half * 2 + ~self.fires,
            number,
            max(len(passage.strings), number),
            lambda cut: passage.word_at(int(cuts.places[cut])),
        )

    @cached_property
    def classes(self) -> TokenTraits:
        """The lexical classes of each token that occurs, by their places in CLASSES."""
        found = self.passage.lexicon.classes(self.token_ids)
        tokens, classes = np.nonzero(found)
        return TokenTraits.of(tokens, classes, (len(found), found.shape[1]))

    @cached_property
    def affixes(self) -> "SharedAffixes":
        """What the tokens that occur begin and end with, by their numbers."""
        return find_shared_affixes(self.passage.lexicon).of_tokens(self.token_ids)

    @cached_property
    def alike_numbers(self) -> Int64[ndarray, "number member"]:
        """Each token that occurs, then those that the subject takes for most like it; one more than
        there are where none occurs.
        """
        number = self.tokens.number
        if self.alike is None:
            return np.arange(number)[:, None]
        numbers = np.full(len(self.passage.strings) + 1, number, np.int64)  # and of -1
        numbers[self.token_ids] = np.arange(number)
        return numbers[self.alike.around(self.token_ids)]

    @cached_property
    def states(self) -> dict[TokenState, Bool[ndarray, " token"]]:
        """What each token begins, and what it begins in."""
        return {state: where_condition_holds(state, self.passage) for state in TokenState}

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
    tokens = np.where(contexts.tokens == PADDING, PADDING, firsts.take(contexts.tokens))
    return replace(contexts, tokens=tokens)


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
