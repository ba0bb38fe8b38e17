"""A text whose players are shaded by what each does, with arcs over pairs.

A pair has an arc where it adds or takes something together.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gloss.pages.number_format import format_signed
from gloss.pages.typeset import Fragment, TypesetLine

COLUMN, LEADING = 8.4, 26.0  # of a character, and from line to line, in the drawing's units
LEVEL = 22.0  # between one arc and the next above it
TURN = 9.0  # radius of an arc's corners
APART = 6.0  # between arcs that meet at a player
DEEPEST = 78.0  # share of the hue in the deepest shade, in per cent


@dataclass(frozen=True, slots=True)
class PlacedStretch:
    """A piece of text in its place."""

    x: float
    y: float  # of the baseline
    width: float
    said: str
    lowers: bool
    shade: float  # share of the hue, in per cent; 0 without one
    tooltip: str


@dataclass(frozen=True, slots=True)
class PairArc:
    """A pair, or the part of it on one line."""

    path: str
    thickness: float
    lowers: bool
    label: str
    x: float  # of the label
    y: float
    tooltip: str


@dataclass(frozen=True, slots=True)
class FoldedLines:
    """Lines that are left out."""

    y: float
    players: int


@dataclass(frozen=True, slots=True)
class TextPicture:
    """A whole text, ready to be drawn."""

    width: float
    height: float
    stretches: tuple[PlacedStretch, ...]
    arcs: tuple[PairArc, ...]
    folds: tuple[FoldedLines, ...]


@dataclass(frozen=True, slots=True)
class PairSpan:
    """Where a pair runs on one line; it is open towards a line before or after."""

    line: int
    left: float
    right: float
    pair: tuple[int, int]
    open_left: bool = False
    open_right: bool = False


@dataclass(frozen=True, slots=True)
class SetValues:
    """What sets of players add together, and which of them is drawn in full."""

    coefficients: Mapping[tuple[int, ...], float]
    players: tuple[str, ...]
    meaning: str = ""  # of a single player's value, such as "on average"

    @property
    def scale(self) -> float:
        """The largest size of all: the deepest shade and the thickest line."""
        return (
            max((abs(value) for one, value in self.coefficients.items() if one), default=0.0) or 1.0
        )

    def share(self, one: tuple[int, ...]) -> float:
        """Its size as a share of the largest."""
        return abs(self.coefficients.get(one, 0.0)) / self.scale

    def written(self, one: tuple[int, ...]) -> str:
        """Its value."""
        return format_signed(self.coefficients.get(one, 0.0), self.scale)

    def tooltip(self, one: tuple[int, ...]) -> str:
        """The set and its value in words."""
        names = " + ".join(self.players[player] for player in one)
        what = "together" if len(one) > 1 else self.meaning
        return f"{names}: {self.written(one)} {what}".strip()


def text_picture(
    lines: Sequence[TypesetLine], pairs: Sequence[tuple[int, int]], values: SetValues
) -> TextPicture:
    """The lines under each other, each with as much room above it as its arcs need."""
    width = (
        max((one.column + one.columns for line in lines for one in line.fragments), default=0)
        * COLUMN
    )
    width = max(width, 44 * COLUMN if any(line.folded for line in lines) else 0.0)
    spans = separate_ends(pair_spans(pairs, player_midpoints(lines), width))
    levels = stack_spans(spans)
    stretches: list[PlacedStretch] = []
    arcs: list[PairArc] = []
    folds: list[FoldedLines] = []
    y = 0.0
    for number, line in enumerate(lines):
        here = [span for span in spans if span.line == number]
        room = max((levels[span] for span in here), default=0)
        y += LEADING + room * LEVEL + (10 if room else 0)
        arcs += [pair_arc(span, y - 17, y - 15 - levels[span] * LEVEL, values) for span in here]
        stretches += [place_stretch(one, y, values) for one in line.fragments]
        folds += [FoldedLines(y, line.folded)] * (not line.fragments)
    return TextPicture(
        round(width + 12, 1), round(y + 10, 1), tuple(stretches), tuple(arcs), tuple(folds)
    )


def player_midpoints(lines: Sequence[TypesetLine]) -> dict[int, tuple[int, float]]:
    """The line and the middle of each player's first fragment."""
    found: dict[int, tuple[int, float]] = {}
    for number, line in enumerate(lines):
        for one in line.fragments:
            if one.player is not None:
                found.setdefault(one.player, (number, (one.column + one.columns / 2) * COLUMN))
    return found


def pair_spans(
    pairs: Sequence[tuple[int, int]], places: Mapping[int, tuple[int, float]], width: float
) -> list[PairSpan]:
    """One span where both players stand on a line; two that run to the edge where they do not."""
    found: list[PairSpan] = []
    for pair in pairs:
        if any(player not in places for player in pair):
            continue
        (first, left), (last, right) = sorted(places[player] for player in pair)
        if first == last:
            found.append(PairSpan(first, left, right, pair))
        else:
            found += [
                PairSpan(first, left, width, pair, open_right=True),
                PairSpan(last, 0.0, right, pair, open_left=True),
            ]
    return found


def separate_ends(spans: Sequence[PairSpan]) -> list[PairSpan]:
    """Set apart the ends that meet at one player.

    Those that lead to the left stand on its left, the nearest outermost.
    """
    meeting: dict[tuple[int, float], list[tuple[float, PairSpan, bool]]] = {}
    for span in spans:
        if not span.open_left:
            meeting.setdefault((span.line, span.left), []).append(
                (1 / (span.right - span.left + 1), span, True)
            )
        if not span.open_right:
            meeting.setdefault((span.line, span.right), []).append(
                (-1 / (span.right - span.left + 1), span, False)
            )
    moved: dict[tuple[PairSpan, bool], float] = {}
    for ends in meeting.values():
        ends.sort(key=lambda end: end[0])
        for rank, (_, span, left) in enumerate(ends):
            moved[span, left] = (rank - (len(ends) - 1) / 2) * APART
    return [
        PairSpan(
            span.line,
            span.left + moved.get((span, True), 0.0),
            span.right + moved.get((span, False), 0.0),
            span.pair,
            span.open_left,
            span.open_right,
        )
        for span in spans
    ]


def stack_spans(spans: Sequence[PairSpan]) -> dict[PairSpan, int]:
    """The level of each span from 1 on, short ones low.

    None lies across another, or too near for its label.
    """
    levels: dict[PairSpan, int] = {}
    for span in sorted(spans, key=lambda span: span.right - span.left):
        beside = [
            other for other in levels if other.line == span.line and spans_overlap(span, other)
        ]
        taken = {levels[other] for other in beside}
        levels[span] = next(level for level in range(1, len(taken) + 2) if level not in taken)
    return levels


def spans_overlap(one: PairSpan, other: PairSpan) -> bool:
    """Whether one would touch the other on the same level, their labels included."""
    (a, b), (c, d) = (span_extent(span) for span in (one, other))
    return a < d and c < b


def span_extent(span: PairSpan) -> tuple[float, float]:
    """From where to where a span and its label reach."""
    middle, half = (span.left + span.right) / 2, max((span.right - span.left) / 2, 24.0)
    return middle - half, middle + half


def pair_arc(span: PairSpan, foot: float, top: float, values: SetValues) -> PairArc:
    """A bracket with round corners, open where it goes on elsewhere."""
    turn = min(TURN, (span.right - span.left) / 2, foot - top)
    left, right = round(span.left, 1), round(span.right, 1)
    path = (
        f"M{left} {top:.1f}"
        if span.open_left
        else f"M{left} {foot:.1f}V{top + turn:.1f}q0 {-turn:.1f} {turn:.1f} {-turn:.1f}"
    )
    path += (
        f"H{right}"
        if span.open_right
        else f"H{right - turn:.1f}q{turn:.1f} 0 {turn:.1f} {turn:.1f}V{foot:.1f}"
    )
    thickness = round(1.2 + 4.3 * values.share(span.pair), 1)
    return PairArc(
        path=path,
        thickness=thickness,
        lowers=values.coefficients[span.pair] < 0,
        label=values.written(span.pair),
        x=round(min(max((left + right) / 2, 20.0), max(left, right)), 1),
        y=round(top - thickness / 2 - 2.5, 1),
        tooltip=values.tooltip(span.pair),
    )


def place_stretch(one: Fragment, y: float, values: SetValues) -> PlacedStretch:
    """A fragment with the shade of its player."""
    value = values.coefficients.get((one.player,), 0.0) if one.player is not None else 0.0
    return PlacedStretch(
        x=round(one.column * COLUMN, 1),
        y=round(y, 1),
        width=round(one.columns * COLUMN, 1),
        said=one.said,
        lowers=value < 0,
        shade=round(DEEPEST * math.sqrt(abs(value) / values.scale), 1),
        tooltip="" if one.player is None else values.tooltip((one.player,)),
    )
