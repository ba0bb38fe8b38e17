"""Revises an explanation by the mistakes that a judge made with it, and keeps a revision only if it is better elsewhere."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.explain import Explainer
from gloss.explain.answers import read, sentence
from gloss.explain.choosing import Choice, Chooser, Selector, asked_about, choice, require_parts, weighed, worth
from gloss.explain.max_activating import ANSWER_TOKENS, drawn
from gloss.models.marks import above, quoted, spell_all, suitable
from gloss.models.prompts import Conversation, Prompt, prompt_file
from gloss.records import Candidate, Contexts, Estimate, Explanation, Failure, Reason, Score, Verdict
from gloss.store.evidence import Evidence
from gloss.store.selection import exchanged

INTERVAL = 2 * 1.959963984540054  # standard errors


@dataclass(frozen=True)
class Repair:
    """Shows a language model where an explanation misled the judge, and asks for a better one, up to `rounds` times.

    Mistakes are shown of the documents that the explanation was made from; whether the revision is better is measured on
    others. `explainer` and `scorer` are methods; their names stand for them until a run makes them.
    """

    wraps: ClassVar[Mapping[str, str]] = {"explainer": "explain", "scorer": "score"}
    asks: ClassVar[bool] = True
    explainer: Explainer | Chooser | str = "max_activating"
    scorer: Selector | str = "detection"  # one that gives a verdict on each context
    rounds: int = 2
    mistakes: int = 8  # of either kind, shown at most
    threshold: float = 0.3  # of a context's maximum, above which a token is marked

    def __post_init__(self) -> None:
        require_parts("repair", self.explainer, self.scorer)
        if min(self.rounds, self.mistakes) < 1:
            raise BadSettings(f"repair was given rounds={self.rounds} and mistakes={self.mistakes}, wants at least 1 of each")

    @property
    def tries(self) -> int:
        """How many candidates there may be."""
        return self.rounds + 1

    def choose(self, evidence: Evidence, rng: np.random.Generator) -> Conversation[Choice]:
        """The last explanation that was kept. What is held out of the evidence decides, and must not be held out of the run."""
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        vocabulary = evidence.corpus.vocabulary
        first = yield from self.explainer.explain(evidence.examples.for_explainer(), vocabulary, rng)
        if isinstance(first, Failure):
            return Choice(first)
        candidates = yield from weighed([first], self.scorer, evidence, rng)
        [best] = candidates
        judged = yield from self.scorer.score(first, asked_about(exchanged(evidence), self.scorer), rng)
        failures: list[Failure] = []
        for _ in range(self.rounds):
            if isinstance(judged, Failure) or not judged.verdicts:
                detail = judged.detail if isinstance(judged, Failure) else "its scorer gives no verdicts on contexts"
                return Choice(Failure(first.feature, "explain", Reason.NOT_APPLICABLE, f"repair: {detail}"), tuple(candidates))
            if all(verdict.answer in (verdict.truth, None) for verdict in judged.verdicts):
                break
            revised = yield from self.revise(best.explanation, judged, evidence, rng)
            if isinstance(revised, Failure):
                failures.append(revised)
                break
            [candidate] = yield from weighed([revised], self.scorer, evidence, rng)
            candidates.append(candidate)
            if better(candidate, best):
                best = candidate
                judged = yield from self.scorer.score(revised, asked_about(exchanged(evidence), self.scorer), rng)
        return choice(candidates, best, failures)

    def foreseen(
        self, evidence: Evidence, explanations: Sequence[Explanation], rng: np.random.Generator
    ) -> Iterator[Conversation[Any]]:
        """All that `choose` asks at most, if the candidates were these explanations and each was better than the last."""
        assert isinstance(self.explainer, Explainer)
        assert not isinstance(self.scorer, str)
        yield self.explainer.explain(evidence.examples.for_explainer(), evidence.corpus.vocabulary, rng)
        starts = evidence.examples.silent_shown.starts[: self.mistakes].tolist()
        wrong = tuple(Verdict(start, truth=False, answer=True) for start in starts)
        for number, explanation in enumerate(explanations):
            for judged_on in (evidence, exchanged(evidence)):
                yield self.scorer.score(explanation, asked_about(judged_on, self.scorer), rng)
            if number < self.rounds:
                judged = Score(explanation.feature, "", "", len(wrong), 0, {"": Estimate.missing()}, "", verdicts=wrong)
                yield self.revise(explanation, judged, evidence, rng)

    def revise(
        self, explanation: Explanation, judged: Score, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask once for an explanation without these mistakes."""
        wrong = {verdict.context for verdict in judged.verdicts if verdict.answer not in (verdict.truth, None)}
        examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
        missed = spell_all(self.among(examples.shown, wrong, rng), vocabulary)
        claimed = spell_all(self.among(examples.silent_shown, wrong, rng), vocabulary)
        marked = [(one.pieces, above(one, self.threshold)) for one in missed]
        marks = suitable([*marked, *((one.pieces, above(one, self.threshold)) for one in claimed)])
        file = prompt_file("gloss.explain", "repair")
        messages = file.fill(
            open=marks.open,
            close=marks.close,
            explanation=quoted(explanation.text),
            missed=[quoted(marks.wrap(*one)) for one in marked],
            claimed=[quoted(one.text) for one in claimed],
        )
        [answer] = yield [Prompt(messages, ANSWER_TOKENS, reads=partial(sentence, messages=messages))]
        return read(answer, examples, file.sha256, messages)

    def among(self, contexts: Contexts, wrong: set[int], rng: np.random.Generator) -> Contexts:
        """Those contexts that begin at one of these tokens, at most as many as are shown."""
        rows = np.flatnonzero(np.isin(contexts.starts, list(wrong)))
        return contexts[rows[drawn(len(rows), self.mistakes, rng)]]


def better(candidate: Candidate, than: Candidate) -> bool:
    """Whether the selection score is higher by more than the standard error of the difference, taken as independent."""
    if not math.isfinite(worth(candidate)):
        return False
    if not math.isfinite(worth(than)):
        return True
    return worth(candidate) - worth(than) > math.hypot(*map(standard_error, headlines((candidate, than))))


def headlines(candidates: Sequence[Candidate]) -> list[Estimate]:
    scores = [candidate.selection for candidate in candidates]
    return [score.estimates[score.headline] for score in scores if isinstance(score, Score)]


def standard_error(estimate: Estimate) -> float:
    return (estimate.high - estimate.low) / INTERVAL
