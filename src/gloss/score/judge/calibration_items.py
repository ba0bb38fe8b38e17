"""Contexts of known truth: words of the corpus, shown to a judge as explanations of features that
never were.

A context is covered where one of the words stands in its text, and is one of the others where none
does, not even inside another word or in capitals; what lies between is left out. The text decides
and not the tokens, so that the truth is what a reader sees, whatever the tokenizer.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.models.chat_models.token_marks import SpelledContext, spell_contexts
from gloss.records import (
    Contexts,
    Estimate,
    Examples,
    Explanation,
    FeatureId,
    Negative,
    Split,
    Verdict,
)
from gloss.score.judge.verdict_metrics import VerdictCounts, count_verdicts
from gloss.statistics.intervals import wilson_interval
from gloss.store.contexts import corpus_windows, cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.evidence import NO_ACTIVATIONS, Evidence

CALIBRATION_ITEM = "calibration_item"  # who explains a feature that never was
# whole: what touches an end of the context may be part of a longer word
WORD = re.compile(r"(?<=\W)[^\W\d_]{3,}(?=\W)")
MOST_WORDS = 3  # in an explanation
MOST_READ = 4096  # windows of the train split, drawn at random
COMMONEST = 0.2  # share of the windows that may hold a word


@dataclass(frozen=True, slots=True)
class CalibrationCounts:
    """How a judge answered where the right answer is known: on contexts that an explanation covers,
    and on others.
    """

    covered: VerdictCounts
    others: VerdictCounts

    @staticmethod
    def of(verdicts: Sequence[Verdict]) -> "CalibrationCounts":
        """What verdicts on calibration items add up to."""
        return CalibrationCounts(
            *(
                count_verdicts([verdict for verdict in verdicts if verdict.truth is side])
                for side in (True, False)
            )
        )

    @property
    def sensitivity(self) -> Estimate:
        """How often it says yes where yes is right, among readable answers."""
        return wilson_interval(self.covered.yes, self.covered.yes + self.covered.no)

    @property
    def false_positive_rate(self) -> Estimate:
        """How often it says yes where no is right, among readable answers."""
        return wilson_interval(self.others.yes, self.others.yes + self.others.no)


@dataclass(frozen=True)
class CalibrationTexts:
    """Windows of the train split as text, and the words that stand in them."""

    corpus: Corpus
    contexts: Contexts
    spelled: tuple[SpelledContext, ...]

    @staticmethod
    def of(corpus: Corpus, width: int, rng: np.random.Generator) -> "CalibrationTexts":
        """At most `MOST_READ` windows, drawn at random."""
        windows = corpus_windows(corpus, width)
        rows = rng.permutation(windows.by_split[Split.TRAIN])[:MOST_READ]
        contexts = cut_contexts(
            corpus,
            NO_ACTIVATIONS,
            windows.starts[rows],
            width,
            np.full(len(rows), int(Negative.RANDOM)),
        )
        return CalibrationTexts(
            corpus, contexts, tuple(spell_contexts(contexts, corpus.vocabulary))
        )

    @cached_property
    def holding(self) -> dict[str, list[int]]:
        """The windows in which each word stands."""
        found: dict[str, list[int]] = defaultdict(list)
        for row, spelled in enumerate(self.spelled):
            for word in dict.fromkeys(WORD.findall(spelled.text)):
                found[word].append(row)
        return found

    def draw_words(
        self, number: int, contexts: int, rng: np.random.Generator
    ) -> list[tuple[str, ...]]:
        """So many times one to three words, drawn from those that half so many windows hold, and a
        fifth of all at most.

        Raises BadInput where the corpus has no such words.
        """
        most = COMMONEST * len(self.spelled)
        found = sorted(
            word
            for word, rows in self.holding.items()
            if word == word.lower() and contexts / 2 <= len(rows) <= most
        )
        if not found:
            raise BadInput(
                f"no word of the corpus stands in {-(-contexts // 2)} contexts of the train split,"
                " as contexts of known truth want; read more text or set fewer calibration_items"
                " in [judge]"
            )
        drawn = (
            rng.choice(found, min(len(found), 1 + turn % MOST_WORDS), replace=False)
            for turn in range(number)
        )
        return [tuple(map(str, words)) for words in drawn]

    def about(
        self, words: Sequence[str], number: int, rng: np.random.Generator
    ) -> tuple[Explanation, Evidence]:
        """The words as an explanation, and at most `number` contexts as if held out, half of them
        covered by it.
        """
        holding = {row for word in words for row in self.holding.get(word, ())}
        inactive = [
            row
            for row, one in enumerate(self.spelled)
            if not any(word in one.text.lower() for word in words)
        ]
        rows = [
            rng.permutation(sorted(side))[: number // 2].astype(np.int64)
            for side in (holding, inactive)
        ]
        covered, others = (self.contexts[side] for side in rows)
        places = np.array([word_positions(self.spelled[row], words) for row in rows[0]]).reshape(
            covered.tokens.shape
        )
        covered = replace(
            covered,
            activations=places.astype(np.float32),
            quantiles=np.zeros(len(covered), np.int64),
        )
        feature, none = (
            FeatureId(CALIBRATION_ITEM, 0),
            Contexts.empty(self.contexts.tokens.shape[1]),
        )
        share = len(holding) / max(1, len(self.spelled))
        examples = Examples(feature, none, covered, none, others, 1.0, share, share)
        return Explanation(feature, words_explanation(words), CALIBRATION_ITEM), Evidence(
            examples, self.corpus, NO_ACTIVATIONS
        )


def word_positions(spelled: SpelledContext, words: Sequence[str]) -> Bool[ndarray, " position"]:
    """The positions whose text is part of one of the words."""
    ends: Int64[ndarray, " position"] = np.cumsum([len(piece) for piece in spelled.pieces])
    found = np.zeros(len(ends), bool)
    for start, end in word_spans(spelled.text, words):
        found |= (ends > start) & (ends - [len(piece) for piece in spelled.pieces] < end)
    return found & np.array([bool(piece) for piece in spelled.pieces], dtype=bool)


def word_spans(text: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the words stand in a text."""
    for found in WORD.finditer(text):
        if found[0] in words:
            yield found.span()


def words_explanation(words: Sequence[str]) -> str:
    """An explanation that names the words."""
    *first, last = (f"`{word}`" for word in words)
    return f"the words {', '.join(first)} or {last}" if first else f"the word {last}"
