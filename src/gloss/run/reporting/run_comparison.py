"""Several runs beside each other: dictionaries are compared over seeds, or not at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from gloss.errors import BadSettings, Mismatch
from gloss.pages import page_text
from gloss.pages.report_sections import Cell, Grid, Section
from gloss.records import NOBODY, Control
from gloss.run.experiment import SettingsTable
from gloss.run.planning import read_run
from gloss.run.reporting.run_data import RunData, Scored, headline_values
from gloss.statistics.intervals import student_interval, welch_interval
from gloss.store.results import Row

# seeds of each dictionary: the fewest that have a spread; the interval of so few is wide, as it
# must be
FEWEST = 2
# Tables that runs must share to be compared.
COMPARABLE_TABLES = (
    "collect",
    "neighbours",
    "embeddings",
    "sample",
    "contexts",
    "intervene",
    "explain",
    "score",
    "chat",
)


@dataclass(frozen=True)
class SeedGroup:
    """Runs of one dictionary, or of one way to train it, that differ by their seeds."""

    name: str
    runs: tuple[RunData, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(data.run.experiment.run.seed for data in self.runs)


def compare_runs(folders: Sequence[Path]) -> Section:
    """Mean over seeds of each dictionary's medians, and the differences between dictionaries, with
    intervals over seeds.

    Raises Mismatch where the runs differ in more than that, BadSettings where a dictionary has
    fewer than FEWEST seeds.
    """
    runs = [RunData(read_run(folder)) for folder in folders]
    require_comparable(runs)
    groups = group_by_dictionary(runs)
    require_seeds(groups)
    shared = sorted(set.intersection(*(set(data.scores) for data in runs)))
    if not shared:
        raise Mismatch(
            "the runs have no score in common; run the same [[explain]] and [[score]] methods in"
            " each to its end"
        )
    lead = (
        "A run’s number is the median over its features, with a feature without an explanation as"
        " 0. The intervals are over seeds, by Student’s distribution; those of differences by"
        " Welch’s."
    )
    return Section(
        "Dictionaries over seeds",
        lead,
        tuple(comparison_grid(groups, scored) for scored in shared),
        brief=True,
    )


def require_comparable(runs: Sequence[RunData]) -> None:
    first = runs[0].run.experiment.tables()
    for data in runs[1:]:
        other = data.run.experiment.tables()
        if differing := [
            f"[{name}]" for name in COMPARABLE_TABLES if first.get(name) != other.get(name)
        ]:
            raise Mismatch(
                f"{runs[0].run.folder} and {data.run.folder} differ in {' and '.join(differing)};"
                " compare dictionaries between runs that are otherwise alike"
            )


def group_by_dictionary(runs: Sequence[RunData]) -> list[SeedGroup]:
    """The runs by subject and dictionary, in the order of their first."""
    found: dict[str, list[RunData]] = {}
    for data in runs:
        asked = data.run.experiment
        model = (
            ""
            if all(other.run.experiment.subject == asked.subject for other in runs)
            else f" of {asked.subject.model}"
        )
        found.setdefault(dictionary_label(asked.decompose) + model, []).append(data)
    return [SeedGroup(name, tuple(members)) for name, members in found.items()]


def dictionary_label(decompose: SettingsTable) -> str:
    """A dictionary by what makes it another one."""
    settings = {name: value for name, value in decompose.items() if name != "name"}
    first = settings.pop("dictionary", None) or settings.pop("method")
    others = ", ".join(f"{name} = {value}" for name, value in sorted(settings.items()))
    return f"{first} ({others})" if others else str(first)


def require_seeds(groups: Sequence[SeedGroup]) -> None:
    for group in groups:
        if len(set(group.seeds)) < len(group.seeds):
            raise BadSettings(
                f"two runs of {group.name} have the same seed; give each another `seed` in [run],"
                " so that their spread is seen"
            )
        if len(group.seeds) < FEWEST:
            raise BadSettings(
                f"{group.name} has one run, with seed {group.seeds[0]}, and no comparison is"
                " printed without an interval over seeds; run its experiment again with another"
                f" `seed` and `folder` in [run], so that there are {FEWEST} at least"
            )


def comparison_grid(groups: Sequence[SeedGroup], scored: Scored) -> Grid:
    """One score: each dictionary, then each difference."""
    medians = {
        group.name: np.array([median_or_0(data, scored) for data in group.runs]) for group in groups
    }
    rows: list[tuple[Cell, ...]] = [
        (group.name, ", ".join(map(str, group.seeds)), student_interval(medians[group.name]))
        for group in groups
    ]
    for one, other in combinations(groups, 2):
        difference = welch_interval(medians[one.name], medians[other.name])
        verdict = "" if difference.low * difference.high > 0 else "; no difference is shown"
        rows.append((f"{one.name} − {other.name}{verdict}", "", difference))
    method, explained_by = scored
    of = "" if explained_by == NOBODY else f" of {explained_by}"
    return Grid(
        (
            f"{page_text.metric_label(headline_metric(groups, scored))} by {method}{of}",
            "seeds",
            "mean over seeds",
        ),
        tuple(rows),
    )


def headline_metric(groups: Sequence[SeedGroup], scored: Scored) -> str:
    row: Row = groups[0].runs[0].scores[scored][0]
    return row["headline"]


def median_or_0(data: RunData, scored: Scored) -> float:
    own = headline_values(data.scores[scored], Control.NONE)
    missing = max(0, data.examined - len(own)) if scored[1] != NOBODY else 0
    values = np.concatenate([own, np.zeros(missing)])
    return float(np.median(values)) if len(values) else math.nan
