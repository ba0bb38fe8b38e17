"""What is installed: this version of gloss; and under a name methods, formats and matchers, gloss'
own and strangers' alike, found through entry points.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gloss.errors import BadSettings, error_cause

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# A constant, and not what is written of an installed package: results are kept by it, and gloss
# also runs from a checkout that nobody installed. pyproject.toml and CITATION.cff state it too.
__version__ = "0.1.0"
OWN = "gloss."  # what the modules of gloss' own entry points begin with


@cache
def installed(group: str) -> Mapping[str, "EntryPoint"]:
    """The entry points of a group, by name, in alphabetical order.

    Where two packages offer one name, gloss' own counts, then the first by the module's name.
    """
    from importlib.metadata import entry_points  # slow, and `import gloss` needs none

    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=precedence):
        found.setdefault(point.name, point)
    return MappingProxyType({name: found[name] for name in sorted(found)})


def precedence(point: "EntryPoint") -> tuple[bool, str]:
    """What comes first where two packages offer the same name."""
    return not is_own(point), point.value


def is_own(point: "EntryPoint") -> bool:
    """Whether gloss itself holds what the entry point names."""
    return point.module.startswith(OWN)


def load_installed(point: "EntryPoint") -> Any:
    """What the entry point names.

    Raises BadSettings, which names the package, where importing it raises anything.
    """
    try:
        return point.load()
    except Exception as problem:
        raise BadSettings(
            f"{point.name} ({point.group}) of {package_name(point)} cannot be imported"
            f" ({error_cause(problem)}); mend {point.module}, or remove the package"
        ) from problem


def package_name(point: "EntryPoint") -> str:
    """The package that offers an entry point, as people install it."""
    return f"the package {point.dist.name}" if point.dist is not None else point.module


def listed(names: Iterable[str]) -> str:
    """Names in a sentence: `a, b or c`."""
    *most, last = [str(name) for name in names] or ["none"]
    return f"{', '.join(most)} or {last}" if most else last
