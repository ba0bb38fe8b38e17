"""What a judge's errors hide: its answers on contexts of known truth correct its scores (Rogan and Gladen, 1978)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.models.marks import numbered, quoted
from gloss.models.planted.judge import Judge
from gloss.models.prompts import Conversation, prompt_file
from gloss.records import Estimate, Split, Verdict
from gloss.rules import Passage, execute, parse
from gloss.score.detection import plain
from gloss.score.intervals import from_draws, wilson
from gloss.score.verdicts import Asking, Counts, Item, claimed_rightly, counted, harmonic, judge
from gloss.store.contexts import cut, tiles_of
from gloss.store.corpus import Corpus
from gloss.store.evidence import NOWHERE

Rates = Float64[ndarray, " draw"]


@dataclass(frozen=True, slots=True)
class Anchors:
    """How a judge answered where the right answer is known: on contexts that an explanation covers, and on others."""

    covered: Counts
    others: Counts

    @property
    def sensitivity(self) -> Estimate:
        """How often it says yes where yes is right, among readable answers."""
        return wilson(self.covered.yes, self.covered.yes + self.covered.no)

    @property
    def false_positive_rate(self) -> Estimate:
        """How often it says yes where no is right, among readable answers."""
        return wilson(self.others.yes, self.others.yes + self.others.no)


def corrected(
    firing: Counts, silent: Counts, anchors: Anchors, share_firing: float, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Detection's metrics as a judge without error would have got them; `firing` and `silent` are what this judge said.

    A judge with sensitivity s and false positive rate f says yes in y = s t + f (1 - t) of contexts of which the explanation
    covers the share t, so that t = (y - f) / (s - f). The values are not cut off at 0 and 1, because that would bias their mean;
    precision and F1, which are not defined beyond, are. Answers that could not be read are left out. All is missing where the
    judge says yes no more often where it should, or was never asked.
    """
    sides = [Counts(side.yes, side.no, 0) for side in (firing, silent, anchors.covered, anchors.others)]
    if not all(side.items for side in sides):
        return dict.fromkeys(CORRECTED, Estimate.missing())
    found, wrong, sensitivity, false_positive = (side.rate(side.yes) for side in sides)
    if sensitivity <= false_positive:
        return dict.fromkeys(CORRECTED, Estimate.missing())
    values = metrics(found, wrong, sensitivity, false_positive, share_firing)
    found, wrong, sensitivity, false_positive = (side.draws(side.yes, rng) for side in sides)
    draws = metrics(found, wrong, sensitivity, false_positive, share_firing)
    return {name: from_draws(float(values[name][0]), draws[name]) for name in CORRECTED}


CORRECTED = tuple(
    f"{name}_corrected"
    for name in ("balanced_accuracy", "true_positive_rate", "true_negative_rate", "precision_at_base_rate", "f1_at_base_rate")
)


def metrics(firing: Rates, silent: Rates, sensitivity: Rates, false_positive: Rates, share: float) -> dict[str, Rates]:
    """The corrected metrics of rates of yes; draws in which the judge would tell nothing are not a number."""
    skill = sensitivity - false_positive
    skill = np.where(skill > 0, skill, np.nan)
    found, wrong = (firing - false_positive) / skill, (silent - false_positive) / skill
    inside = np.clip(found, 0, 1), np.clip(wrong, 0, 1)
    precision = claimed_rightly(*inside, share)
    values = ((found + 1 - wrong) / 2, found, 1 - wrong, precision, harmonic(precision, inside[0]))
    return dict(zip(CORRECTED, values, strict=True))


@dataclass(frozen=True)
class Anchoring:
    """Asks a judge about rules in words, whose truth in a context is known, with the very prompt of `detection`."""

    asks: ClassVar[bool] = True
    contexts: int = 400  # in all: half of them covered by their rule
    context_length: int = 32  # tokens
    contexts_per_question: int = 20

    def __post_init__(self) -> None:
        if min(self.contexts, self.context_length, self.contexts_per_question) < 1:
            raise BadSettings(
                f"anchoring was given contexts={self.contexts}, context_length={self.context_length} and "
                f"contexts_per_question={self.contexts_per_question}, wants at least 1 of each"
            )

    def ask(self, rules: Sequence[str], corpus: Corpus, rng: np.random.Generator) -> Conversation[Anchors]:
        """Spread the contexts evenly over the rules; what the judge said of both kinds. Raises BadInput for what is no rule."""
        file = prompt_file("gloss.score", "detection")
        verdicts: list[Verdict] = []
        for rule, number in zip(rules, np.diff(np.linspace(0, self.contexts, len(rules) + 1).astype(int)), strict=True):
            items = self.items(rule, corpus, int(number), rng)
            if not items:
                continue
            words = quoted(parse(rule).english())
            said = yield from judge(
                items,
                lambda texts, words=words: file.fill(explanation=words, contexts=numbered(texts)),
                Asking("anchoring", self.contexts_per_question, 0, 0.0),
                rng,
            )
            verdicts += said.verdicts
        return Anchors(
            counted([verdict for verdict in verdicts if verdict.truth]),
            counted([verdict for verdict in verdicts if not verdict.truth]),
        )

    def items(self, rule: str, corpus: Corpus, number: int, rng: np.random.Generator) -> list[Item]:
        """Contexts of the shown split, half of them covered, each as a reader of that context alone would have it."""
        tiles = tiles_of(corpus, self.context_length)
        strengths = execute(parse(rule), Passage(corpus.tokens, corpus.offsets, corpus.vocabulary.strings))
        fires = np.zeros(len(tiles.starts), bool)
        fires[tiles.holding(np.flatnonzero(strengths))] = True
        items: list[Item] = []
        for truth in (True, False):
            rows = tiles.by_split[Split.SHOWN]
            rows = rng.permutation(rows[fires[rows] == truth])[:number]
            contexts = cut(corpus, NOWHERE, tiles.starts[rows], self.context_length, np.zeros(len(rows), np.int64))
            alike = Judge(rule, corpus.vocabulary.strings).fires_in(contexts) == truth
            items += list(plain(contexts[np.flatnonzero(alike)[: number // 2]], corpus.vocabulary, truth=truth))
        return items
