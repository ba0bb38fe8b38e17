"""What is known of the judges: their errors on contexts of known truth, their position biases,
and the requests that were spared.
"""

import math
from collections.abc import Iterator

from gloss.pages.report_sections import Cell, Facts, Grid, ReportBlock, Section
from gloss.records import Estimate
from gloss.run.judge_doubts import judge_position_biases, stage_answer_tally
from gloss.run.reporting.run_data import RunData
from gloss.score.judge.doubts import tallied_answers
from gloss.score.judge.packing import Packing
from gloss.score.judge.position_bias import is_noticeable
from gloss.score.judge.questions import QuestionForm
from gloss.store.results import read_rows


def judges_section(found: RunData) -> Section | None:
    """Sensitivity and false positive rate of each scorer's judge, where calibration items
    were asked; requests, where some were spared.
    """
    blocks: list[ReportBlock] = []
    columns = ("judge of", "sensitivity", "false positive rate")
    if tried := tuple(packing_rows(found)):
        headings = (
            "judge of",
            "packing",
            "balanced accuracy",
            "AUROC",
            "yes",
            "no answer",
            "requests",
            "prompt tokens",
            "",
        )
        note = (
            "On the same contexts of known truth: the largest packing that is not worse than single"
            " questions beyond its error."
        )
        blocks.append(Grid(headings, tried, note))
    if rows := tuple(error_rate_rows(found)):
        blocks.append(
            Grid(
                columns,
                rows,
                "On contexts that a rule covers and on others, asked by the scorer’s own prompt.",
            )
        )
    if shares := tuple(yes_share_rows(found)):
        columns = (
            "judge of",
            "contexts asked",
            "yes",
            "of firing ones",
            "of inactive ones",
            "under controls",
            "no answer",
        )
        blocks.append(Grid(columns, shares, "What the judge said of the run’s own contexts."))
    if kept := tuple(position_bias_rows(found)):
        blocks.append(
            Grid(
                ("judge of", "position bias", "difference in probability", ""),
                kept,
                "Contexts stand in random order, so these should be 0.",
            )
        )
    if lines := tuple(spared_request_facts(found)):
        blocks.append(Facts(lines))
    lead = (
        "A judge’s errors stand between an explanation and its score; where they are known,"
        " corrected metrics take them out."
    )
    return Section("The judges", lead, tuple(blocks), brief=True) if blocks else None


def error_rate_rows(found: RunData) -> Iterator[tuple[Cell, ...]]:
    """One line a judge that was asked about calibration items."""
    for stage in found.run.stages("judge"):
        part = found.run.part(stage, 0)
        if part.is_done:
            note = part.note()
            yield (
                stage.partition(".")[2],
                *(Estimate(*note[name]) for name in ("sensitivity", "false_positive_rate")),
            )


def packing_rows(found: RunData) -> Iterator[tuple[Cell, ...]]:
    """How each judge did with more or fewer contexts in a request, and in each form of the
    question.
    """
    for row in read_rows(
        [found.run.place(stage) for stage in found.run.stages("packing")], "packings"
    ):
        balanced, auroc = (
            Estimate(*(row[f"{name}{end}"] for end in ("", "_low", "_high")))
            for name in ("balanced", "auroc")
        )
        yield (
            row["method"],
            str(Packing(row["contexts"], QuestionForm(row["form"]))),
            balanced,
            auroc if math.isfinite(auroc.value) else "–",
            f"{row['yes']:,} of {row['n']:,}",
            f"{row['failed']:,}",
            f"{row['requests']:,}",
            f"{row['prompt_tokens']:,}",
            "used" if row["chosen"] else "",
        )


def yes_share_rows(found: RunData) -> Iterator[tuple[Cell, ...]]:
    """How often each judge said yes, in all, to either side with a feature's own explanation, and
    with another's.
    """
    for stage in found.run.stages("score"):
        if tally := stage_answer_tally(found.run, stage):
            every = tallied_answers(tally)
            parts = (
                every,
                tallied_answers(tally, truth=True, own=True),
                tallied_answers(tally, truth=False, own=True),
                tallied_answers(tally, own=False),
            )
            shares = (
                f"{100 * part.yes_share:.0f} %" if part.yes + part.no else "–" for part in parts
            )
            yield stage.partition(".")[2], f"{every.items:,}", *shares, f"{every.failed:,}"


def position_bias_rows(found: RunData) -> Iterator[tuple[Cell, ...]]:
    """What a judge’s answers depend on besides the contexts, one line a position bias."""
    for stage in found.run.stages("score"):
        for name, bias in judge_position_biases(found.run, stage).items():
            if math.isfinite(bias.value):
                yield (
                    stage.partition(".")[2],
                    name.replace("_", " "),
                    bias,
                    "suspected" if is_noticeable(bias) else "",
                )


def spared_request_facts(found: RunData) -> Iterator[tuple[str, str]]:
    """What stopping early has saved."""
    for stage in found.run.stages("score"):
        notes = found.run.notes(stage)
        asked, saved = (sum(note.get(name, 0) for note in notes) for name in ("requests", "spared"))
        if saved:
            share = 100 * saved / (asked + saved)
            yield (
                stage,
                (
                    f"{asked:,} requests asked, {saved:,} ({share:.0f} %) spared because the"
                    " precision was reached"
                ),
            )
