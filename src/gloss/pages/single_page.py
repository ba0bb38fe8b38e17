"""Pages that need nothing beside them; reports are such pages.

Each is a template filled in, with its style sheet inside, written whole or not at all.
"""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gloss.pages import number_format, page_text
from gloss.pages.charts import RIDGE_HEIGHT, RIDGE_WIDTH, Whisker, falls_below_zero, ridges, whisker
from gloss.pages.heatmap import spell_characters
from gloss.pages.report_sections import Cell, Grid, Link, ReportPage
from gloss.records import Estimate
from gloss.store.atomic import write_bytes

HERE = Path(__file__).parent
NOTICED_BELOW_ZERO = -0.05  # an interval's end that a scale from 0 would hide


def write_single_page(
    path: Path, name: str, *, sheets: tuple[str, ...] = (), **values: Any
) -> Path:
    """Fill templates/`name`.html, with `name`.css and other `sheets` beside it, and write it.

    Raises Unwritable.
    """
    styles = (
        HERE / "static" / "style.css",
        *(HERE / "templates" / f"{each}.css" for each in ("report", *sheets, name)),
    )
    style = "\n".join(sheet.read_text("utf-8") for sheet in dict.fromkeys(styles))
    html = page_templates().get_template(f"{name}.html").render(style=Markup(style), **values)
    write_bytes(path, html.encode("utf-8", errors="replace"))
    return path


def page_templates() -> Environment:
    """All templates, with the filters that they use."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("decimal", "interval", "percent", "one_in", "whole", "strength")
    filters: dict[str, Any] = {
        **{name: getattr(number_format, f"format_{name}") for name in names},
        "short": number_format.short_name,
        "prose": page_text.prose,
        "spell": spell_characters,
        "cells": grid_cells,
    }
    environment.filters.update(filters)
    return environment


def write_report_page(path: Path, report: ReportPage) -> Path:
    """Write the page; what it looks like stands in it, so that one file can be handed on.

    Raises Unwritable.
    """
    return write_single_page(
        path,
        "report",
        report=report,
        ridges=ridges,
        finite=math.isfinite,
        width=RIDGE_WIDTH,
        height=RIDGE_HEIGHT,
    )


def grid_cells(grid: Grid) -> list[list[dict[str, Any]]]:
    """The cells of a table, each with what the template needs to set it."""
    estimates = [cell for row in grid.rows for cell in row if isinstance(cell, Estimate)]
    signed = any(falls_below_zero(each) or each.low <= NOTICED_BELOW_ZERO for each in estimates)
    beyond = any(
        math.isfinite(estimate.value) and abs(estimate.value) > 1 for estimate in estimates
    )

    def scale(cell: Cell) -> Whisker | None:
        return whisker(cell, signed=signed) if isinstance(cell, Estimate) and not beyond else None

    return [[cell_setting(cell, scale(cell)) for cell in row] for row in grid.rows]


def cell_setting(cell: Cell, scale: Whisker | None) -> dict[str, Any]:
    """How one cell is set: words, a link, or a number with its interval."""
    if isinstance(cell, Estimate):
        return {"kind": "estimate", "estimate": cell, "scale": scale}
    if isinstance(cell, Link):
        return {"kind": "link" if cell.target else "text", "text": cell.text, "target": cell.target}
    return {"kind": "text", "text": cell}
