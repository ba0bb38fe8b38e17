"""Revises an explanation by the mistakes that a judge made with it, and keeps a revision only if it
is better elsewhere.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

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
    Examples,
    Explanation,
    ExplanationCandidate,
    Failure,
    Needs,
    Negative,
    Reason,
    Score,
    Verdict,
)
from gloss.statistics.rates import paired_gain, rate_metrics
from gloss.store.evidence import Evidence, exchange_splits

KEPT_WRONGLY = 0.05  # the chance with which a revision that is no better is kept, roughly


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
        scorer, same = self.scorer, int(rng.integers(2**63))  # all are asked about alike

        def scored(explanation: Explanation) -> Conversation[list[ExplanationCandidate]]:
            own = np.random.default_rng(same)
            return (yield from score_candidates([explanation], scorer, evidence, own))

        candidates = yield from scored(first)
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
            [candidate] = yield from scored(revised)
            candidates.append(candidate)
            if is_better_candidate(candidate, best, evidence.examples, rng):
                best = candidate
                judged = yield from self.scorer.score(
                    revised, limit_evidence(exchange_splits(evidence), self.scorer), rng
                )
        return make_choice(candidates, best, failures)

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


def is_better_candidate(
    candidate: ExplanationCandidate,
    than: ExplanationCandidate,
    examples: Examples,
    rng: np.random.Generator,
) -> bool:
    """Whether the candidate's headline is higher on the same contexts, beyond what drawing them
    anew would give in one case of twenty.
    """
    if not math.isfinite(validation_score(candidate)):
        return False
    if not math.isfinite(validation_score(than)):
        return True
    assert isinstance(candidate.validation, Score)
    assert isinstance(than.validation, Score)
    return headline_gain(candidate.validation, than.validation, examples, rng).low > 0


def headline_gain(
    candidate: Score, than: Score, examples: Examples, rng: np.random.Generator
) -> Estimate:
    """How much higher F1 at the base rate is where it is the headline, otherwise the mean accuracy
    of both sides, on the contexts that both were judged on.

    At the base rate inactive contexts at random count alone.
    """
    mine, theirs = (answers_by_item(score.verdicts) for score in (candidate, than))
    inactive = examples.inactive_held_out
    kinds = dict(zip(inactive.starts.tolist(), inactive.quantiles.tolist(), strict=True))
    at_base_rate = candidate.headline.endswith("at_base_rate")
    items = [
        item
        for item in mine
        if item in theirs
        and (item.truth or not at_base_rate or kinds.get(item.context) == Negative.RANDOM)
    ]
    # a missing answer claims nothing, which F1 counts; it is not right either, which accuracy does
    claims = (True,) if at_base_rate else (True, None)
    firing = np.array([item.truth for item in items], dtype=bool)
    revised, current = (
        np.array(
            [answers[item] in ((True,) if item.truth else claims) for item in items], dtype=bool
        )
        for answers in (mine, theirs)
    )
    share = examples.share_held_out

    def metric(
        hit: Float64[ndarray, " draw"], false: Float64[ndarray, " draw"]
    ) -> Float64[ndarray, " draw"]:
        if at_base_rate:
            return rate_metrics(hit, 1 - false, false, share)["f1"]
        return np.nanmean([hit, 1 - false], axis=0)

    return paired_gain(firing, revised, current, metric, rng, outside=KEPT_WRONGLY)


class JudgedContext(NamedTuple):
    """What a verdict is about; `again` counts verdicts about the same context."""

    context: int
    truth: bool
    again: int


def answers_by_item(verdicts: Sequence[Verdict]) -> dict[JudgedContext, bool | None]:
    """What was said of each thing that was judged."""
    seen = Counter[tuple[int, bool]]()
    found: dict[JudgedContext, bool | None] = {}
    for verdict in verdicts:
        about = verdict.context, verdict.truth
        found[JudgedContext(*about, seen[about])] = verdict.answer
        seen[about] += 1
    return found
