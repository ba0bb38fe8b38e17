"""What the index knows of each feature: one short row, small enough to keep thousands in memory."""

import math
from dataclasses import dataclass, field

import numpy as np

from gloss.pages.feature_view import control_scores
from gloss.pages.heatmap import visible_text
from gloss.pages.page_records import FeaturePage, FeatureState
from gloss.pages.page_text import REASONS, is_bounded_metric, metric_label
from gloss.records import NOBODY, Control, FeatureId
from gloss.store.context_text import context_pieces
from gloss.store.vocabulary import Vocabulary

PEEK = 5  # tokens on either side of the peak


@dataclass(frozen=True, slots=True, order=True)
class ScoreColumn:
    """A score that the index can show: one scorer on one explainer's words."""

    explained_by: str
    method: str
    headline: str

    @property
    def label(self) -> str:
        return f"{metric_label(self.headline)} · {self.method} of {self.explained_by}"

    @property
    def bounded(self) -> bool:
        """Whether a scale that ends at 1 can hold it."""
        return is_bounded_metric(self.headline)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One feature in the index."""

    feature: FeatureId
    path: str  # from the index
    texts: dict[str, str]  # by explainer
    rules: dict[str, str]
    peek: tuple[str, str, str]  # the strongest context around its peak: before, peak, after
    state: FeatureState
    reason: str
    share: float
    strongest: float
    scores: dict[ScoreColumn, tuple[float, float, float]]  # value, low, high
    controls: dict[ScoreColumn, dict[Control, float]]
    neighbours: tuple[tuple[FeatureId, float], ...]
    collisions: tuple[FeatureId, ...]

    @property
    def text(self) -> str:
        """The first explanation, or why there is none."""
        return next(iter(self.texts.values()), self.reason)


@dataclass
class IndexEntries:
    """The rows so far, and what they sum up to."""

    rows: list[IndexEntry] = field(default_factory=list[IndexEntry])

    @property
    def columns(self) -> list[ScoreColumn]:
        """Every score there is, the most frequent first."""
        seen: dict[ScoreColumn, int] = {}
        for row in self.rows:
            for column in row.scores:
                seen[column] = seen.get(column, 0) + 1
        return sorted(seen, key=lambda column: -seen[column])

    def column_scores(self, column: ScoreColumn, control: Control = Control.NONE) -> list[float]:
        """A score of all features that have it as a number."""
        if control is Control.NONE:
            found = [row.scores[column][0] for row in self.rows if column in row.scores]
        else:
            found = [
                row.controls[column][control]
                for row in self.rows
                if control in row.controls.get(column, {})
            ]
        return [value for value in found if math.isfinite(value)]

    def padded(self, column: ScoreColumn) -> list[float]:
        """A score of all features that fire, 0 for each that was not explained or not scored."""
        values = self.column_scores(column)
        fire = sum(row.state is not FeatureState.INACTIVE for row in self.rows)
        return values if column.explained_by == NOBODY else values + [0.0] * (fire - len(values))

    def count(self, state: FeatureState) -> int:
        """How many features are in that state."""
        return sum(row.state is state for row in self.rows)


def index_entry(page: FeaturePage, path: str, vocabulary: Vocabulary) -> IndexEntry:
    """The row of one page."""
    scores: dict[ScoreColumn, tuple[float, float, float]] = {}
    controls: dict[ScoreColumn, dict[Control, float]] = {}
    for score in page.scores:
        if score.control is Control.NONE:
            column = ScoreColumn(score.explained_by, score.method, score.headline)
            estimate = score.estimates[score.headline]
            scores[column] = estimate.value, estimate.low, estimate.high
            controls[column] = {
                c.control: c.estimates[c.headline].value for c in control_scores(page, score)
            }
    return IndexEntry(
        feature=page.feature,
        path=path,
        texts={explanation.method: explanation.text for explanation in page.explanations},
        rules={
            explanation.method: explanation.rule
            for explanation in page.explanations
            if explanation.rule
        },
        peek=_peak_excerpt(page, vocabulary),
        state=page.state,
        reason=_failure_sentence(page),
        share=page.statistics.share,
        strongest=page.statistics.strongest,
        scores=scores,
        controls=controls,
        neighbours=page.neighbours,
        collisions=page.collisions,
    )


def _failure_sentence(page: FeaturePage) -> str:
    if page.state is FeatureState.INACTIVE:
        return "It never fired on this corpus."
    if page.failures:
        return REASONS[page.failures[0].reason]
    return "" if page.explanations else "Nobody has been asked to explain it."


def _peak_excerpt(page: FeaturePage, vocabulary: Vocabulary) -> tuple[str, str, str]:
    if page.examples is None or not len(page.examples.train):
        return "", "", ""
    train = page.examples.train
    row, peak = np.unravel_index(int(np.abs(train.activations).argmax()), train.activations.shape)
    pieces = context_pieces(train, int(row), vocabulary)
    parts = [
        pieces[max(peak - PEEK, 0) : peak],
        pieces[peak : peak + 1],
        pieces[peak + 1 : peak + 1 + PEEK],
    ]
    before, at, after = (visible_text("".join(part)) for part in parts)
    return before, at, after
