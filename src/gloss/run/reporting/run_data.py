"""A run's records as its report reads them, each table read once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.pages.page_folder import feature_page_path
from gloss.pages.report_sections import Link
from gloss.records import Control, Estimate, Reason
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.opened_run import OpenedRun
from gloss.statistics.intervals import bootstrap
from gloss.store.results import Row, read_rows

Values = Float64[ndarray, " feature"]
Scored = tuple[str, str]  # the scorer's and the explainer's names in the run


@dataclass(frozen=True)
class RunData:
    """What a finished run has left."""

    run: OpenedRun
    beside: "RunData | None" = None  # the run that this one is a control of

    @cached_property
    def guard(self) -> FeatureGuard:
        """Treats features one by one, here and in controls: what goes wrong leaves one out, and is
        told.
        """
        return (
            self.beside.guard
            if self.beside
            else FeatureGuard(self.run, "report", 0, size=len(self.run.features))
        )

    @cached_property
    def scores(self) -> dict[Scored, list[Row]]:
        """Every score with its controls, by scorer and explainer."""
        groups: dict[Scored, list[Row]] = defaultdict(list)
        for row in self.run.rows("score", "scores"):
            groups[row["method"], row["explained_by"]].append(row)
        return dict(sorted(groups.items()))

    @cached_property
    def failures(self) -> list[Row]:
        return read_rows([self.run.place(stage) for stage in self.run.keys], "failures")

    @cached_property
    def texts(self) -> dict[tuple[str, int], str]:
        """What each explainer says of each feature."""
        return {
            (row["method"], row["feature"]): row["text"]
            for row in self.run.rows("explain", "explanations")
        }

    @cached_property
    def examined(self) -> int:
        """Features with contexts enough to be explained."""
        seldom = (
            row["stage"] == "sample" and row["reason"] != Reason.ERROR for row in self.failures
        )
        return len(self.run.features) - sum(seldom)

    def notes(self, stage: str) -> list[dict[str, Any]]:
        """What the markers of a stage's finished shards say."""
        parts = [self.run.part(stage, shard) for shard in range(self.run.shards)]
        return [part.note() for part in parts if part.is_done]

    def median(self, values: Values) -> Estimate:
        """The median over features with its interval over features."""
        return bootstrap(lambda x: np.median(x, axis=-1), values, rng=self.run.generator("report"))

    def mean(self, values: Values) -> Estimate:
        """The mean over features with its interval over features."""
        return bootstrap(lambda x: np.mean(x, axis=-1), values, rng=self.run.generator("report"))

    def link(self, feature: int) -> Link:
        """The feature's number, and its page if the run has pages."""
        name = self.run.dictionary_name
        path = f"page/{feature_page_path(name, feature)}"
        return Link(str(feature), path if (self.run.folder / path).is_file() else "")


def headline_values(rows: Sequence[Row], control: Control) -> Values:
    """The headline numbers under one control.

    A score that could not be made counts as 0, as a failed one would.
    """
    return np.nan_to_num(
        np.array([row["value"] for row in rows if row["control"] == control], dtype=float)
    )


def metric_values(rows: Sequence[Row], name: str, control: Control) -> Values:
    """One metric's numbers under one control, as far as there are any."""
    found = [
        e["value"]
        for row in rows
        if row["control"] == control
        for e in row["estimates"]
        if e["metric"] == name
    ]
    values = np.array(found, dtype=float)
    return values[np.isfinite(values)]
