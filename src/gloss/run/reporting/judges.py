"""What is known of the judges: their errors on contexts of known truth, their habits, and the requests that were spared."""

import math
from collections.abc import Iterator

from gloss.browse.sections import Block, Cell, Facts, Grid, Section
from gloss.records import Estimate
from gloss.run.doubts import tally_of
from gloss.run.habits import habits_of
from gloss.run.reporting.material import Material
from gloss.score.asking import Form
from gloss.score.doubts import answers
from gloss.score.habits import noticed
from gloss.score.packing import Packing
from gloss.store.results import read


def judges(found: Material) -> Section | None:
    """Sensitivity and false positive rate of each scorer's judge, where anchors were asked; requests, where some were spared."""
    blocks: list[Block] = []
    columns = ("judge of", "sensitivity", "false positive rate")
    if tried := tuple(packings(found)):
        headings = ("judge of", "packing", "balanced accuracy", "AUROC", "yes", "no answer", "requests", "prompt tokens", "")
        note = (
            "On the same contexts of known truth: the largest packing that is not worse than single questions beyond its error."
        )
        blocks.append(Grid(headings, tried, note))
    if rows := tuple(rates(found)):
        blocks.append(Grid(columns, rows, "On contexts that a rule covers and on others, asked by the scorer’s own prompt."))
    if shares := tuple(yes(found)):
        columns = ("judge of", "contexts asked", "yes", "of firing ones", "of silent ones", "under controls", "no answer")
        blocks.append(Grid(columns, shares, "What the judge said of the run’s own contexts."))
    if kept := tuple(habits(found)):
        blocks.append(
            Grid(
                ("judge of", "habit", "difference in probability", ""),
                kept,
                "Contexts stand in random order, so these should be 0.",
            )
        )
    if lines := tuple(spared(found)):
        blocks.append(Facts(lines))
    lead = "A judge’s errors stand between an explanation and its score; where they are known, corrected metrics take them out."
    return Section("The judges", lead, tuple(blocks), brief=True) if blocks else None


def rates(found: Material) -> Iterator[tuple[Cell, ...]]:
    """One line a judge that was asked about anchors."""
    for stage in found.plan.stages("judge"):
        part = found.plan.part(stage, 0)
        if part.is_done:
            note = found.note(part)
            yield stage.partition(".")[2], *(Estimate(*note[name]) for name in ("sensitivity", "false_positive_rate"))


def packings(found: Material) -> Iterator[tuple[Cell, ...]]:
    """How each judge did with more or fewer contexts in a request, and in each form of the question."""
    for row in read([found.plan.place(stage) for stage in found.plan.stages("packing")], "packings"):
        balanced, auroc = (Estimate(*(row[f"{name}{end}"] for end in ("", "_low", "_high"))) for name in ("balanced", "auroc"))
        yield (
            row["method"],
            str(Packing(row["contexts"], Form(row["form"]))),
            balanced,
            auroc if math.isfinite(auroc.value) else "–",
            f"{row['yes']:,} of {row['n']:,}",
            f"{row['failed']:,}",
            f"{row['requests']:,}",
            f"{row['prompt_tokens']:,}",
            "used" if row["chosen"] else "",
        )


def yes(found: Material) -> Iterator[tuple[Cell, ...]]:
    """How often each judge said yes, in all, to either side with a feature's own explanation, and with another's."""
    for stage in found.plan.stages("score"):
        if tally := tally_of(found.plan, stage):
            every = answers(tally)
            parts = (
                every,
                answers(tally, truth=True, own=True),
                answers(tally, truth=False, own=True),
                answers(tally, own=False),
            )
            shares = (f"{100 * part.share:.0f} %" if part.yes + part.no else "–" for part in parts)
            yield stage.partition(".")[2], f"{every.number:,}", *shares, f"{every.failed:,}"


def habits(found: Material) -> Iterator[tuple[Cell, ...]]:
    """What a judge’s answers depend on besides the contexts, one line a habit."""
    for stage in found.plan.stages("score"):
        for name, habit in habits_of(found.plan, stage).items():
            if math.isfinite(habit.value):
                yield stage.partition(".")[2], name.replace("_", " "), habit, "suspected" if noticed(habit) else ""


def spared(found: Material) -> Iterator[tuple[str, str]]:
    """What stopping early has saved."""
    for stage in found.plan.stages("score"):
        notes = found.notes(stage)
        asked, saved = (sum(note.get(name, 0) for note in notes) for name in ("requests", "spared"))
        if saved:
            share = 100 * saved / (asked + saved)
            yield stage, f"{asked:,} requests asked, {saved:,} ({share:.0f} %) spared because the precision was reached"
