"""What is known of the judges: their errors on contexts of known truth, their habits, and the requests that were spared."""

import math
from collections.abc import Iterator

from gloss.browse.sections import Block, Cell, Facts, Grid, Section
from gloss.records import Estimate
from gloss.run.habits import habits_of
from gloss.run.reporting.material import Material
from gloss.score.habits import noticed


def judges(found: Material) -> Section | None:
    """Sensitivity and false positive rate of each scorer's judge, where anchors were asked; requests, where some were spared."""
    blocks: list[Block] = []
    columns = ("judge of", "sensitivity", "false positive rate")
    if rows := tuple(rates(found)):
        blocks.append(Grid(columns, rows, "On contexts that a rule covers and on others, asked by the scorer’s own prompt."))
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
