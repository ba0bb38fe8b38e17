"""What notebooks show: fragments of HTML that look right on a light and on a dark page.

They colour by transparent shades over whatever lies below, because a notebook's theme is not the
system's.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jinja2 import Template
from markupsafe import Markup

from gloss.pages.context_groups import mistake_group
from gloss.pages.feature_view import feature_view, score_view
from gloss.pages.heatmap import ContextRow, Palette
from gloss.pages.page_records import FeaturePage, MistakenContexts, RunSummary, Statistics
from gloss.pages.page_text import prose
from gloss.pages.single_page import HERE, page_templates
from gloss.records import Effect, Score
from gloss.store.vocabulary import Vocabulary

MOST_ROWS = 20  # of a table
BEST = 8  # features that a run shows
MOST_CHARACTERS = 200  # of a cell that holds text
MOST_OF_A_LIST = 60
SHARES = (10, 18, 28, 38, 48, 60, 72, 84, 100)  # per cent of the colour, weak to strong
DARK_FROM = 7  # the shade from which text is dark, whatever the theme
HEAT, COLD = "255 160 0", "80 150 235"
NOTHING = Statistics(0, 0.0, 0.0, np.zeros(0), np.zeros(0, np.int64))


def feature_html(page: FeaturePage, palette: Palette, most: int = 5) -> str:
    """A feature as a card: its words, its scores beside controls, its strongest contexts."""
    return fragment("feature", page, feature_view(page, palette), most)


def run_html(summary: RunSummary, treated: int, features: Sequence[dict[str, Any]]) -> str:
    """A run as a card: what was read, and its features, the best explained ones first."""
    explained = [row for row in features if row["explanation"] is not None]
    best = sorted(explained, key=lambda row: -(row["value"] or 0.0))[:BEST]
    table = table_parts(best, ("feature", "explanation", "value", "low", "high", "control"))
    return fragment("run", summary, treated, len(explained), table)


def contexts_html(rows: Sequence[ContextRow]) -> str:
    """A heat map, a row a context, with their peaks under each other."""
    return fragment("contexts", rows)


def mistakes_html(mistakes: Iterable[MistakenContexts], palette: Palette) -> str:
    """Contexts that an explanation got wrong, under a heading for each kind."""
    return fragment("groups", [mistake_group(found, palette) for found in mistakes])


def score_html(score: Score) -> str:
    """A score with its metrics and intervals."""
    page = FeaturePage(score.feature, NOTHING, scores=(score,))
    return fragment("score", score_view(page, score, Palette(Vocabulary(()), 0.0)))


def effect_html(effect: Effect) -> str:
    """What the subject writes with a feature changed, beside what it writes by itself."""
    return fragment("effect", effect)


def table_html(rows: Sequence[dict[str, Any]], names: Sequence[str], total: int) -> str:
    """The first rows of a table of `total` rows, with long cells cut."""
    shown = rows[:MOST_ROWS]
    return fragment("table", *table_parts(shown, names), total - len(shown))


Cell = tuple[str, bool]  # its text, and whether it is a number
PROSE = ("explanation", "text")  # columns in which backticks set off text of the corpus


def table_parts(
    rows: Sequence[dict[str, Any]], names: Sequence[str]
) -> tuple[list[Cell], list[list[Cell]]]:
    """The head and the cells of a table."""
    numbers = {name: bool(rows) and all(is_number(row[name]) for row in rows) for name in names}
    cells = [
        [
            (
                prose(shown_cell(row[name])) if name in PROSE else shown_cell(row[name]),
                numbers[name],
            )
            for name in names
        ]
        for row in rows
    ]
    return [(name, numbers[name]) for name in names], cells


def is_number(value: object) -> bool:
    """Whether a cell is set to the right."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def shown_cell(value: object) -> str:
    """A cell as it is read: three decimals, nothing for what is missing, long text cut."""
    match value:
        case None:
            return ""
        case bool() | str():
            return cut_text(str(value), MOST_CHARACTERS)
        case float():
            fixed = value == 0.0 or 1e-3 <= abs(value) < 1e4
            return "" if math.isnan(value) else f"{value:.3f}" if fixed else f"{value:.3g}"
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)
        case list() | tuple():
            return cut_text(", ".join(map(shown_cell, value)), MOST_OF_A_LIST)
        case dict():
            return " ".join(shown_cell(part) for part in value.values())
        case _:
            return cut_text(str(value), MOST_CHARACTERS)


def cut_text(text: str, most: int) -> str:
    """The text, with its end left out where it is long."""
    return text if len(text) <= most else f"{text[:most]}…"


def fragment(macro: str, *values: object) -> str:
    """A macro of templates/notebook.html, filled in, with the style sheet before it."""
    made: Markup = getattr(notebook_template().module, macro)(*values)
    return f'<div class="gloss">{notebook_style()}{made}</div>'


@lru_cache(maxsize=1)
def notebook_template() -> Template:
    """The fragments."""
    return page_templates().get_template("notebook.html")


@lru_cache(maxsize=1)
def notebook_style() -> str:
    """Their style sheet, in which every rule begins with the class of a fragment."""
    shades = [
        f".gloss b.h{level}{cold} {{ background: rgb({colour} / {share}%);"
        + (" color: #211e1a; }" if level >= DARK_FROM else " }")
        for level, share in enumerate(SHARES, 1)
        for cold, colour in (("", HEAT), (".cold", COLD))
    ]
    sheet = (HERE / "templates" / "notebook.css").read_text("utf-8")
    return f"<style>{''.join([*sheet.splitlines(), *shades])}</style>"
