"""A text set in lines of so many columns, so that it is known where each player stands before a browser sees it."""

import re
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass

from gloss.browse.heatmap import visible

Stretches = Sequence[tuple[str, int | None]]  # of a text, each with the player that it is
INDENTED = 8  # spaces at most that a line begins with
LEAST_FOLDED = 4  # lines in which nothing is of interest, one after the other


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of text, or the part of it that stands on one line."""

    column: int
    columns: int
    said: str
    player: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `folded` counts the players on the lines that it stands for."""

    fragments: tuple[Fragment, ...]
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """What is not cut at the end of a line, and the space before it."""

    space: int
    said: str
    stretch: int
    player: int | None


def typeset(text: Stretches, columns: int, wanted: Container[int]) -> tuple[Line, ...]:
    """Lines of at most `columns`; runs of them without a `wanted` player are folded where there are many."""
    lines: list[list[Fragment]] = [[]]
    before, at, indented = -1, 0, False
    for unit in units(text, columns):
        width = columns_of(unit.said)
        space = unit.space if at or indented else 0
        indented = False
        if at and at + space + width > columns:
            lines.append([])
            at, space = 0, 0
        if before == unit.stretch and lines[-1]:
            last = lines[-1].pop()
            said = last.said + " " * space + unit.said
            lines[-1].append(Fragment(last.column, last.columns + space + width, said, unit.player))
        elif unit.said:
            lines[-1].append(Fragment(at + space, width, unit.said, unit.player))
        at, before = at + space + width, unit.stretch
        if unit.said.endswith("↵"):
            lines.append([])
            at, indented = 0, True
    return folded([tuple(line) for line in lines if line], wanted)


def units(text: Stretches, columns: int) -> list[Unit]:
    """Players that fit on a line stay whole; all else is cut at spaces, at line breaks, and where it is wider than a line."""
    found: list[Unit] = []
    space = 0
    for number, (said, player) in enumerate(text):
        whole = player is not None and "\n" not in said.strip() and columns_of(visible(said.strip())) <= columns
        for gap, body, rest in re.findall(r"([^\S\n]*)(\S.*\S|\S)?(\n?)" if whole else r"([^\S\n]*)(\S*)(\n?)", said):
            space += min(len(gap), INDENTED if found and found[-1].said.endswith("↵") else 2)
            shown = visible(body) + ("↵" if rest else "")
            for part in chopped(shown, columns):
                found.append(Unit(space, part, number, player if body else None))
                space = 0
    return found


def chopped(said: str, columns: int) -> list[str]:
    """Parts no wider than a line."""
    parts, width = [""], 0
    for character in said:
        width += columns_of(character)
        if width > columns:
            parts.append("")
            width = columns_of(character)
        parts[-1] += character
    return [part for part in parts if part]


def columns_of(said: str) -> int:
    """How wide a text is in a font of one width, where characters of East Asia take two columns and accents none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in said
    )


def folded(lines: Sequence[tuple[Fragment, ...]], wanted: Container[int]) -> tuple[Line, ...]:
    """One line in place of several without a wanted player."""
    found: list[Line] = []
    run: list[tuple[Fragment, ...]] = []

    def end() -> None:
        if len(run) >= LEAST_FOLDED:
            found.append(Line((), len({one.player for line in run for one in line if one.player is not None})))
        else:
            found.extend(map(Line, run))
        run.clear()

    for line in lines:
        if any(one.player is not None and one.player in wanted for one in line):
            end()
            found.append(Line(line))
        else:
            run.append(line)
    end()
    return tuple(found)
