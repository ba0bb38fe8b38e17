"""Lets a package be called by the name of its verb: `gloss.explain(feature)` beside
`gloss.explain.best_of`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

VERBS = {
    "gloss.attribute": "gloss.api.verbs:attribute",
    "gloss.explain": "gloss.api.verbs:explain",
    "gloss.run": "gloss.api.opening:run_experiment",
    "gloss.score": "gloss.api.verbs:score",
}


class CallablePackage(ModuleType):
    """A package that hands calls to the function of its verb, which is imported then."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        module, _, function = VERBS[self.__name__].partition(":")
        return getattr(import_module(module), function)(*given, **named)


def make_callable(package: str) -> None:
    """Turn the package that is being imported into a callable one."""
    sys.modules[package].__class__ = CallablePackage
