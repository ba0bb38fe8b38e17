"""A text set in lines of so many columns.

So it is known where each player stands before a browser sees it.
"""

import re
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass

from gloss.pages.heatmap import visible_text

PlayerStretches = Sequence[tuple[str, int | None]]  # of a text, each with the player that it is
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
class TypesetLine:
    """One line; `folded` counts the players on the lines that it stands for."""

    fragments: tuple[Fragment, ...]
    folded: int = 0


@dataclass(frozen=True, slots=True)
class UnbrokenPiece:
    """What is not cut at the end of a line, and the space before it."""

    space: int
    said: str
    stretch: int
    player: int | None


def typeset(text: PlayerStretches, columns: int, wanted: Container[int]) -> tuple[TypesetLine, ...]:
    """Lines of at most `columns`.

    Runs of them without a `wanted` player are folded where there are many.
    """
    lines: list[list[Fragment]] = [[]]
    before, at, indented = -1, 0, False
    for unit in unbroken_pieces(text, columns):
        width = text_width(unit.said)
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
    return fold_lines([tuple(line) for line in lines if line], wanted)


def unbroken_pieces(text: PlayerStretches, columns: int) -> list[UnbrokenPiece]:
    """Players that fit on a line stay whole.

    All else is cut at spaces, at line breaks, and where it is wider than a line.
    """
    found: list[UnbrokenPiece] = []
    space = 0
    for number, (said, player) in enumerate(text):
        whole = (
            player is not None
            and "\n" not in said.strip()
            and text_width(visible_text(said.strip())) <= columns
        )
        for gap, body, rest in re.findall(
            r"([^\S\n]*)(\S.*\S|\S)?(\n?)" if whole else r"([^\S\n]*)(\S*)(\n?)", said
        ):
            space += min(len(gap), INDENTED if found and found[-1].said.endswith("↵") else 2)
            shown = visible_text(body) + ("↵" if rest else "")
            for part in chop_to_width(shown, columns):
                found.append(UnbrokenPiece(space, part, number, player if body else None))
                space = 0
    return found


def chop_to_width(said: str, columns: int) -> list[str]:
    """Parts no wider than a line."""
    parts, width = [""], 0
    for character in said:
        width += text_width(character)
        if width > columns:
            parts.append("")
            width = text_width(character)
        parts[-1] += character
    return [part for part in parts if part]


def text_width(said: str) -> int:
    """How wide a text is in a font of one width.

    Characters of East Asia take two columns, and accents none.
    """
    return sum(
        (
            0
            if unicodedata.combining(character)
            else 2
            if unicodedata.east_asian_width(character) in "WF"
            else 1
        )
        for character in said
    )


def fold_lines(
    lines: Sequence[tuple[Fragment, ...]], wanted: Container[int]
) -> tuple[TypesetLine, ...]:
    """One line in place of several without a wanted player."""
    found: list[TypesetLine] = []
    run: list[tuple[Fragment, ...]] = []

    def end() -> None:
        if len(run) >= LEAST_FOLDED:
            found.append(
                TypesetLine(
                    (), len({one.player for line in run for one in line if one.player is not None})
                )
            )
        else:
            found.extend(map(TypesetLine, run))
        run.clear()

    for line in lines:
        if any(one.player is not None and one.player in wanted for one in line):
            end()
            found.append(TypesetLine(line))
        else:
            run.append(line)
    end()
    return tuple(found)
