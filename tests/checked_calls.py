"""Types and shapes of gloss' calls, checked as jaxtyping's import hook asks, at a fraction of what
its own decorator costs: a function is made to check at its first call, not when it is imported, and
an argument is looked at once.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import jaxtyping
import numpy as np
from beartype import beartype

THEIRS = jaxtyping.jaxtyped
OWN_AXES = THEIRS("context")
# what records import for type checkers alone, so that they load without numpy
ARRAYS = {**vars(jaxtyping), "ndarray": np.ndarray}


def check_calls(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """Stands in for `jaxtyping.jaxtyped`, which the hook puts before functions and classes."""

    def decorate(thing: Any) -> Any:
        if inspect.isclass(thing):
            init = vars(thing).get("__init__")
            if dataclasses.is_dataclass(thing) and init and not hasattr(init, "__wrapped__"):
                thing.__init__ = checked(init)
            return thing
        if inspect.isgeneratorfunction(thing) or inspect.iscoroutinefunction(thing):
            return THEIRS(thing, typechecker=typechecker)  # it checks before the body begins
        return checked(thing)

    return decorate


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Checks arguments and what is returned; the names of axes hold for one call."""
    if not function.__annotations__:
        return function
    checking: Callable[..., Any] | None = None
    named = True  # whether the axes of an array have names

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checking, named
        if checking is None:
            names = ARRAYS | function.__globals__
            hints = {name: resolved(hint, names) for name, hint in function.__annotations__.items()}
            function.__annotations__ = hints
            named = any(map(has_axes, hints.values()))
            checking = beartype(function)
        if not named:
            return checking(*args, **kwargs)
        with OWN_AXES:
            return checking(*args, **kwargs)

    return call


def has_axes(hint: Any) -> bool:
    """Whether some part of a hint is an array whose axes are checked."""
    is_array = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return is_array or any(map(has_axes, get_args(hint)))


def resolved(hint: Any, names: dict[str, Any]) -> Any:
    """A hint without names in quotes; what only type checkers import may be anything."""
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": hint}), names)["it"]
    except NameError:
        return Any


jaxtyping.jaxtyped = check_calls
