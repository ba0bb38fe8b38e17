"""Contexts of known truth: rules about words of the corpus, shown to a judge as explanations of features that never were."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gloss.errors import BadInput
from gloss.models.planted.judge import Judge
from gloss.records import Contexts, Estimate, Examples, Explanation, FeatureId, Negative, Split, Verdict
from gloss.rules import Passage, execute, parse
from gloss.score.intervals import wilson
from gloss.score.verdicts import Counts, counted
from gloss.store.contexts import cut, tiles_of
from gloss.store.corpus import Corpus
from gloss.store.evidence import NOWHERE, Evidence

ANCHOR = "anchor"  # who explains a feature that never was
WORD = re.compile(" [A-Za-z]{3,}")
MOST_WORDS = 3  # in a rule
COMMONEST = 0.2  # share of the contexts that may hold a word


@dataclass(frozen=True, slots=True)
class Anchors:
    """How a judge answered where the right answer is known: on contexts that an explanation covers, and on others."""

    covered: Counts
    others: Counts

    @staticmethod
    def of(verdicts: Sequence[Verdict]) -> "Anchors":
        """What verdicts on anchors add up to."""
        return Anchors(*(counted([verdict for verdict in verdicts if verdict.truth is side]) for side in (True, False)))

    @property
    def sensitivity(self) -> Estimate:
        """How often it says yes where yes is right, among readable answers."""
        return wilson(self.covered.yes, self.covered.yes + self.covered.no)

    @property
    def false_positive_rate(self) -> Estimate:
        """How often it says yes where no is right, among readable answers."""
        return wilson(self.others.yes, self.others.yes + self.others.no)


def rules_of(corpus: Corpus, number: int, width: int, contexts: int, rng: np.random.Generator) -> list[str]:
    """So many rules about one to three words each, drawn from words that enough contexts of the shown split hold.

    Raises BadInput where the corpus has no such words.
    """
    tiles = tiles_of(corpus, width)
    shown = np.flatnonzero(corpus.shown)
    pairs = np.unique(np.stack([corpus.tokens[shown].astype(np.int64), tiles.holding(shown)]), axis=1)
    held = np.bincount(pairs[0], minlength=len(corpus.vocabulary))
    fits = (held >= contexts) & (held <= COMMONEST * len(tiles.by_split[Split.SHOWN]))
    words = [int(token) for token in np.flatnonzero(fits) if WORD.fullmatch(corpus.vocabulary.strings[token])]
    if not words:
        raise BadInput(
            f"no word of the corpus stands in {contexts} contexts of the shown split, which anchors of a judge want; "
            "read more text or set fewer anchors in [judge]"
        )
    drawn = (rng.choice(words, min(len(words), 1 + turn % MOST_WORDS), replace=False) for turn in range(number))
    return [f"token in {{{', '.join(json.dumps(corpus.vocabulary.strings[token]) for token in chosen)}}}" for chosen in drawn]


def anchored(rule: str, corpus: Corpus, width: int, number: int, rng: np.random.Generator) -> tuple[Explanation, Evidence]:
    """The rule in words, and at most `number` contexts of the shown split as if held out, half of them covered by it.

    A context is covered if the rule fires in it for a reader of that context alone. Raises BadInput for what is no rule.
    """
    tiles = tiles_of(corpus, width)
    strengths = execute(parse(rule), Passage(corpus.tokens, corpus.offsets, corpus.vocabulary.strings))
    fires = np.zeros(len(tiles.starts), bool)
    fires[tiles.holding(np.flatnonzero(strengths))] = True
    judge = Judge(rule, corpus.vocabulary.strings)
    rows = rng.permutation(tiles.by_split[Split.SHOWN])
    sides: list[Contexts] = []
    for truth, kind in ((True, 0), (False, int(Negative.RANDOM))):
        chosen = tiles.starts[rows[fires[rows] == truth]][:number]
        contexts = cut(corpus, NOWHERE, chosen, width, np.full(len(chosen), kind))
        alike = np.flatnonzero(judge.fires_in(contexts) == truth)[: number // 2]
        sides.append(contexts[alike])
    covered, others = sides
    covered.activations[:] = judge.strengths(covered)
    feature, none = FeatureId(ANCHOR, 0), Contexts.empty(width)
    share = tiles.share(np.flatnonzero(fires), Split.SHOWN)
    examples = Examples(feature, none, covered, none, others, float(covered.maxima.max(initial=0.0)), share, share)
    return Explanation(feature, parse(rule).english(), ANCHOR, rule), Evidence(examples, corpus, NOWHERE)
