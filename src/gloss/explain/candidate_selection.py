"""What explainers share that choose among explanations: candidates, each scored on documents that
it was not made from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from gloss.errors import BadSettings
from gloss.explain import Explainer
from gloss.models.chat_models.prompts import Conversation, join_conversations
from gloss.records import Explanation, ExplanationCandidate, Failure, Reason, Score, needs_of
from gloss.store.evidence import Evidence

JUDGED_CONTEXTS = 50  # contexts of either kind
# the settings that name the parts of an explainer that chooses, each with its verb
EXPLAINER_AND_SCORER: Mapping[str, str] = {"explainer": "explain", "scorer": "score"}


@runtime_checkable
class CandidateScorer(Protocol):
    """A scorer, as far as explainers know one: of what it says, the headline chooses."""

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """A score with its verdicts, or a failure with its reason."""
        ...


@runtime_checkable
class ChoosingExplainer(Protocol):
    """An explainer made of others: it has candidates explained, and chooses among them on a part of
    the train split.
    """

    @property
    def scorer(self) -> "CandidateScorer | str":
        """What its candidates are scored by."""
        ...

    @property
    def tries(self) -> int:
        """How many candidates there may be."""
        ...

    def choose(
        self, evidence: Evidence, rng: np.random.Generator
    ) -> "Conversation[ExplanationChoice]":
        """The chosen explanation among its candidates.

        What is held out of the evidence chooses: see `validation_evidence`.
        """
        ...


@runtime_checkable
class InvestigatingExplainer(Protocol):
    """An explainer that has the subject read texts of its own making, from the train split."""

    def investigate(
        self, evidence: Evidence, rng: np.random.Generator
    ) -> "Conversation[ExplanationChoice]":
        """What stands in the end, among all that was supposed.

        The evidence is of the train split alone, and has a reader: see `train_evidence`.
        """
        ...


def is_choosing(explainer: object) -> bool:
    """Whether an explainer has candidates, of which it chooses one."""
    return isinstance(explainer, ChoosingExplainer | InvestigatingExplainer)


def require_parts(name: str, explainer: object, scorer: object) -> None:
    """Raise BadSettings for parts that cannot be had on the validation split."""
    if not isinstance(explainer, str | Explainer):
        raise BadSettings(
            f"{name} cannot be made of {type(explainer).__name__}, which chooses itself; name"
            " another explainer"
        )
    for part in (explainer, scorer):
        if needs_of(part).effects:
            raise BadSettings(
                f"{name} cannot be made of {type(part).__name__}: effects are not measured on the"
                " validation split"
            )
    if not needs_of(scorer).explanation:
        raise BadSettings(
            f"{name} cannot choose by {type(scorer).__name__}, which scores features without their"
            " explanations"
        )


def limit_evidence(evidence: Evidence, selector: CandidateScorer) -> Evidence:
    """The evidence that a selector judges: all of it, but for a language model no more contexts
    than a score has by default.
    """
    if not needs_of(selector).asks:
        return evidence
    firing, inactive = (
        evidence.examples.held_out.spaced(JUDGED_CONTEXTS),
        evidence.examples.inactive_held_out.spaced(JUDGED_CONTEXTS),
    )
    return replace(
        evidence, examples=replace(evidence.examples, held_out=firing, inactive_held_out=inactive)
    )


@dataclass(frozen=True, slots=True)
class ExplanationChoice:
    """The explanation that was chosen, if any could be, among all candidates in the order in which
    they were made.
    """

    explanation: Explanation | Failure
    candidates: tuple[ExplanationCandidate, ...] = ()
    failures: tuple[Failure, ...] = ()  # of tries that gave no candidate

    @property
    def lost(self) -> bool:
        """Whether a request was lost on the way, so that another attempt may choose otherwise."""
        scores = [candidate.validation for candidate in self.candidates]
        reasons = [
            verdict.reason
            for score in scores
            if isinstance(score, Score)
            for verdict in score.verdicts
        ]
        failures = [
            each.reason
            for each in (self.explanation, *scores, *self.failures)
            if isinstance(each, Failure)
        ]
        return Reason.REQUEST_ERROR in (*reasons, *failures)


def score_candidates(
    explanations: Sequence[Explanation],
    selector: CandidateScorer,
    evidence: Evidence,
    rng: np.random.Generator,
) -> Conversation[list[ExplanationCandidate]]:
    """Every explanation with its score on the evidence, all asked for at once."""
    judged = limit_evidence(evidence, selector)
    scores = yield from join_conversations(
        selector.score(explanation, judged, own)
        for explanation, own in zip(explanations, rng.spawn(len(explanations)), strict=True)
    )
    return [
        ExplanationCandidate(explanation, score)
        for explanation, score in zip(explanations, scores, strict=True)
    ]


def validation_score(candidate: ExplanationCandidate) -> float:
    """The headline on the validation split; less than any number where there is none."""
    if isinstance(candidate.validation, Failure):
        return -np.inf
    value = candidate.validation.estimates[candidate.validation.headline].value
    return value if np.isfinite(value) else -np.inf


def make_choice(
    candidates: Sequence[ExplanationCandidate],
    best: ExplanationCandidate,
    failures: Sequence[Failure] = (),
) -> ExplanationChoice:
    """The best candidate, marked among all; a failure where not even that one could be scored."""
    if validation_score(best) == -np.inf:
        return ExplanationChoice(unscored_failure(best), tuple(candidates), tuple(failures))
    marked = tuple(replace(each, chosen=each is best) for each in candidates)
    return ExplanationChoice(best.explanation, marked, tuple(failures))


def unscored_failure(candidate: ExplanationCandidate) -> Failure:
    """The failure of a feature none of whose explanations could be scored where they are chosen."""
    feature, found = candidate.explanation.feature, candidate.validation
    if isinstance(found, Failure):
        return Failure(
            feature,
            "explain",
            found.reason,
            f"no candidate could be scored on the validation split: {found.detail}",
        )
    return Failure(
        feature,
        "explain",
        Reason.NOT_APPLICABLE,
        f"{found.headline} on the validation split is not a number",
    )
