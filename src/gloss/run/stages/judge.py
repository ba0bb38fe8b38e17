"""Stage `judge`: how often each method's judge errs, asked of contexts whose truth is known."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from gloss.models.chat_models.prompts import Conversation
from gloss.pages.report_sections import Section
from gloss.records import Failure, FeatureId, Reason, Score
from gloss.run.dependencies import method_content, method_reads
from gloss.run.experiment import Experiment, method_label, stage_name
from gloss.run.methods import SettingsMapping, build_method, method_needs
from gloss.run.opened_run import OpenedRun
from gloss.run.reporting.judges import judges_section
from gloss.run.reporting.run_data import RunData
from gloss.run.stage import Job, Step, Where, WholeStage, where_method_runs
from gloss.run.stages.packing import JudgeSettings, with_measured_packing
from gloss.score.judge.calibration_items import (
    CALIBRATION_ITEM,
    CalibrationCounts,
    CalibrationTexts,
)
from gloss.score.judge.verdict_metrics import VerdictCounts
from gloss.store.record_rows import failure_row
from gloss.store.results import Row, read_rows
from gloss.store.schemas import named_tables

ANSWERS = ("yes", "no", "failed")
RATES = ("sensitivity", "false_positive_rate")

RuleConversation = tuple[str, Conversation[Score | Failure]]


class JudgeStage(WholeStage):
    """How often a judge errs, once for each score that can be corrected by that."""

    name, after, settings = "judge", ("collect", "packing", "explain"), JudgeSettings
    tables = named_tables("calibration_items", "failures")
    where = Where.EVENT_LOOP

    def steps(self, asked: Experiment) -> Iterator[Step]:
        if asked.settings(JudgeSettings).calibration_items:
            for settings in asked.score:
                if method_needs("score", settings).correctable:
                    yield Step(self, settings, method_label(settings))

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        return ["collect", *method_reads(asked, "score", step.settings, before)]

    def content(self, asked: Experiment, step: Step) -> Any:
        cut = (asked.sampling.context_length, asked.run.seed)
        measured = asdict(asked.settings(JudgeSettings))
        return measured, cut, method_content(asked, "score", step.settings)

    def where_to_run(self, asked: Experiment, step: Step) -> Where:
        return where_method_runs("score", step.settings)

    def work(self, job: Job, shard: int) -> None:
        measure_judge(job)

    def lines(self, run: OpenedRun, step: Step) -> Iterable[str]:
        if run.part(step.name, 0).is_done:
            yield judge_errors_line(run, step.settings)

    def sections(self, found: RunData) -> Iterable[Section | None]:
        return [judges_section(found)]


def measure_judge(job: Job) -> None:
    """Have one method's judge asked about the calibration items.

    What it said of each rule, and both error rates in the note.
    """
    run, client, settings = job.run, job.client, job.step.settings
    asked = list(calibration_conversations(run, settings))
    guard = job.guard(0, len(asked))
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


def calibration_conversations(
    run: OpenedRun, settings: SettingsMapping
) -> Iterator[RuleConversation]:
    """Each rule, and the method's own questions about it: the very prompts that features are judged
    by.
    """
    asked = run.experiment.settings(JudgeSettings)
    scorer, rng = (
        build_method("score", with_measured_packing(run, "score", settings)),
        run.generator("anchors"),
    )
    width = run.experiment.sampling.context_length
    each = -(-asked.calibration_items // asked.rules)
    material = CalibrationTexts.of(run.corpus, width, rng)
    for number, words in enumerate(material.draw_words(asked.rules, each, rng)):
        explanation, evidence = material.about(words, each, rng)
        yield (
            explanation.text,
            scorer.score(
                explanation,
                evidence,
                run.generator("anchor", stage_name("judge", settings), number),
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


def judge_calibration(run: OpenedRun, settings: SettingsMapping) -> CalibrationCounts | None:
    """What this method's judge said of the calibration items; None where it was not asked."""
    stage = stage_name("judge", settings)
    if stage not in run.keys:
        return None
    rows = read_rows([run.place(stage)], "calibration_items")
    return CalibrationCounts(
        *(
            VerdictCounts(*(sum(row[f"{side}_{answer}"] for row in rows) for answer in ANSWERS))
            for side in ("covered", "others")
        )
    )


def judge_errors_line(run: OpenedRun, settings: SettingsMapping) -> str:
    """Both error rates with their intervals, in one line."""
    note = run.part(stage_name("judge", settings), 0).note()
    said = (
        f"{name.replace('_', ' ')} {note[name][0]:.3f} ({note[name][1]:.3f} to {note[name][2]:.3f})"
        for name in RATES
    )
    return f"the judge of {method_label(settings)}: {', '.join(said)}"
