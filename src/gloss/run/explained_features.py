"""What an explainer said of all features, held as columns: a record is made where one is asked."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from numpy import ndarray

from gloss.records import Explanation
from gloss.run.opened_run import OpenedRun
from gloss.store.record_rows import explanation_from_row
from gloss.store.results import read_columns


@dataclass(frozen=True)
class ExplainedFeatures:
    """The explanations of one step, one a feature, in the order in which they were written; `len`
    is their number.

    Example::

        found = ExplainedFeatures.read(run, "explain.rule")
        place = found.place(17)  # of feature 17, None where it has no explanation
        explanation = found[place]
    """

    rows: pa.Table
    features: Int64[ndarray, " explanation"]

    @classmethod
    def read(cls, run: OpenedRun, step: str) -> "ExplainedFeatures":
        """What a step of the stage `explain` has made so far. Raises Damaged."""
        rows = read_columns([run.place(step)], "explanations").combine_chunks()
        features = rows["feature"].to_numpy()
        if len(np.unique(features)) < len(features):  # the last that was said of each counts
            last = {feature: place for place, feature in enumerate(features.tolist())}
            rows = rows.take([*last.values()])
            features = np.array([*last], np.int64)
        return cls(rows, features)

    @cached_property
    def order(self) -> Int64[ndarray, " explanation"]:
        """Places by the index of their feature."""
        return np.argsort(self.features, kind="stable")

    def place(self, feature: int) -> int | None:
        """Where the explanation of a feature stands; None where it has none."""
        at = int(np.searchsorted(self.features, feature, sorter=self.order))
        place = int(self.order[at]) if at < len(self.order) else -1
        return place if place >= 0 and self.features[place] == feature else None

    def __getitem__(self, place: int) -> Explanation:
        return explanation_from_row(self.rows.slice(place, 1).to_pylist()[0])

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def texts(self) -> pa.Array:
        """What is said, each text once, in the order in which they come first."""
        return self.rows["text"].unique()
