"""Supposes, tries and supposes anew: has the subject read texts in which the feature should fire or
be silent, and keeps what holds (as SAGE, arXiv 2511.20820).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import BadInput, BadSettings
from gloss.explain import Explainer
from gloss.explain.active_rules import RuleTrials
from gloss.explain.active_words import WordTrials
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
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Explanation, ExplanationCandidate, Failure, Needs, Score, needs_of
from gloss.store.evidence import Evidence, NewTextReader, halve_evidence, judged_evidence

METHOD = "active"
TOLERANCE = 0.005  # of a rule's score on the train text, that it may lose for what trials say
FEWEST_TEXTS = 8  # in a round


@dataclass(frozen=True)
class Active:
    """Tests what `explainer` supposes on texts that the subject reads, and supposes anew, up to
    `rounds` times.

    With an explainer that asks nobody, hypotheses are rules, and texts are train contexts in which
    tokens are changed. With one that asks a language model, this writes pairs of texts that put its
    words to the test. `scorer` says how far a hypothesis holds of the train text; among those of
    which it says the same, what was tried decides. Names stand for both parts until a run makes
    them.
    """

    needs: ClassVar[Needs] = Needs(texts=True, parts=EXPLAINER_AND_SCORER)
    explainer: Explainer | ChoosingExplainer | str = "rule"
    scorer: CandidateScorer | str = "execution"
    texts: int = 256  # that the subject reads for a feature, at most
    rounds: int = 3
    prompt: str = ""  # a file of one's own in place of gloss' prompt for pairs of texts

    def __post_init__(self) -> None:
        require_parts(METHOD, self.explainer, self.scorer)
        if self.rounds < 1 or self.texts < FEWEST_TEXTS * self.rounds:
            raise BadSettings(
                f"{METHOD} was given texts={self.texts} and rounds={self.rounds}, wants at least"
                f" one round and {FEWEST_TEXTS} texts for each"
            )

    @property
    def tries(self) -> int:
        """How many hypotheses there may be."""
        return self.rounds + 1

    def investigate(
        self, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[ExplanationChoice]:
        """The hypothesis that stands in the end, among all that were tried.

        The evidence is of the train split alone, and has a reader: see `train_evidence`. Raises
        BadInput where it has none.
        """
        if evidence.reader is None:
            raise BadInput(
                f"{METHOD} has the model read texts of its own, and the evidence has no reader;"
                " give Evidence(..., reader=...)"
            )
        assert isinstance(self.explainer, Explainer)
        if needs_of(self.explainer).asks:
            return (yield from self.by_words(halve_evidence(evidence), evidence.reader, rng))
        return (yield from self.by_rules(evidence, evidence.reader, rng))

    def by_rules(
        self, evidence: Evidence, reader: NewTextReader, rng: np.random.Generator
    ) -> Conversation[ExplanationChoice]:
        """Hypotheses in the rule language, each judged on all of the train text. What is explained
        otherwise cannot be tried, and stands.
        """
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        first = yield from self.explainer.explain(
            evidence.examples, evidence.corpus.vocabulary, rng
        )
        if isinstance(first, Explanation) and not first.rule:
            return ExplanationChoice(first)
        supposed = [first] if isinstance(first, Explanation) else []
        trials = RuleTrials(evidence, reader, rng)
        begun, scanned = self.texts // 8, self.texts // 4
        if not trials.begin(begun):
            return ExplanationChoice(first)
        trials.scan(scanned)
        for turn in range(self.rounds):
            if (found := trials.suppose()) is not None:
                supposed.append(found)
            if supposed and turn + 1 < self.rounds:
                trials.test(supposed[-1], (self.texts - begun - scanned) // (self.rounds - 1))
        distinct = list({one.rule: one for one in reversed(supposed)}.values())[::-1]
        if not distinct:
            return ExplanationChoice(first)
        candidates = yield from score_candidates(
            distinct, self.scorer, judged_evidence(evidence), rng
        )
        borne = [trials.agreement(one) for one in distinct]
        return make_choice(candidates, best_borne_out(candidates, borne, TOLERANCE))

    def by_words(
        self, evidence: Evidence, reader: NewTextReader, rng: np.random.Generator
    ) -> Conversation[ExplanationChoice]:
        """Hypotheses of a language model, made from one half of the train split and judged on the
        other.
        """
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        first = yield from self.explainer.explain(
            evidence.examples.for_explainer(), evidence.corpus.vocabulary, rng
        )
        if isinstance(first, Failure):
            return ExplanationChoice(first)
        trials = WordTrials(evidence, reader, self.texts // (2 * self.rounds), self.prompt)
        supposed, failures = [first], list[Failure]()
        for _ in range(self.rounds):
            found = yield from trials.propose(supposed[-1], rng)
            if isinstance(found, Failure):
                failures.append(found)
                break
            supposed.append(found)
        distinct = list({one.text: one for one in reversed(supposed)}.values())[::-1]
        candidates = yield from score_candidates(distinct, self.scorer, evidence, rng)
        borne = [trials.borne_out.get(one.text, 0.0) for one in distinct]
        best = best_borne_out(candidates, borne, standard_error_of_best(candidates))
        return make_choice(candidates, best, failures)


def best_borne_out(
    candidates: Sequence[ExplanationCandidate], borne_out: Sequence[float], tolerance: float
) -> ExplanationCandidate:
    """Of the candidates whose score is within the tolerance of the best, the one that trials bear
    out most; the earliest of equals.
    """
    scores = [validation_score(candidate) for candidate in candidates]
    fair = [row for row, score in enumerate(scores) if score >= max(scores) - tolerance]
    return candidates[max(fair, key=lambda row: round(borne_out[row], 6))]


def standard_error_of_best(candidates: Sequence[ExplanationCandidate]) -> float:
    """The standard error of the best candidate's score; 0 where none has one."""
    best = max(candidates, key=validation_score).validation
    return best.estimates[best.headline].standard_error if isinstance(best, Score) else 0.0
