"""Sets of three players and more: a row each, and a column for each player.

A line runs through the players that belong to a set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gloss.pages.text_arcs import SetValues

COLUMN, ROW = 24.0, 26.0  # in the drawing's units
LEFT = 64.0  # room for the values
SLANT = 5.3  # height and width that a character of a slanted name takes
LONGEST = 16  # characters of a name over a column


@dataclass(frozen=True, slots=True)
class PlayerColumn:
    """One player."""

    x: float
    name: str


@dataclass(frozen=True, slots=True)
class SetRow:
    """One set."""

    y: float
    marks: tuple[float, ...]  # where its players stand
    thickness: float
    lowers: bool
    label: str
    tooltip: str


@dataclass(frozen=True, slots=True)
class SetDiagram:
    """All of it, ready to be drawn."""

    width: float
    height: float
    top: float  # where the names end
    columns: tuple[PlayerColumn, ...]
    rows: tuple[SetRow, ...]


def set_diagram(sets: Sequence[tuple[int, ...]], values: SetValues) -> SetDiagram:
    """The sets in the order given, their players in the order in which they are read."""
    players = sorted({player for one in sets for player in one})
    names = [shorten_name(values.players[player]) for player in players]
    top = 14 + SLANT * max(map(len, names), default=0)
    place = {player: LEFT + COLUMN * (number + 0.5) for number, player in enumerate(players)}
    rows = tuple(
        SetRow(
            y=round(top + ROW * (number + 0.5), 1),
            marks=tuple(place[player] for player in one),
            thickness=round(1.2 + 4.3 * values.share(one), 1),
            lowers=values.coefficients[one] < 0,
            label=values.written(one),
            tooltip=values.tooltip(one),
        )
        for number, one in enumerate(sets)
    )
    columns = tuple(
        PlayerColumn(place[player], name) for player, name in zip(players, names, strict=True)
    )
    slanted = SLANT * len(names[-1]) if names else 0
    return SetDiagram(
        round(LEFT + COLUMN * len(players) + slanted, 1),
        round(top + ROW * len(sets) + 4, 1),
        round(top, 1),
        columns,
        rows,
    )


def shorten_name(name: str) -> str:
    """A name that is not too long to stand over a column."""
    said = " ".join(name.split())
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
