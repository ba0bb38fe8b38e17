"""Which explanations are to be believed: how many of each verdict, and every one with why."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from gloss.pages.report_sections import Cell, Grid, Section
from gloss.records import Estimate
from gloss.run.reporting.run_data import RunData
from gloss.score.label_audit import Trust
from gloss.statistics.intervals import wilson_interval
from gloss.store.results import Row

LISTED = 200  # labels in the report; all are in the table


def label_verdicts_section(found: RunData) -> Section | None:
    """The verdicts of a run's audit; None where there was none."""
    rows = found.run.rows("audit", "label_verdicts")
    if not rows:
        return None
    by_explainer: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_explainer[row["explained_by"]].append(row)
    counts = tuple(
        line for name, own in sorted(by_explainer.items()) for line in verdict_counts(name, own)
    )
    note = f"The first {LISTED:,} of {len(rows):,}." if len(rows) > LISTED else ""
    lead = (
        "A label is believed where the lower bounds of its precision and recall, at the true base"
        " rate, lie above the line and it does better than other features’ labels; what the bounds"
        " leave open cannot be told."
    )
    columns = ("feature", "explanation", "verdict", "precision", "recall", "why")
    return Section(
        "Which labels to believe",
        lead,
        (
            Grid(("explained by", "verdict", "labels", "share"), counts),
            Grid(columns, tuple(verdict_lines(found, rows[:LISTED])), note),
        ),
    )


def verdict_counts(name: str, rows: Sequence[Row]) -> Iterator[tuple[Cell, ...]]:
    """How many labels got each verdict, and how many are flagged."""
    counted = Counter(row["verdict"] for row in rows)
    for trust in Trust:
        number = counted[trust]
        yield name, str(trust), f"{number:,} of {len(rows):,}", wilson_interval(number, len(rows))
        near = sum(row["near"] for row in rows)
        if trust is Trust.CANNOT_BE_TOLD and near:
            words = f"{near:,} of {number:,}"
            yield name, "of these about the right thing", words, wilson_interval(near, number)
    flagged = sum(bool(row["flags"]) for row in rows)
    share = wilson_interval(flagged, len(rows))
    yield name, "name or quote what no text holds", f"{flagged:,} of {len(rows):,}", share


def verdict_lines(found: RunData, rows: Sequence[Row]) -> Iterator[tuple[Cell, ...]]:
    """A line a label."""
    for row in rows:
        precision, recall = (Estimate(**row[name]) for name in ("precision", "recall"))
        why = "; ".join([row["reason"], *row["flags"]])
        link = found.link(row["feature"])
        yield link, row["text"], row["verdict"], precision, recall, why
