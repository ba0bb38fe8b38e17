"""Removal and insertion: what the value does while players go or come in a method's order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gloss.pages.number_format import format_strength

WIDTH, HEIGHT = 360.0, 230.0  # of a panel, in its own units
LEFT, RIGHT, TOP, BOTTOM = 46.0, 8.0, 8.0, 36.0  # around the curves
RANDOM = "random order"  # drawn in grey


@dataclass(frozen=True, slots=True)
class CurveLine:
    """The values that a method's order leads to, after so many players."""

    name: str
    counts: tuple[int, ...]  # of players removed, or inserted
    # the most important first, from the whole; not a number where there was none
    removal: tuple[float, ...]
    insertion: tuple[float, ...]  # the most important first, from nothing

    def __post_init__(self) -> None:
        if not len(self.counts) == len(self.removal) == len(self.insertion):
            lengths = (len(self.counts), len(self.removal), len(self.insertion))
            raise ValueError(
                f"{self.name}: counts, removal and insertion have {lengths} values; they need as"
                " many each"
            )


@dataclass(frozen=True, slots=True)
class CurveTrace:
    """One method's line in a panel."""

    name: str
    kind: str  # of line: `random`, or `line0` to `line5`
    points: str


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """One small picture; both have the same scales."""

    title: str
    axis: str
    traces: tuple[CurveTrace, ...]
    across: tuple[tuple[float, str], ...]  # marks on the axis of counts
    up: tuple[tuple[float, str], ...]  # marks on the axis of values


def curve_panels(lines: Sequence[CurveLine]) -> tuple[CurvePanel, ...]:
    """Removal and insertion side by side; none without a line."""
    values = [
        value
        for line in lines
        for value in (*line.removal, *line.insertion)
        if math.isfinite(value)
    ]
    most = max((count for line in lines for count in line.counts), default=0)
    if not values or not most:
        return ()
    up, across = (
        axis_ticks(min(values), max(values)),
        [mark for mark in axis_ticks(0.0, float(most)) if mark == int(mark) and mark <= most],
    )
    low, high = min(up[0], min(values)), max(up[-1], max(values))

    def place(count: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * count / most
        return round(x, 1), round(TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low), 1)

    def traces(removal: bool) -> tuple[CurveTrace, ...]:
        kinds = iter(range(len(lines)))
        found: list[CurveTrace] = []
        for line in lines:
            pairs = zip(
                map(float, line.counts), line.removal if removal else line.insertion, strict=True
            )
            points = " ".join(
                "{},{}".format(*place(*pair)) for pair in pairs if math.isfinite(pair[1])
            )
            found.append(
                CurveTrace(
                    line.name, "random" if line.name == RANDOM else f"line{next(kinds) % 6}", points
                )
            )
        return tuple(found)

    marks = tuple((place(mark, low)[0], format_strength(mark)) for mark in across)
    heights = tuple((place(0.0, mark)[1], format_strength(mark)) for mark in up)
    return tuple(
        CurvePanel(
            title,
            f"players {verb}, the most important first",
            traces(verb == "removed"),
            marks,
            heights,
        )
        for title, verb in (("Removal", "removed"), ("Insertion", "inserted"))
    )


def axis_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from at or below one value to at or above the other."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [
        round(step * number, 12)
        for number in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    ]
