"""One page that needs nothing beside it: what it looks like stands in it, and it is written whole or not at all."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gloss.browse import figures, words
from gloss.store.atomic import write_bytes

HERE = Path(__file__).parent


def write_alone(path: Path, name: str, **values: Any) -> Path:
    """Fill templates/`name`.html, with `name`.css beside it, and write it. Raises Unwritable."""
    sheets = (HERE / "static" / "style.css", HERE / "templates" / "report.css", HERE / "templates" / f"{name}.css")
    style = "\n".join(sheet.read_text("utf-8") for sheet in dict.fromkeys(sheets))
    html = templates().get_template(f"{name}.html").render(style=Markup(style), **values)
    write_bytes(path, html.encode("utf-8", errors="replace"))
    return path


def templates() -> Environment:
    """All templates, with the filters that they use."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("decimal", "interval", "percent", "one_in", "whole", "strength", "short")
    environment.filters.update({name: getattr(figures, name) for name in names} | {"prose": words.prose})
    return environment
