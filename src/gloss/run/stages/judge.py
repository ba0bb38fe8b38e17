"""Stage `judge`: how often each method's judge errs, asked of contexts whose truth is known."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from gloss.models.chat_models.prompts import Conversation
from gloss.records import Failure, FeatureId, Reason, Score
from gloss.run.chat_clients import ChatClient
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import method_label
from gloss.run.methods import build_method
from gloss.run.plan import Plan, stage_name
from gloss.run.stages.packing import with_measured_packing
from gloss.score.judge.calibration_items import (
    CALIBRATION_ITEM,
    CalibrationCounts,
    CalibrationTexts,
)
from gloss.score.judge.verdict_metrics import VerdictCounts
from gloss.store.results import Row, failure_row, read_rows

ANSWERS = ("yes", "no", "failed")
RATES = ("sensitivity", "false_positive_rate")

RuleConversation = tuple[str, Conversation[Score | Failure]]


def measure_judge(plan: Plan, settings: dict[str, Any], client: ChatClient) -> None:
    """Have one method's judge asked about the calibration items.

    What it said of each rule, and both error rates in the note.
    """
    asked = list(calibration_conversations(plan, settings))
    guard = FeatureGuard(plan, stage_name("judge", settings), 0, after=(), size=len(asked))
    # No feature of the dictionary: rules are counted below 0.
    conversations = (
        guard.conversation(
            FeatureId(CALIBRATION_ITEM, -1 - n), partial(given_conversation, conversation)
        )
        for n, (_, conversation) in enumerate(asked)
    )
    found = client.run(conversations)
    scores = [
        (rule, score)
        for (rule, _), score in zip(asked, found, strict=True)
        if isinstance(score, Score)
    ]
    whole = not any(
        verdict.reason is Reason.REQUEST_ERROR for _, score in scores for verdict in score.verdicts
    )
    every = CalibrationCounts.of([verdict for _, score in scores for verdict in score.verdicts])
    rates = {name: getattr(every, name) for name in RATES}
    note = {name: [rate.value, rate.low, rate.high] for name, rate in rates.items()}
    rows = [
        calibration_row(method_label(settings), rule, CalibrationCounts.of(score.verdicts))
        for rule, score in scores
    ]
    failures = [
        failure_row(one) for one in found if isinstance(one, Failure) and one.reason is Reason.ERROR
    ]
    guard.write({"calibration_items": rows, "failures": failures}, whole=whole, note=note)


def calibration_conversations(plan: Plan, settings: dict[str, Any]) -> Iterator[RuleConversation]:
    """Each rule, and the method's own questions about it: the very prompts that features are judged
    by.
    """
    asked = plan.experiment.judge
    scorer, rng = (
        build_method("score", with_measured_packing(plan, "score", settings)),
        plan.generator("anchors"),
    )
    width = plan.experiment.sampling.context_length
    each = -(-asked.calibration_items // asked.rules)
    material = CalibrationTexts.of(plan.corpus, width, rng)
    for number, words in enumerate(material.words(asked.rules, each, rng)):
        explanation, evidence = material.about(words, each, rng)
        yield (
            explanation.text,
            scorer.score(
                explanation,
                evidence,
                plan.generator("anchor", stage_name("judge", settings), number),
            ),
        )


def given_conversation(
    conversation: Conversation[Score | Failure],
) -> Conversation[Score | Failure]:
    """The conversation itself."""
    return conversation


def calibration_row(method: str, rule: str, said: CalibrationCounts) -> Row:
    """One rule's row of the table."""
    return {"method": method, "rule": rule} | {
        f"{side}_{answer}": getattr(getattr(said, side), answer)
        for side in ("covered", "others")
        for answer in ANSWERS
    }


def judge_calibration(plan: Plan, settings: dict[str, Any]) -> CalibrationCounts | None:
    """What this method's judge said of the calibration items; None where it was not asked."""
    stage = stage_name("judge", settings)
    if stage not in plan.keys:
        return None
    rows = read_rows([plan.place(stage)], "calibration_items")
    return CalibrationCounts(
        *(
            VerdictCounts(*(sum(row[f"{side}_{answer}"] for row in rows) for answer in ANSWERS))
            for side in ("covered", "others")
        )
    )


def judge_errors_line(plan: Plan, settings: dict[str, Any]) -> str:
    """Both error rates with their intervals, in one line."""
    note = plan.part(stage_name("judge", settings), 0).note()
    said = (
        f"{name.replace('_', ' ')} {note[name][0]:.3f} ({note[name][1]:.3f} to {note[name][2]:.3f})"
        for name in RATES
    )
    return f"the judge of {method_label(settings)}: {', '.join(said)}"
