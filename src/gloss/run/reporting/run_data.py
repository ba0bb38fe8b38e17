"""A run's records as its report reads them, each table read once."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from numpy import ndarray

from gloss.pages.page_folder import feature_page_path
from gloss.pages.report_sections import Link
from gloss.records import NOBODY, Control, Estimate, Reason
from gloss.run.dependencies import (
    dictionary_hash,
    named_dictionary_folder,
    scored_explainers,
)
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import RANDOM, method_label, stage_name
from gloss.run.judge_doubts import doubted_scores
from gloss.run.keys import result_key
from gloss.run.opened_run import OpenedRun
from gloss.run.reporting.score_rows import ScoreRows, equals_text
from gloss.statistics.intervals import bootstrap
from gloss.store.results import Row, read_pieces, read_rows

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
    def scores(self) -> Mapping[Scored, ScoreRows]:
        """Every score with its controls, by scorer and explainer."""
        groups: dict[Scored, list[pa.Table]] = defaultdict(list)
        names = ["method", "explained_by"]
        for piece in read_pieces(map(self.run.place, self.run.stages("score")), "scores"):
            for one in (
                piece.group_by(names, use_threads=False).aggregate([]).select(names).to_pylist()
            ):
                scored = one["method"], one["explained_by"]
                own = [
                    equals_text(piece[name], text) for name, text in zip(names, scored, strict=True)
                ]
                groups[scored].append(piece.filter(pa.array(own[0] & own[1])))
        return {
            scored: ScoreRows(pa.concat_tables(pieces, promote_options="permissive"))
            for scored, pieces in sorted(groups.items())
        }

    @cached_property
    def scored(self) -> list[Scored]:
        """Every scorer with each explainer that it was given, of which it may have scored nothing
        because nothing was explained; whatever is not finished only as far as it has scores.
        """
        asked = self.run.experiment
        given = {
            (label, by)
            for table in asked.score
            if self.has_scored(label := method_label(table))
            for by in scored_explainers(asked, table)
        }
        return sorted(given | self.scores.keys())

    def has_scored(self, scorer: str) -> bool:
        """Whether this scorer has come to its end."""
        asked = self.run.experiment.score
        table = next((each for each in asked if method_label(each) == scorer), None)
        stage = stage_name("score", table) if table else f"score.{scorer}"
        return stage in self.run.keys and self.run.is_finished(stage)

    @cached_property
    def failures(self) -> list[Row]:
        return read_rows([self.run.place(stage) for stage in self.run.keys], "failures")

    @cached_property
    def explanations(self) -> dict[tuple[str, int], Row]:
        """What each explainer says of each feature."""
        return {
            (row["method"], row["feature"]): row for row in self.run.rows("explain", "explanations")
        }

    @cached_property
    def texts(self) -> dict[tuple[str, int], str]:
        """The same, in words."""
        return {key: row["text"] for key, row in self.explanations.items()}

    @cached_property
    def doubted(self) -> set[str]:
        """The scores whose judge is seen to measure nothing, or little."""
        return doubted_scores(self.run)

    @cached_property
    def examined_features(self) -> list[int]:
        """Features with contexts enough to be explained."""
        seldom = {
            row["feature"]
            for row in self.failures
            if row["stage"] == "sample" and row["reason"] != Reason.ERROR
        }
        return [each.index for each in self.run.features if each.index not in seldom]

    @property
    def examined(self) -> int:
        """How many features have contexts enough to be explained."""
        return len(self.examined_features)

    @cached_property
    def dictionary_identity(self) -> str:
        """Equal where two runs treat the same features: by the dictionary that a run trained, or by
        the files and the model of one that was given.
        """
        asked, subject = self.run.experiment, self.run.experiment.subject
        if "dictionary" not in asked.decompose or subject.weights == RANDOM:
            return self.run.keys["decompose"]
        given = dict(asked.decompose)
        files = dictionary_hash(named_dictionary_folder(given.pop("dictionary")))
        given.pop("name", None)
        other = [subject.other] if subject.other else []
        return result_key(files, given, subject.model, subject.revision, subject.adapter, *other)

    def explainers(self, scorer: str) -> list[str]:
        """Whose explanations a scorer was given."""
        return [by for each, by in self.scored if each == scorer and by != NOBODY]

    def median(self, values: Values) -> Estimate:
        """The median over features with its interval over features."""
        return bootstrap(lambda x: np.median(x, axis=-1), values, rng=self.run.generator("report"))

    def mean(self, values: Values) -> Estimate:
        """The mean over features with its interval over features."""
        return bootstrap(lambda x: np.mean(x, axis=-1), values, rng=self.run.generator("report"))

    def link(self, feature: int) -> Link:
        """The feature's number, and its page if the run has pages."""
        path = feature_page_path(self.run.folder / "page", self.run.dictionary_name, feature)
        return Link(str(feature), path and f"page/{path}")


def most_common_headline(*several: ScoreRows) -> str:
    """The metric that most of these scores show first."""
    counts = Counter[str]()
    for rows in several:
        counts.update(rows.headlines)
    return max(counts, key=counts.__getitem__)


def own_values(rows: ScoreRows, metric: str) -> dict[int, float]:
    """A metric of each feature's own explanation, by feature, as far as it is a number."""
    values, other = rows.numbers("value").copy(), ~rows.equal("headline", metric)
    values[other] = np.nan
    held, numbers = (each[::-1] for each in rows.metric(metric))  # the first of a row stays
    values[held[other[held]]] = numbers[other[held]]
    own = rows.under(Control.NONE)
    found = dict(zip(rows.features[own].tolist(), values[own].tolist(), strict=True))
    return {feature: value for feature, value in found.items() if math.isfinite(value)}


def headline_values(rows: ScoreRows, control: Control) -> Values:
    """The headline numbers under one control.

    A score that could not be made counts as 0, as a failed one would.
    """
    return np.nan_to_num(rows.numbers("value")[rows.under(control)])


def metric_values(rows: ScoreRows, name: str, control: Control) -> Values:
    """One metric's numbers under one control, as far as there are any."""
    held, values = rows.metric(name)
    values = values[rows.under(control)[held]]
    return values[np.isfinite(values)]
