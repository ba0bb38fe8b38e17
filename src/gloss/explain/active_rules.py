"""The rule language's part of active explaining: trials on changed contexts, and the rule that says
them and the text in the fewest words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gloss.explain.rule_search.rule_wording import rule_sentence
from gloss.explain.rule_search.search import RuleSearch
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.explain.trials import (
    Draft,
    Trials,
    breaking_drafts,
    making_drafts,
    read_drafts,
    scanning_drafts,
    unchanged_drafts,
)
from gloss.records import Contexts, Explanation
from gloss.rules import parse_rule
from gloss.store.evidence import Evidence, NewTextReader

METHOD = "active"
FEWEST_STARTS = 4  # contexts that fire when they are read alone; with fewer nothing is tried


@dataclass(eq=False)
class RuleTrials:
    """What has been tried of one feature so far."""

    evidence: Evidence  # of the train split alone
    reader: NewTextReader
    rng: np.random.Generator
    starts: Trials = field(default_factory=Trials)  # unchanged contexts that fire when read alone
    trials: Trials = field(default_factory=Trials)

    def __post_init__(self) -> None:
        self.lots = int(self.rng.integers(2**63))
        self.supply = self.evidence.corpus.token_supply

    def begin(self, number: int) -> bool:
        """Read contexts as they are; whether enough of them fire by themselves."""
        firing = self.evidence.examples.train
        rows = np.sort(self.rng.permutation(len(firing))[:number])
        read = self.read(unchanged_drafts(firing[rows]))
        kept = np.flatnonzero(read.fires)
        self.starts = Trials(tuple(read.drafts[row] for row in kept), read.activations[kept])
        self.trials = self.starts
        return len(kept) >= FEWEST_STARTS

    def scan(self, number: int) -> None:
        """Find out which tokens matter, whatever the hypothesis."""
        drafts = scanning_drafts(self.starts.drafts, number, self.supply, self.rng)
        self.trials += self.read(drafts)

    def test(self, supposed: Explanation, number: int) -> None:
        """Read what the rule says to be silent, and what it says to fire."""
        assert supposed.rule is not None
        rule = parse_rule(supposed.rule)
        broken = breaking_drafts(rule, self.starts.drafts, number // 2, self.supply, self.rng)
        inactive = self.evidence.examples.inactive_train
        made = making_drafts(rule, inactive, number - len(broken), self.supply, self.rng)
        self.trials += self.read([*broken, *made])

    def read(self, drafts: Sequence[Draft]) -> Trials:
        return read_drafts(drafts, self.reader, self.evidence.examples.feature.index)

    def suppose(self) -> Explanation | None:
        """The rule that says the contexts and the trials in the fewest words; None where none
        does.
        """
        examples = self.evidence.examples
        tried = self.trials.contexts(examples.train.tokens.shape[1])
        rule = RuleSearch().find(self.windows(tried))
        if rule is None:
            return None
        return Explanation(examples.feature, rule_sentence(rule, self.windows()), METHOD, str(rule))

    def windows(self, trials: Contexts | None = None) -> TrainWindows:
        """The contexts, each time in the same halves, with trials or without."""
        examples, vocabulary = self.evidence.examples, self.evidence.corpus.vocabulary
        return TrainWindows.of(examples, vocabulary, np.random.default_rng(self.lots), trials)

    def agreement(self, supposed: Explanation) -> float:
        """How much of the trials a rule foretells: the mean of its shares among those that fire
        and among those that are silent.
        """
        assert supposed.rule is not None
        strings = self.evidence.corpus.vocabulary.strings
        predicted, fires = (
            self.trials.predicted(parse_rule(supposed.rule), strings),
            self.trials.fires,
        )
        shares = [np.mean(predicted[side] == fires[side]) for side in (fires, ~fires) if side.any()]
        return float(np.mean(shares))
