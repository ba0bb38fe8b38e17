"""What the index knows of each feature: one short row, small enough to keep thousands in memory."""

import math
from dataclasses import dataclass, field

import numpy as np

from gloss.browse.features import controls_of
from gloss.browse.heatmap import visible
from gloss.browse.model import FeaturePage, State
from gloss.browse.words import REASONS, bounded, metric
from gloss.records import NOBODY, Control, FeatureId
from gloss.store.vocabulary import Vocabulary
from gloss.store.whole import pieces_of

PEEK = 5  # tokens on either side of the peak


@dataclass(frozen=True, slots=True, order=True)
class Column:
    """A score that the index can show: one scorer on one explainer's words."""

    explained_by: str
    method: str
    headline: str

    @property
    def label(self) -> str:
        return f"{metric(self.headline)} · {self.method} of {self.explained_by}"

    @property
    def bounded(self) -> bool:
        """Whether a scale that ends at 1 can hold it."""
        return bounded(self.headline)


@dataclass(frozen=True, slots=True)
class Entry:
    """One feature in the index."""

    feature: FeatureId
    path: str  # from the index
    texts: dict[str, str]  # by explainer
    rules: dict[str, str]
    peek: tuple[str, str, str]  # the strongest context around its peak: before, peak, after
    state: State
    reason: str
    share: float
    strongest: float
    scores: dict[Column, tuple[float, float, float]]  # value, low, high
    controls: dict[Column, dict[Control, float]]
    neighbours: tuple[tuple[FeatureId, float], ...]
    collisions: tuple[FeatureId, ...]

    @property
    def text(self) -> str:
        """The first explanation, or why there is none."""
        return next(iter(self.texts.values()), self.reason)


@dataclass
class Entries:
    """The rows so far, and what they sum up to."""

    rows: list[Entry] = field(default_factory=list[Entry])

    @property
    def columns(self) -> list[Column]:
        """Every score there is, the most frequent first."""
        seen: dict[Column, int] = {}
        for row in self.rows:
            for column in row.scores:
                seen[column] = seen.get(column, 0) + 1
        return sorted(seen, key=lambda column: -seen[column])

    def values(self, column: Column, control: Control = Control.NONE) -> list[float]:
        """A score of all features that have it as a number."""
        if control is Control.NONE:
            found = [row.scores[column][0] for row in self.rows if column in row.scores]
        else:
            found = [row.controls[column][control] for row in self.rows if control in row.controls.get(column, {})]
        return [value for value in found if math.isfinite(value)]

    def padded(self, column: Column) -> list[float]:
        """A score of all features that fire, 0 for each that was not explained or not scored."""
        values = self.values(column)
        fire = sum(row.state is not State.SILENT for row in self.rows)
        return values if column.explained_by == NOBODY else values + [0.0] * (fire - len(values))

    def count(self, state: State) -> int:
        """How many features are in that state."""
        return sum(row.state is state for row in self.rows)


def entry(page: FeaturePage, path: str, vocabulary: Vocabulary) -> Entry:
    """The row of one page."""
    scores: dict[Column, tuple[float, float, float]] = {}
    controls: dict[Column, dict[Control, float]] = {}
    for score in page.scores:
        if score.control is Control.NONE:
            column = Column(score.explained_by, score.method, score.headline)
            estimate = score.estimates[score.headline]
            scores[column] = estimate.value, estimate.low, estimate.high
            controls[column] = {c.control: c.estimates[c.headline].value for c in controls_of(page, score)}
    return Entry(
        feature=page.feature,
        path=path,
        texts={explanation.method: explanation.text for explanation in page.explanations},
        rules={explanation.method: explanation.rule for explanation in page.explanations if explanation.rule},
        peek=_peek(page, vocabulary),
        state=page.state,
        reason=_reason(page),
        share=page.statistics.share,
        strongest=page.statistics.strongest,
        scores=scores,
        controls=controls,
        neighbours=page.neighbours,
        collisions=page.collisions,
    )


def _reason(page: FeaturePage) -> str:
    if page.state is State.SILENT:
        return "It never fired on this corpus."
    if page.failures:
        return REASONS[page.failures[0].reason]
    return "" if page.explanations else "Nobody has been asked to explain it."


def _peek(page: FeaturePage, vocabulary: Vocabulary) -> tuple[str, str, str]:
    if page.examples is None or not len(page.examples.shown):
        return "", "", ""
    shown = page.examples.shown
    row, peak = np.unravel_index(int(np.abs(shown.activations).argmax()), shown.activations.shape)
    pieces = pieces_of(shown, int(row), vocabulary)
    parts = [pieces[max(peak - PEEK, 0) : peak], pieces[peak : peak + 1], pieces[peak + 1 : peak + 1 + PEEK]]
    before, at, after = (visible("".join(part)) for part in parts)
    return before, at, after
