"""How much better chosen explanations look where they were chosen than on held-out text."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from gloss.pages import page_text
from gloss.pages.report_sections import Cell, Grid, Section
from gloss.records import Control
from gloss.run.reporting.run_data import RunData, Values
from gloss.run.reporting.score_rows import NO_SCORES
from gloss.store.results import Row, read_rows

VALUES = ("feature", "control", "headline", "value")
COLUMNS = ["feature", "method", "scorer", "headline", "value", "chosen"]


def optimism_section(found: RunData) -> Section | None:
    """For each explainer that chooses: what its choice scored on the validation split, and what it
    scores on held-out text.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(found.run.places("explain"), "candidates", COLUMNS):
        groups[row["method"]].append(row)
    columns = (
        "explanations",
        "features",
        "on the validation split",
        "on held-out text",
        "optimism",
    )
    rows = tuple(
        row
        for method, candidates in sorted(groups.items())
        for row in optimism_rows(found, method, candidates)
    )
    lead = (
        "Explanations that were chosen among several look better on the documents that chose them:"
        " this is the optimism, the first score less the second, in means over the features that"
        " have both. Only the held-out score counts."
    )
    return (
        Section("Chosen explanations", lead, (Grid(columns, rows, ""),), brief=True)
        if rows
        else None
    )


def optimism_rows(
    found: RunData, method: str, candidates: Sequence[Row]
) -> Iterator[tuple[Cell, ...]]:
    """One explainer's choice, and beside it the mean of all its candidates."""
    scored = [row for row in candidates if row["value"] is not None and np.isfinite(row["value"])]
    if not scored:
        return
    scorer, metric = scored[0]["scorer"], scored[0]["headline"]
    chosen = {row["feature"]: row["value"] for row in scored if row["chosen"]}
    held_out = {
        row["feature"]: row["value"]
        for row in found.scores.get((scorer, method), NO_SCORES).rows(*VALUES)
        if row["control"] == Control.NONE
        and row["headline"] == metric
        and np.isfinite(row["value"])
    }
    both = sorted(chosen.keys() & held_out.keys())
    name = f"{page_text.metric_label(metric)} by {scorer}, {method}"
    if both:
        here, there = (
            np.array([values[feature] for feature in both]) for values in (chosen, held_out)
        )
        yield (
            f"{name}: chosen",
            str(len(both)),
            found.mean(here),
            found.mean(there),
            found.mean(here - there),
        )
    else:
        values = np.array(list(chosen.values()))
        yield (
            f"{name}: chosen",
            str(len(chosen)),
            found.mean(values),
            f"not scored by {scorer}",
            "unknown",
        )
    means = mean_candidate_scores(scored)
    yield f"{name}: all candidates", str(len(means)), found.mean(means), "", ""


def mean_candidate_scores(candidates: Sequence[Row]) -> Values:
    """Each feature's mean over its candidates."""
    values: dict[int, list[float]] = defaultdict(list)
    for row in candidates:
        values[row["feature"]].append(row["value"])
    return np.array([np.mean(each) for each in values.values()])
