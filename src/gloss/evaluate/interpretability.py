"""How well explanations of a dictionary's features predict them, as a finished run found: its
scores, of which nothing is made here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.evaluate.measure import Aims, RunScores, ScoredBy
from gloss.records import Control, Estimate, Evaluation, EvaluationRow, Needs
from gloss.statistics.intervals import bootstrap, wilson_interval


@dataclass(frozen=True)
class Interpretability:
    """The scores of a run's explanations, on the sample of features that it treated: of each scorer
    and explainer the median over features, also with 0 for those that have no score, and the median
    under each control, as of other features' explanations, which is what chance gives.

    Every number is the headline of its scorer, such as the F1 of `execution` on held-out text.
    """

    needs: ClassVar[Needs] = Needs(scores=True)
    aims: ClassVar[Aims] = Aims(more=("explained", "median_(?!.*_by_).*"))

    def measure_scores(self, scores: RunScores, rng: np.random.Generator) -> Evaluation:
        """Rows for each scorer and explainer."""
        rows = [
            row for of, found in scores.by.items() for row in self._rows(of, found, scores, rng)
        ]
        return Evaluation("interpretability", tuple(rows))

    def _rows(
        self, of: str, found: ScoredBy, scores: RunScores, rng: np.random.Generator
    ) -> Iterator[EvaluationRow]:
        own, most = found.values.get(Control.NONE, np.zeros(0)), scores.examined
        explained = wilson_interval(min(len(own), most), most)
        yield EvaluationRow("explained", explained, most, "features", of)
        if not len(own):
            return
        lacking = np.zeros(max(0, most - len(own)))
        for name, values in (
            (f"median_{found.headline}", own),
            (f"median_{found.headline}_of_all", np.concatenate([own, lacking])),
            *((f"median_{found.headline}_by_{control}", each)
              for control, each in found.values.items() if control != Control.NONE),
        ):  # fmt: skip
            note = "0 for those that lack one" if name.endswith("_of_all") else ""
            yield EvaluationRow(name, median(values, rng), len(values), "features", of, note)


def median(values: Float64[ndarray, " feature"], rng: np.random.Generator) -> Estimate:
    """With the bootstrap's interval over features; missing for fewer than two."""
    return bootstrap(lambda x: np.median(x, axis=-1), values, rng=rng)
