"""What is known of the judges: their errors on contexts of known truth, and the requests that were spared."""

from collections.abc import Iterator

from gloss.browse.sections import Block, Cell, Facts, Grid, Section
from gloss.records import Estimate
from gloss.run.reporting.material import Material


def judges(found: Material) -> Section | None:
    """Sensitivity and false positive rate of each scorer's judge, where anchors were asked; requests, where some were spared."""
    blocks: list[Block] = []
    columns = ("judge of", "sensitivity", "false positive rate")
    if rows := tuple(rates(found)):
        blocks.append(Grid(columns, rows, "On contexts that a rule covers and on others, asked by the scorer’s own prompt."))
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


def spared(found: Material) -> Iterator[tuple[str, str]]:
    """What stopping early has saved."""
    for stage in found.plan.stages("score"):
        notes = found.notes(stage)
        asked, saved = (sum(note.get(name, 0) for note in notes) for name in ("requests", "spared"))
        if saved:
            share = 100 * saved / (asked + saved)
            yield stage, f"{asked:,} requests asked, {saved:,} ({share:.0f} %) spared because the precision was reached"
