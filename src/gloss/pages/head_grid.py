"""Heads of a model as a grid, layers by heads, each cell shaded by what the head does."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gloss.pages.text_arcs import DEEPEST, SetValues

HEAD = re.compile(r"\W*head (\d+)\.(\d+)\W*")
FEWEST = 4  # players that make a grid


@dataclass(frozen=True, slots=True)
class GridCell:
    """One head."""

    shade: float  # share of the hue, in per cent; 0 without one
    lowers: bool
    tooltip: str


@dataclass(frozen=True, slots=True)
class HeadGrid:
    """A row a layer; None stands where a head is no player."""

    heads: tuple[int, ...]
    rows: tuple[tuple[int, tuple[GridCell | None, ...]], ...]  # the layer, its cells


def head_grid(players: Sequence[str], values: SetValues) -> HeadGrid | None:
    """The grid of players that are called `head LAYER.HEAD`; None for others, and for a few."""
    found = [HEAD.fullmatch(name) for name in players]
    places = [(int(each[1]), int(each[2])) for each in found if each]
    if len(places) < len(players) or len(places) < FEWEST:
        return None
    by_place = {place: number for number, place in enumerate(places)}
    heads = tuple(range(max(head for _, head in places) + 1))
    layers = sorted({layer for layer, _ in places})
    # among heads the strongest single one has the deepest shade
    largest = max(abs(values.coefficients.get((p,), 0.0)) for p in by_place.values()) or 1.0

    def cell(layer: int, head: int) -> GridCell | None:
        if (player := by_place.get((layer, head))) is None:
            return None
        value = values.coefficients.get((player,), 0.0)
        shade = round(DEEPEST * math.sqrt(abs(value) / largest), 1)
        return GridCell(shade, value < 0, values.tooltip((player,)))

    rows = tuple((layer, tuple(cell(layer, head) for head in heads)) for layer in layers)
    return HeadGrid(heads, rows)
