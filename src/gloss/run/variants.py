"""Several experiments of one file: its table [vary] names settings and the values of each."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

from gloss.errors import BadSettings
from gloss.run.experiment import VARY, Experiment, RunSettings, SettingsTable, read_tables

MOST_RUNS = 200
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def read_variants(path: Path) -> list[Experiment]:
    """The experiments of a file, in the order of its values: every combination of what [vary]
    names, each in a folder of its own inside the file's; one where there is no such table.

    Raises BadInput and BadSettings as `Experiment.read` does.
    """
    tables = read_tables(path)
    varied = tables.pop(VARY, None)
    if varied is None:
        return [Experiment.of(tables)]
    return [Experiment.of(one) for one in varied_tables(tables, varied)]


def varied_tables(tables: SettingsTable, varied: Any) -> Iterator[SettingsTable]:
    """The tables of each experiment, with its folder."""
    if not isinstance(varied, Mapping) or not varied:
        raise BadSettings(
            f'[{VARY}] must name settings and their values, as in "contexts.context_length" ='
            f" [16, 32]; got {varied!r}"
        )
    if "run.folder" in varied:
        raise BadSettings(
            f"[{VARY}] gives each run a folder of its own, inside the file's; leave run.folder out"
        )
    choices = [list(named_values(key, values)) for key, values in varied.items()]
    combinations = list(product(*choices))
    if len(combinations) > MOST_RUNS:
        raise BadSettings(
            f"[{VARY}] makes {len(combinations):,} runs, {MOST_RUNS} at most; name fewer values"
        )
    folder = tables.get("run", {}).get("folder", RunSettings.folder)
    seen: set[str] = set()
    for combination in combinations:
        name = "_".join(name for name, _ in combination)
        if name in seen:
            raise BadSettings(
                f"[{VARY}] has two runs that would be called {name!r}; give values names, as in"
                ' "collect.texts" = {stories = ["a.txt"], news = ["b.txt"]}'
            )
        seen.add(name)
        made = deepcopy(tables)
        for key, (_, value) in zip(varied, combination, strict=True):
            set_value(made, key, value)
        made.setdefault("run", {})["folder"] = f"{folder}/{name}"
        yield made


def named_values(key: str, values: Any) -> Iterator[tuple[str, Any]]:
    """Each value of a setting, with its name in folders."""
    if isinstance(values, Mapping) and values:
        named = list(values.items())
    elif isinstance(values, list) and values:
        named = [(f"{key.rpartition('.')[2]}-{value}", value) for value in values]
    else:
        raise BadSettings(
            f"[{VARY}].{key} must be a list of values, or a table of named ones; got {values!r}"
        )
    for name, value in named:
        yield NOT_IN_NAMES.sub("-", name).strip("-.") or "value", value


def set_value(tables: SettingsTable, key: str, value: Any) -> None:
    """Put a value where a key such as `contexts.context_length` or `decompose` says.

    Raises BadSettings where another than a table stands on the way.
    """
    *tables_on_the_way, last = key.split(".")
    inside = tables
    for name in tables_on_the_way:
        inside = inside.setdefault(name, {})
        if not isinstance(inside, dict):
            raise BadSettings(
                f"[{VARY}] cannot reach {key}: {name} is a list of tables; vary {name} as a whole,"
                " or name several methods in it"
            )
    inside[last] = deepcopy(value)
