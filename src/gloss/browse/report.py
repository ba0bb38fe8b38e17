"""Writes a report as one page that needs nothing beside it."""

import math
from pathlib import Path
from typing import Any

from gloss.browse.alone import write_alone
from gloss.browse.drawings import Whisker, falls_below_zero, whisker
from gloss.browse.ridges import HEIGHT, WIDTH, ridges
from gloss.browse.sections import Cell, Grid, Link, Report
from gloss.records import Estimate


def write_report(path: Path, report: Report) -> Path:
    """Write the page; what it looks like stands in it, so that one file can be handed on. Raises Unwritable."""
    return write_alone(
        path, "report", report=report, ridges=ridges, drawn=drawn, finite=math.isfinite, width=WIDTH, height=HEIGHT
    )


def drawn(grid: Grid) -> list[list[dict[str, Any]]]:
    """The cells of a table, each with what the template needs to set it."""
    estimates = [cell for row in grid.rows for cell in row if isinstance(cell, Estimate)]
    signed = any(falls_below_zero(estimate) for estimate in estimates)
    beyond = any(math.isfinite(estimate.value) and abs(estimate.value) > 1 for estimate in estimates)
    return [[setting(cell, None if beyond or not isinstance(cell, Estimate) else whisker(cell, signed=signed)) for cell in row]
            for row in grid.rows]  # fmt: skip


def setting(cell: Cell, scale: Whisker | None) -> dict[str, Any]:
    """How one cell is set: words, a link, or a number with its interval."""
    if isinstance(cell, Estimate):
        return {"kind": "estimate", "estimate": cell, "scale": scale}
    if isinstance(cell, Link):
        return {"kind": "link" if cell.target else "text", "text": cell.text, "target": cell.target}
    return {"kind": "text", "text": cell}
