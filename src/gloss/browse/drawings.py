"""Small pictures as plain numbers: bars of a histogram, positions on a scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gloss.browse.figures import strength, whole
from gloss.browse.heatmap import levels
from gloss.browse.model import Statistics
from gloss.records import Estimate

WIDTH, HEIGHT = 320.0, 96.0  # of a histogram, in its own units


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram, in the drawing's units."""

    x: float
    y: float
    width: float
    height: float
    shade: int  # as in the heat map
    told: str


@dataclass(frozen=True, slots=True)
class Whisker:
    """An estimate on a scale from 0 to 1, or from -1 to 1 if `signed`, in per cent of the scale's length."""

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


def histogram(statistics: Statistics) -> tuple[Bar, ...]:
    """How many tokens have which activation; heights grow with the logarithm of the count, so that rare ones show."""
    counts, edges = statistics.counts, statistics.edges
    if not len(counts) or counts.max() <= 0:
        return ()
    heights = np.log1p(counts.astype(np.float64))
    heights *= HEIGHT / heights.max()
    step = WIDTH / len(counts)
    shades = np.abs(levels(np.asarray((edges[:-1] + edges[1:]) / 2), statistics.strongest))
    return tuple(
        Bar(
            x=round(i * step + 0.5, 2),
            y=round(HEIGHT - height, 2),
            width=round(max(step - 1, 0.5), 2),
            height=round(float(height), 2),
            shade=int(max(shades[i], 1)),
            told=f"{strength(float(edges[i]))} to {strength(float(edges[i + 1]))}: {whole(int(counts[i]))} tokens",
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
    return Whisker(*(round(steps * (min(max(x, least), 1.0) - least), 1) for x in (estimate.value, low, high)), signed=signed)


def outline(values: Sequence[float], low: float = 0.0, high: float = 1.0, bins: int = 25) -> str:
    """The distribution of scores between two ends as the points of a filled line, in WIDTH by HEIGHT, by share of features."""
    finite = [min(max(value, low), high) for value in values if math.isfinite(value)]
    if not finite:
        return ""
    counts, _ = np.histogram(finite, bins=bins, range=(low, high))
    heights = np.sqrt(counts / len(finite))
    points = [(0.0, HEIGHT)]
    for i, height in enumerate(heights.tolist()):
        top = round(HEIGHT * (1 - height), 1)
        points += [(round(i * WIDTH / bins, 1), top), (round((i + 1) * WIDTH / bins, 1), top)]
    points.append((WIDTH, HEIGHT))
    return " ".join(f"{x},{y}" for x, y in points)
