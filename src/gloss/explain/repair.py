"""Revises an explanation by the mistakes that a judge made with it, and keeps a revision only if it
is better elsewhere.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.explain import Explainer
from gloss.explain.candidate_selection import (
    EXPLAINER_AND_SCORER,
    CandidateScorer,
    ChoosingExplainer,
    ExplanationChoice,
    limit_evidence,
    make_choice,
    require_parts,
    score_candidates,
    validation_score,
)
from gloss.explain.max_activating import ANSWER_TOKENS, draw_rows
from gloss.explain.sentence_parsing import parse_explanation, parse_sentence
from gloss.models.chat_models.prompts import Conversation, Prompt, prompt_file
from gloss.models.chat_models.token_marks import (
    json_string,
    spell_contexts,
    suitable_marks,
    where_above,
)
from gloss.records import (
    Ability,
    Contexts,
    Estimate,
    Explanation,
    ExplanationCandidate,
    Failure,
    Needs,
    Reason,
    Score,
    Verdict,
)
from gloss.store.evidence import Evidence, exchange_splits

INTERVAL = 2 * 1.959963984540054  # standard errors


@dataclass(frozen=True)
class Repair:
    """Shows a language model where an explanation misled the judge, and asks for a better one, up
    to `rounds` times.

    Mistakes are shown of the documents that the explanation was made from; whether the revision is
    better is measured on others. `explainer` and `scorer` are methods; their names stand for them
    until a run makes them.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,), parts=EXPLAINER_AND_SCORER)
    explainer: Explainer | ChoosingExplainer | str = "max_activating"
    scorer: CandidateScorer | str = "detection"  # one that gives a verdict on each context
    rounds: int = 2
    mistakes: int = 8  # of either kind, shown at most
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    prompt: str = ""  # a file of one's own in place of gloss' prompt for revisions

    def __post_init__(self) -> None:
        require_parts("repair", self.explainer, self.scorer)
        if min(self.rounds, self.mistakes) < 1:
            raise BadSettings(
                f"repair was given rounds={self.rounds} and mistakes={self.mistakes}, wants at"
                " least 1 of each"
            )

    @property
    def tries(self) -> int:
        """How many candidates there may be."""
        return self.rounds + 1

    def choose(
        self, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[ExplanationChoice]:
        """The last explanation that was kept.

        What is held out of the evidence decides, and must not be held out of the run.
        """
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        vocabulary = evidence.corpus.vocabulary
        first = yield from self.explainer.explain(
            evidence.examples.for_explainer(), vocabulary, rng
        )
        if isinstance(first, Failure):
            return ExplanationChoice(first)
        candidates = yield from score_candidates([first], self.scorer, evidence, rng)
        [best] = candidates
        judged = yield from self.scorer.score(
            first, limit_evidence(exchange_splits(evidence), self.scorer), rng
        )
        failures: list[Failure] = []
        for _ in range(self.rounds):
            if isinstance(judged, Failure) or not judged.verdicts:
                detail = (
                    judged.detail
                    if isinstance(judged, Failure)
                    else "its scorer gives no verdicts on contexts"
                )
                return ExplanationChoice(
                    Failure(first.feature, "explain", Reason.NOT_APPLICABLE, f"repair: {detail}"),
                    tuple(candidates),
                )
            if all(verdict.answer in (verdict.truth, None) for verdict in judged.verdicts):
                break
            revised = yield from self.revise(best.explanation, judged, evidence, rng)
            if isinstance(revised, Failure):
                failures.append(revised)
                break
            [candidate] = yield from score_candidates([revised], self.scorer, evidence, rng)
            candidates.append(candidate)
            if is_better_candidate(candidate, best):
                best = candidate
                judged = yield from self.scorer.score(
                    revised, limit_evidence(exchange_splits(evidence), self.scorer), rng
                )
        return make_choice(candidates, best, failures)

    def foreseen(
        self, evidence: Evidence, explanations: Sequence[Explanation], rng: np.random.Generator
    ) -> Iterator[Conversation[Any]]:
        """All that `choose` asks at most, if the candidates were these explanations and each was
        better than the last.
        """
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        yield self.explainer.explain(
            evidence.examples.for_explainer(), evidence.corpus.vocabulary, rng
        )
        starts = evidence.examples.inactive_train.starts[: self.mistakes].tolist()
        wrong = tuple(Verdict(start, truth=False, answer=True) for start in starts)
        for number, explanation in enumerate(explanations):
            for judged_on in (evidence, exchange_splits(evidence)):
                yield self.scorer.score(explanation, limit_evidence(judged_on, self.scorer), rng)
            if number < self.rounds:
                judged = Score(
                    explanation.feature,
                    "",
                    "",
                    len(wrong),
                    0,
                    {"": Estimate.missing()},
                    "",
                    verdicts=wrong,
                )
                yield self.revise(explanation, judged, evidence, rng)

    def revise(
        self, explanation: Explanation, judged: Score, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask once for an explanation without these mistakes."""
        wrong = {
            verdict.context
            for verdict in judged.verdicts
            if verdict.answer not in (verdict.truth, None)
        }
        examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
        missed = spell_contexts(self.among(examples.train, wrong, rng), vocabulary)
        claimed = spell_contexts(self.among(examples.inactive_train, wrong, rng), vocabulary)
        marked = [(one.pieces, where_above(one, self.threshold)) for one in missed]
        marks = suitable_marks(
            [*marked, *((one.pieces, where_above(one, self.threshold)) for one in claimed)]
        )
        file = prompt_file("gloss.explain", "repair", self.prompt)
        messages = file.fill(
            open=marks.open,
            close=marks.close,
            explanation=json_string(explanation.text),
            missed=[json_string(marks.wrap(*one)) for one in marked],
            claimed=[json_string(one.text) for one in claimed],
        )
        [answer] = yield [
            Prompt(messages, ANSWER_TOKENS, reads=partial(parse_sentence, messages=messages))
        ]
        return parse_explanation(answer, examples, file.sha256, messages, "repair")

    def among(self, contexts: Contexts, wrong: set[int], rng: np.random.Generator) -> Contexts:
        """Those contexts that begin at one of these tokens, at most as many as are shown."""
        rows = np.flatnonzero(np.isin(contexts.starts, list(wrong)))
        return contexts[rows[draw_rows(len(rows), self.mistakes, rng)]]


def is_better_candidate(candidate: ExplanationCandidate, than: ExplanationCandidate) -> bool:
    """Whether the validation score is higher by more than the standard error of the difference,
    taken as independent.
    """
    if not math.isfinite(validation_score(candidate)):
        return False
    if not math.isfinite(validation_score(than)):
        return True
    return validation_score(candidate) - validation_score(than) > math.hypot(
        *map(interval_standard_error, headline_estimates((candidate, than)))
    )


def headline_estimates(candidates: Sequence[ExplanationCandidate]) -> list[Estimate]:
    scores = [candidate.validation for candidate in candidates]
    return [score.estimates[score.headline] for score in scores if isinstance(score, Score)]


def interval_standard_error(estimate: Estimate) -> float:
    return (estimate.high - estimate.low) / INTERVAL
