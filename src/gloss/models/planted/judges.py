"""Judges of whom all is known: one that executes a rule, and some that err at known rates or lean
on positions. And who reads new texts by rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numpy import ndarray

from gloss.models.planted.plant import Planted
from gloss.records import PADDING, Contexts, Verdict
from gloss.rules.execute import execute
from gloss.rules.parser import parse_rule
from gloss.rules.passage import Passage


@dataclass(frozen=True)
class RuleJudge:
    """Answers for contexts by executing a rule.

    Sees no more than each context, as a reader does not.
    """

    rule: str  # source text in the rule language
    strings: tuple[str, ...]  # of the vocabulary

    def strengths(self, contexts: Contexts) -> Float32[ndarray, "context position"]:
        """The strength that the rule predicts at every position; 0 at padding.

        Raises BadInput where it is no rule.
        """
        predicted = np.zeros(contexts.tokens.shape, np.float32)
        predicted[contexts.tokens != PADDING] = execute(
            parse_rule(self.rule), Passage.of_contexts(contexts, self.strings)
        )
        return predicted

    def fires_in(self, contexts: Contexts) -> Bool[ndarray, " context"]:
        """Whether the rule fires anywhere in each context."""
        return np.asarray(self.strengths(contexts).max(axis=1, initial=0) > 0)


YesProbability = Callable[[bool, float, bool | None], float]
"""P(yes) from the truth, the position in the request from 0 to 1, and the answer before, if any."""


def clean_judge(truth: bool, along: float, before: bool | None) -> float:
    """Errs in 15 of 100, wherever a context stands."""
    return 0.85 if truth else 0.15


def leaning_judge(truth: bool, along: float, before: bool | None) -> float:
    """Says yes more often at the start of a request, and less at its end."""
    return clean_judge(truth, along, before) + 0.3 * (0.5 - along)


def tiring_judge(truth: bool, along: float, before: bool | None) -> float:
    """Errs more often at the end."""
    return 0.5 + (clean_judge(truth, along, before) - 0.5) * (1 - 0.6 * along)


def copying_judge(truth: bool, along: float, before: bool | None) -> float:
    """Repeats its last answer in a tenth of the cases."""
    own = clean_judge(truth, along, before)
    return own if before is None else 0.9 * own + 0.1 * before


def planted_verdicts(
    judge: YesProbability,
    rng: np.random.Generator,
    items: int = 100,
    size: int = 20,
    covered: float = 0.9,
    *,
    shuffled: bool = True,
) -> list[Verdict]:
    """One score, asked in requests of `size` contexts: half of the contexts fire, of which the
    explanation covers this share.

    Not `shuffled`, each request shows its firing contexts first. A context that is alone in its
    request stands in the middle.
    """
    truths = rng.permutation(np.arange(items) % 2 == 0)
    if not shuffled:
        truths = np.concatenate(
            [np.sort(truths[row : row + size])[::-1] for row in range(0, items, size)]
        )
    found: list[Verdict] = []
    before = None
    for row, truth in enumerate(truths.tolist()):
        position = row % size
        fits = truth and bool(rng.random() < covered)
        along = position / (size - 1) if size > 1 else 0.5
        before = bool(rng.random() < judge(fits, along, before if position else None))
        found.append(Verdict(row, truth, before, question=row // size, position=position))
    return found


class RuleReader:
    """A `NewTextReader` of planted features, which counts what it has read."""

    def __init__(self, planted: Planted) -> None:
        self.rules = [parse_rule(feature.rule) for feature in planted.features]
        self.strings = planted.corpus.vocabulary.strings
        self.ids = {string: number for number, string in enumerate(self.strings)}
        self.texts = 0

    def encode(self, text: str) -> Int32[ndarray, " token"]:
        """The tokens of words with a blank before each; a word that the text lacks is left out."""
        pieces = [f" {word}" for word in text.split()]
        return np.array([self.ids[piece] for piece in pieces if piece in self.ids], np.int32)

    def read(
        self, sequences: Sequence[Int32[ndarray, " _"]], feature: int
    ) -> list[Float32[ndarray, " _"]]:
        """What the feature's rule says of every token of each sequence."""
        if not sequences:
            return []
        self.texts += len(sequences)
        ends = np.cumsum([0, *map(len, sequences)]).astype(np.int64)
        tokens = np.concatenate(sequences).astype(np.int32)
        return np.split(
            execute(self.rules[feature], Passage(tokens, ends, self.strings)), ends[1:-1]
        )
