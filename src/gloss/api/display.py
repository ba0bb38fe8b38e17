"""Teaches notebooks to show the records that have no view of their own, because records know of no
pages.
"""

import sys
import warnings
from typing import Any

# by module and class: what draws one, in `gloss.pages.notebook_view`
VIEWS = {
    ("gloss.records.scores", "Score"): "score_html",
    ("gloss.records.effects", "Effect"): "effect_html",
}


def show_records_in_notebooks() -> None:
    """Register the views with IPython, where it runs; costs nothing where it does not."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None:
        return
    # said by a bar that is never shown, where ipywidgets is not installed
    warnings.filterwarnings("ignore", message="IProgress not found")
    html = shell.display_formatter.formatters["text/html"]
    for (module, name), view in VIEWS.items():
        html.for_type_by_name(module, name, _drawn_by(view))


def _drawn_by(view: str) -> Any:
    def draw(record: object) -> str:
        from gloss.pages import notebook_view

        return getattr(notebook_view, view)(record)

    return draw
