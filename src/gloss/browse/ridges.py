"""Distributions of scores as outlines over one scale, with their medians."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.browse.figures import decimal
from gloss.browse.sections import Line

WIDTH, HEIGHT = 320.0, 40.0  # of one outline, in its own units
BINS = 32


@dataclass(frozen=True, slots=True)
class Scale:
    """What the left and the right end stand for."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value lies, in the drawing's units; beyond an end, at the end."""
        return round(WIDTH * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 1)

    @property
    def marks(self) -> tuple[tuple[float, str], ...]:
        """Both ends and the quarters between, in per cent of the length, as they are written below the drawing."""
        return tuple((25.0 * i, decimal(self.low + (self.high - self.low) * i / 4)) for i in range(5))


@dataclass(frozen=True, slots=True)
class Ridge:
    """One outline, its median and the median's interval."""

    line: Line
    outline: str  # the points of a polygon
    median: float
    low: float
    high: float


def scale_of(values: Sequence[Float64[ndarray, " _"]]) -> Scale:
    """From 0 to 1, wherever that is enough; otherwise between round numbers that leave nobody out."""
    finite = np.concatenate([np.asarray(part, np.float64).ravel() for part in values]) if values else np.empty(0)
    finite = finite[np.isfinite(finite)]
    least, most = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low = 0.0 if least >= -0.05 else -rounded_up(-least)
    if most > 1:
        return Scale(low, rounded_up(most))
    return Scale(low, 0.0 if low and most <= 0 else 1.0)


def rounded_up(value: float) -> float:
    """The next of a few multiples of a power of ten, of which quarters are short numbers."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def ridges(lines: Sequence[Line]) -> tuple[Scale, tuple[Ridge, ...]]:
    """The lines' outlines, on a scale that they share."""
    scale = scale_of([line.values for line in lines])
    return scale, tuple(ridge(line, scale) for line in lines)


def ridge(line: Line, scale: Scale) -> Ridge:
    """Heights grow with the square root of the number of features, so that few are seen beside many."""
    finite = line.values[np.isfinite(line.values)].clip(scale.low, scale.high)
    points = ""
    if len(finite):
        counts, edges = np.histogram(finite, bins=BINS, range=(scale.low, scale.high))
        heights = np.sqrt(counts / counts.max()) * (HEIGHT - 6)
        corners = [(0.0, HEIGHT)]
        for left, right, height in zip(edges[:-1], edges[1:], heights.tolist(), strict=True):
            corners += [(scale.place(float(x)), round(HEIGHT - height, 1)) for x in (left, right)]
        points = " ".join(f"{x},{y}" for x, y in [*corners, (WIDTH, HEIGHT)])
    return Ridge(line, points, *(scale.place(x) if math.isfinite(x) else math.nan for x in medians(line)))


def medians(line: Line) -> tuple[float, float, float]:
    """The median and its interval."""
    return line.median.value, line.median.low, line.median.high
