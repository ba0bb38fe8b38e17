"""Writes a report as one page that needs nothing beside it."""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gloss.browse import figures, words
from gloss.browse.drawings import Whisker, falls_below_zero, whisker
from gloss.browse.ridges import HEIGHT, WIDTH, ridges
from gloss.browse.sections import Cell, Grid, Link, Report
from gloss.errors import BadInput
from gloss.records import Estimate

HERE = Path(__file__).parent


def write_report(path: Path, report: Report) -> Path:
    """Write the page; what it looks like stands in it, so that one file can be handed on. Raises BadInput where it cannot."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "prose": words.prose,
        "whole": figures.whole,
        "decimal": figures.decimal,
        "interval": figures.interval,
    }
    sheets = (HERE / "static" / "style.css", HERE / "templates" / "report.css")
    html = environment.get_template("report.html").render(
        report=report,
        style=Markup("\n".join(sheet.read_text("utf-8") for sheet in sheets)),
        ridges=ridges,
        drawn=drawn,
        finite=math.isfinite,
        width=WIDTH,
        height=HEIGHT,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}; choose a folder that can be written and has space") from error
    return path


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
