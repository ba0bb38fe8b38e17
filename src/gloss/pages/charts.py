"""Small charts as plain numbers: histograms, whiskers on a scale, outlines of distributions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.pages.heatmap import heat_levels
from gloss.pages.number_format import format_decimal, format_strength, format_whole
from gloss.pages.page_records import Statistics
from gloss.pages.report_sections import DistributionLine
from gloss.records import Estimate

HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 320.0, 96.0  # of a histogram, in its own units
RIDGE_WIDTH, RIDGE_HEIGHT = 320.0, 40.0  # of one outline, in its own units
RIDGE_BINS = 32


@dataclass(frozen=True, slots=True)
class HistogramBar:
    """One bar of a histogram, in the drawing's units."""

    x: float
    y: float
    width: float
    height: float
    shade: int  # as in the heat map
    tooltip: str


@dataclass(frozen=True, slots=True)
class Whisker:
    """An estimate on a scale from 0 to 1, or from -1 to 1 if `signed`.

    All in per cent of the scale's length.
    """

    value: float
    low: float
    high: float
    signed: bool = False

    @property
    def start(self) -> float:
        """Where the bar from 0 to the value begins, seen from the left."""
        return min(self.value, 50.0) if self.signed else 0.0

    @property
    def length(self) -> float:
        """How long that bar is."""
        return round(abs(self.value - 50.0), 1) if self.signed else self.value


def histogram(statistics: Statistics) -> tuple[HistogramBar, ...]:
    """How many tokens have which activation.

    Heights grow with the logarithm of the count, so that rare ones show.
    """
    counts, edges = statistics.counts, statistics.edges
    if not len(counts) or counts.max() <= 0:
        return ()
    heights = np.log1p(counts.astype(np.float64))
    heights *= HISTOGRAM_HEIGHT / heights.max()
    step = HISTOGRAM_WIDTH / len(counts)
    shades = np.abs(heat_levels(np.asarray((edges[:-1] + edges[1:]) / 2), statistics.strongest))
    return tuple(
        HistogramBar(
            x=round(i * step + 0.5, 2),
            y=round(HISTOGRAM_HEIGHT - height, 2),
            width=round(max(step - 1, 0.5), 2),
            height=round(float(height), 2),
            shade=int(max(shades[i], 1)),
            tooltip=(
                f"{format_strength(float(edges[i]))} to {format_strength(float(edges[i + 1]))}:"
                f" {format_whole(int(counts[i]))} tokens"
            ),
        )
        for i, height in enumerate(heights.tolist())
        if counts[i] > 0
    )


def falls_below_zero(estimate: Estimate) -> bool:
    """Whether the value is written with a minus, so that its bar needs a scale from -1 to 1."""
    return estimate.value <= -0.005


def whisker(estimate: Estimate, *, signed: bool = False) -> Whisker | None:
    """Where an estimate and its interval lie; nothing for one that could not be made."""
    if not math.isfinite(estimate.value):
        return None
    low = estimate.low if math.isfinite(estimate.low) else estimate.value
    high = estimate.high if math.isfinite(estimate.high) else estimate.value
    least, steps = (-1.0, 50) if signed else (0.0, 100)
    return Whisker(
        *(round(steps * (min(max(x, least), 1.0) - least), 1) for x in (estimate.value, low, high)),
        signed=signed,
    )


def distribution_outline(
    values: Sequence[float], low: float = 0.0, high: float = 1.0, bins: int = 25
) -> str:
    """The distribution of scores between two ends as the points of a filled line.

    Heights go by the share of features, in HISTOGRAM_WIDTH by HISTOGRAM_HEIGHT.
    """
    finite = [min(max(value, low), high) for value in values if math.isfinite(value)]
    if not finite:
        return ""
    counts, _ = np.histogram(finite, bins=bins, range=(low, high))
    heights = np.sqrt(counts / len(finite))
    points = [(0.0, HISTOGRAM_HEIGHT)]
    for i, height in enumerate(heights.tolist()):
        top = round(HISTOGRAM_HEIGHT * (1 - height), 1)
        points += [
            (round(i * HISTOGRAM_WIDTH / bins, 1), top),
            (round((i + 1) * HISTOGRAM_WIDTH / bins, 1), top),
        ]
    points.append((HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT))
    return " ".join(f"{x},{y}" for x, y in points)


@dataclass(frozen=True, slots=True)
class ChartScale:
    """What the left and the right end stand for."""

    low: float
    high: float

    def position(self, value: float) -> float:
        """Where a value lies, in the drawing's units; beyond an end, at the end."""
        return round(
            RIDGE_WIDTH * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 1
        )

    @property
    def marks(self) -> tuple[tuple[float, str], ...]:
        """Both ends and the quarters between, as they are written below the drawing.

        Each with its place in per cent of the length.
        """
        return tuple(
            (25.0 * i, format_decimal(self.low + (self.high - self.low) * i / 4)) for i in range(5)
        )


@dataclass(frozen=True, slots=True)
class RidgeOutline:
    """One outline, its median and the median's interval."""

    line: DistributionLine
    outline: str  # the points of a polygon
    median: float
    low: float
    high: float


def chart_scale(values: Sequence[Float64[ndarray, " _"]]) -> ChartScale:
    """From 0 to 1, wherever that is enough.

    Otherwise between round numbers that leave nobody out.
    """
    finite = (
        np.concatenate([np.asarray(part, np.float64).ravel() for part in values])
        if values
        else np.empty(0)
    )
    finite = finite[np.isfinite(finite)]
    least, most = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low = 0.0 if least >= -0.05 else -round_up(-least)
    if most > 1:
        return ChartScale(low, round_up(most))
    return ChartScale(low, 0.0 if low and most <= 0 else 1.0)


def round_up(value: float) -> float:
    """The next of a few multiples of a power of ten, of which quarters are short numbers."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def ridges(lines: Sequence[DistributionLine]) -> tuple[ChartScale, tuple[RidgeOutline, ...]]:
    """The lines' outlines, on a scale that they share."""
    scale = chart_scale([line.values for line in lines])
    return scale, tuple(ridge(line, scale) for line in lines)


def ridge(line: DistributionLine, scale: ChartScale) -> RidgeOutline:
    """One outline on the scale that all share.

    Heights grow with the square root of the number of features, so that few are seen beside many.
    """
    finite = line.values[np.isfinite(line.values)].clip(scale.low, scale.high)
    points = ""
    if len(finite):
        counts, edges = np.histogram(finite, bins=RIDGE_BINS, range=(scale.low, scale.high))
        heights = np.sqrt(counts / counts.max()) * (RIDGE_HEIGHT - 6)
        corners = [(0.0, RIDGE_HEIGHT)]
        for left, right, height in zip(edges[:-1], edges[1:], heights.tolist(), strict=True):
            corners += [
                (scale.position(float(x)), round(RIDGE_HEIGHT - height, 1)) for x in (left, right)
            ]
        points = " ".join(f"{x},{y}" for x, y in [*corners, (RIDGE_WIDTH, RIDGE_HEIGHT)])
    return RidgeOutline(
        line,
        points,
        *(scale.position(x) if math.isfinite(x) else math.nan for x in median_interval(line)),
    )


def median_interval(line: DistributionLine) -> tuple[float, float, float]:
    """The median and its interval."""
    return line.median.value, line.median.low, line.median.high
