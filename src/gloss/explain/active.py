"""Tests what it supposes: changes contexts so that the feature should fire there, or should not,
has the subject read them, and keeps what holds (as SAGE: Hu et al., 2025).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from gloss.errors import BadInput, BadSettings
from gloss.explain import Explainer
from gloss.explain.candidate_selection import (
    EXPLAINER_AND_SCORER,
    CandidateScorer,
    ChoosingExplainer,
    ExplanationChoice,
    make_choice,
    require_parts,
    score_candidates,
    validation_score,
)
from gloss.explain.rule_search.rule_wording import rule_sentence
from gloss.explain.rule_search.search import RuleSearch
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.explain.trials import (
    Trials,
    breaking_drafts,
    making_drafts,
    read_drafts,
    scanning_drafts,
    unchanged_drafts,
)
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Examples, Explanation, ExplanationCandidate, Failure, Needs
from gloss.rules import Rule, parse_rule
from gloss.store.evidence import Evidence, NewTextReader, judged_evidence

METHOD = "active"
# of the score on the train text, that a rule may lose for what trials say of it
TOLERANCE = 0.005
FEWEST_STARTS = 4  # contexts that fire when they are read alone; with fewer nothing is tried


@dataclass(frozen=True)
class Active:
    """Supposes a rule, tries it on changed contexts that the subject reads, and supposes anew, up
    to `rounds` times.

    `explainer` makes the first hypothesis and `scorer` says how far each holds of the train text;
    their names stand for them until a run makes them. Trials decide among hypotheses of which the
    text says the same.
    """

    needs: ClassVar[Needs] = Needs(texts=True, parts=EXPLAINER_AND_SCORER)
    explainer: Explainer | ChoosingExplainer | str = "rule"
    scorer: CandidateScorer | str = "execution"
    texts: int = 256  # that the subject reads for a feature, at most
    rounds: int = 3

    def __post_init__(self) -> None:
        require_parts(METHOD, self.explainer, self.scorer)
        if self.rounds < 1 or self.texts < 8 * self.rounds:
            raise BadSettings(
                f"{METHOD} was given texts={self.texts} and rounds={self.rounds}, wants at least"
                " one round and eight texts for each"
            )

    def investigate(
        self, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[ExplanationChoice]:
        """The hypothesis that stands in the end, among all that were tried.

        The evidence is of the train split alone, and has a reader: see `train_evidence`. Raises
        BadInput where it has none.
        """
        if evidence.reader is None:
            raise BadInput(
                f"{METHOD} has the model read changed contexts, and the evidence has no reader;"
                " give Evidence(..., reader=...)"
            )
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        first = yield from self.explainer.explain(
            evidence.examples, evidence.corpus.vocabulary, rng
        )
        return (yield from self.by_rules(first, evidence, evidence.reader, rng))

    def by_rules(
        self,
        first: Explanation | Failure,
        evidence: Evidence,
        reader: NewTextReader,
        rng: np.random.Generator,
    ) -> Conversation[ExplanationChoice]:
        """Hypotheses in the rule language."""
        assert not isinstance(self.scorer, str)
        trials = RuleTrials(evidence, reader, rng)
        starts, scanned = self.texts // 8, self.texts // 4
        each = (self.texts - starts - scanned) // max(1, self.rounds - 1)
        if not trials.begin(starts):
            return ExplanationChoice(first)
        trials.scan(scanned)
        found = [first] if isinstance(first, Explanation) else []
        for turn in range(self.rounds):
            if (supposed := trials.hypothesis()) is not None:
                found.append(supposed)
            if found and turn + 1 < self.rounds:
                trials.test(parse_rule(found[-1].rule or ""), each)
        distinct = list({one.rule: one for one in reversed(found)}.values())[::-1]
        if not distinct:
            assert isinstance(first, Failure)
            return ExplanationChoice(first)
        candidates = yield from score_candidates(
            distinct, self.scorer, judged_evidence(evidence), rng
        )
        return make_choice(candidates, trials.best_of(candidates))


@dataclass(eq=False)
class RuleTrials:
    """What has been tried of one feature so far."""

    evidence: Evidence
    reader: NewTextReader
    rng: np.random.Generator
    starts: Trials = field(default_factory=Trials)  # unchanged contexts that fire when they are read alone
    trials: Trials = field(default_factory=Trials)

    def __post_init__(self) -> None:
        self.lots = self.rng.integers(2**63)
        self.supply = self.evidence.corpus.token_supply

    @property
    def strings(self) -> tuple[str, ...]:
        return self.evidence.corpus.vocabulary.strings

    def begin(self, number: int) -> bool:
        """Read contexts as they are; whether enough of them fire by themselves."""
        firing = self.evidence.examples.train
        rows = np.sort(self.rng.permutation(len(firing))[:number])
        read = self.read(unchanged_drafts(firing[rows]))
        kept = np.flatnonzero(read.fires)
        self.starts = Trials(tuple(read.drafts[row] for row in kept), read.activations[kept])
        self.trials = self.starts
        return len(kept) >= FEWEST_STARTS

    def read(self, drafts: Sequence) -> Trials:
        return read_drafts(drafts, self.reader, self.evidence.examples.feature.index)

    def scan(self, number: int) -> None:
        """Find out which tokens matter, whatever the hypothesis."""
        drafts = scanning_drafts(self.starts.drafts, number, self.supply, self.rng)
        self.trials += self.read(drafts)

    def test(self, rule: Rule, number: int) -> None:
        """Read what the rule says to be silent, and what it says to fire."""
        broken = breaking_drafts(rule, self.starts.drafts, number // 2, self.supply, self.rng)
        inactive = self.evidence.examples.inactive_train
        made = making_drafts(rule, inactive, number - len(broken), self.supply, self.rng)
        if broken or made:
            self.trials += self.read([*broken, *made])

    def hypothesis(self) -> Explanation | None:
        """The rule that says the contexts and the trials in the fewest words."""
        examples, vocabulary = self.evidence.examples, self.evidence.corpus.vocabulary
        width = examples.train.tokens.shape[1]
        tried = TrainWindows.of(
            examples, vocabulary, self.same_lots(), self.trials.contexts(width)
        )
        rule = RuleSearch().find(tried)
        if rule is None:
            return None
        untried = TrainWindows.of(examples, vocabulary, self.same_lots())
        return Explanation(examples.feature, rule_sentence(rule, untried), METHOD, str(rule))

    def same_lots(self) -> np.random.Generator:
        return np.random.default_rng(self.lots)

    def agreement(self, explanation: Explanation) -> float:
        """How much of the trials a rule foretells: the mean of those that fire and those that are
        silent.
        """
        predicted = self.trials.predicted(parse_rule(explanation.rule or ""), self.strings)
        fires = self.trials.fires
        return float(
            np.mean([np.mean(predicted[side] == fires[side]) for side in (fires, ~fires) if side.any()])
        )

    def best_of(self, candidates: Sequence[ExplanationCandidate]) -> ExplanationCandidate:
        """Of the hypotheses that hold of the text as well as any, the one that trials bear out
        best; the earliest of equals.
        """
        most = max(map(validation_score, candidates))
        fair = [one for one in candidates if validation_score(one) >= most - TOLERANCE]
        return max(fair, key=lambda one: round(self.agreement(one.explanation), 3))
