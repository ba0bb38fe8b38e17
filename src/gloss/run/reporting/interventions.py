"""What interventions did: how far each target was reached, and how far tokens move beside a random
direction.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from gloss.pages.report_sections import Cell, Grid, Section
from gloss.records import Control, Split
from gloss.run.reporting.run_data import RunData
from gloss.store.results import Row, read_rows


def interventions_section(found: RunData) -> Section | None:
    """By target: features that reached it, what it took, and the rise of the tokens that other
    prompts chose.
    """
    if "intervene" not in found.run.keys:
        return None
    targets: dict[float, list[Row]] = defaultdict(list)
    for row in read_rows([found.run.place("intervene")], "effects"):
        if row["target"] is not None and row["split"] != Split.TRAIN:
            targets[row["target"]].append(row)
    columns = (
        "target, nats",
        "features",
        "reached, nats",
        "passes",
        "rise of its tokens, nats",
        "along a random direction",
    )
    rows = tuple(intervention_row(found, target, rows) for target, rows in sorted(targets.items()))
    lead = (
        "Each feature is changed as strongly as moves the next token’s distribution by the target,"
        " so that effects can be compared; the tokens that rise were chosen on some prompts and"
        " measured on others. Medians over features."
    )
    return Section("Interventions", lead, (Grid(columns, rows),), brief=True) if rows else None


def intervention_row(found: RunData, target: float, rows: list[Row]) -> tuple[Cell, ...]:
    own = [row for row in rows if row["control"] == Control.NONE]
    random = [row for row in rows if row["control"] == Control.RANDOM_DIRECTION]
    passes = [row["passes"] for row in own if row["passes"] is not None]
    reached = np.array([row["kl"]["value"] for row in own])
    return (
        f"{target:g}",
        f"{len(own):,}",
        found.median(reached),
        f"{np.median(passes):.0f}" if passes else "–",
        *(
            found.median(np.array(list(mean_token_rises(some)))) if some else "–"
            for some in (own, random)
        ),
    )


def mean_token_rises(rows: list[Row]) -> Iterator[float]:
    """The mean rise of each feature's risen tokens."""
    for row in rows:
        if row["risen"]:
            yield float(np.mean([shift["change"]["value"] for shift in row["risen"]]))
