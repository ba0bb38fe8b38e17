"""gloss reads language models: what each feature inside one means, and how far each explanation can
be trusted.

Everything here is loaded when it is first used, so that `import gloss` costs nothing.

    import gloss

    run = gloss.open("runs/demo")
    run[999].explanation
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gloss.installed import __version__

if TYPE_CHECKING:
    from gloss.api.opening import load_dictionary, load_model
    from gloss.api.opening import open_run as open  # noqa: A004  as in gzip.open
    from gloss.api.opening import run_experiment as run
    from gloss.api.runs import Feature, Run
    from gloss.api.tables import RunTable
    from gloss.api.verbs import attribute, explain, score, steer
    from gloss.errors import GlossError
    from gloss.records import Explanation, Failure, Score
    from gloss.run.experiment import Experiment

_HOMES = {
    "load_model": "gloss.api.opening",
    "load_dictionary": "gloss.api.opening",
    "open": "gloss.api.opening:open_run",
    "run": "gloss.api.opening:run_experiment",
    "attribute": "gloss.api.verbs",
    "explain": "gloss.api.verbs",
    "score": "gloss.api.verbs",
    "steer": "gloss.api.verbs",
    "Run": "gloss.api.runs",
    "Feature": "gloss.api.runs",
    "RunTable": "gloss.api.tables",
    "Experiment": "gloss.run.experiment",
    "Explanation": "gloss.records",
    "Failure": "gloss.records",
    "Score": "gloss.records",
    "GlossError": "gloss.errors",
}

__all__ = [
    "Experiment",
    "Explanation",
    "Failure",
    "Feature",
    "GlossError",
    "Run",
    "RunTable",
    "Score",
    "__version__",
    "attribute",
    "explain",
    "load_dictionary",
    "load_model",
    "open",
    "run",
    "score",
    "steer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"gloss has no {name!r}; it has {', '.join(sorted(_HOMES))}")
    if "IPython" in sys.modules:
        import_module("gloss.api.display").show_records_in_notebooks()
    module, _, called = _HOMES[name].partition(":")
    return getattr(import_module(module), called or name)


def __dir__() -> list[str]:
    return sorted(__all__)
