"""What differs between runs, or between methods of one: settings with their defaults filled in, and
what lies behind their names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from gloss.installed import load_installed
from gloss.run.experiment import Experiment, SettingsTable, method_label
from gloss.run.methods import ROOM, SettingsMapping, installed_methods, method_asks
from gloss.run.opened_run import OpenedRun

Settings = Mapping[str, Any]  # by `table.setting`
SEED = "run.seed"
# of [run], what no score depends on
FREE = ("folder", "processes", "executor", "features_per_shard")
# stages that look at scores, or make nothing that a score is made of
APART = ("collisions", "packing")
# of explainers and scorers, what changes no result of any explanation
NO_RESULTS = ("chat", "of", "controls")
# of a language model, what its answers depend on
ANSWERS = ("backend", "model", "revision", "base_url", "serve", "extra", "dtype", "weights", *ROOM)
ABSENT = "–"


def run_settings(run: OpenedRun) -> dict[str, Any]:
    """Every setting that scores depend on, but those of explainers and scorers."""
    asked = run.experiment
    tables: dict[str, Any] = {
        "run": {key: each for key, each in asdict(asked.run).items() if key not in FREE},
        "subject": asdict(asked.subject),
        "collect": asdict(asked.collect),
        "decompose": trained_settings(asked),
        "contexts": asdict(asked.sampling),
    }
    tables |= {
        name: asdict(each)
        for name, each in asked.stages.items()
        if is_dataclass(each) and not isinstance(each, type) and name not in APART
    }
    if len(asked.sample) == 1:
        tables["sample"] = settings_with_defaults("sample", asked.sample[0])
    else:
        tables["sample"] = {
            method_label(table): settings_with_defaults("sample", table) for table in asked.sample
        }
    return flatten(tables)


def trained_settings(asked: Experiment) -> SettingsTable:
    """What makes the dictionary another one; how it is called does not."""
    given = {key: each for key, each in asked.decompose.items() if key != "name"}
    return settings_with_defaults("decompose", given) if "method" in given else given


def label_settings(run: OpenedRun, verb: str, label: str) -> dict[str, Any]:
    """The settings of a run's explainer or scorer of this name, with what decides the answers of
    the language model that it asks.
    """
    asked = run.experiment
    table = next((each for each in asked.methods(verb) if method_label(each) == label), None)
    if table is None:
        return {}
    found = {
        name: each
        for name, each in settings_with_defaults(verb, table).items()
        if name not in NO_RESULTS
    }
    chat = asked.chat_of(table) if method_asks(verb, table) else None
    answers = chat.settings if chat else {}
    named = {name: each for name, each in answers.items() if name in ANSWERS}
    return flatten(found | {"chat": named})


def settings_with_defaults(verb: str, table: SettingsMapping) -> SettingsTable:
    """A method's settings, those that were left out with their defaults."""
    kind = load_installed(installed_methods(verb)[table["method"]])
    known = {
        each.name: each.default
        for each in fields(kind)
        if each.init and each.default is not MISSING and not is_dataclass(each.default)
    }
    return known | {key: each for key, each in table.items() if key != "name"}


def flatten(tables: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """One level of names, `table.setting`."""
    found: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = list(value) if isinstance(value, tuple) else value
    return found


def differing(settings: Sequence[Settings]) -> dict[str, tuple[Any, ...]]:
    """The settings that are not the same in all, each with its value in each."""
    names = dict.fromkeys(name for each in settings for name in each)
    values = {name: tuple(each.get(name, ABSENT) for each in settings) for name in names}
    return {name: each for name, each in values.items() if any(one != each[0] for one in each)}


def differing_names(settings: Sequence[Settings]) -> tuple[str, ...]:
    """The settings that differ by name; of methods of different kinds just the method, since they
    do not have the same settings.
    """
    names = list(differing(settings))
    other = [name.removesuffix("method") for name in names if name.endswith(".method")]
    return tuple(
        name
        for name in names
        if name.endswith(".method") or not any(name.startswith(table) for table in other)
    )


def shown_value(value: Any) -> str:
    """A setting's value for people: of a path its last part."""
    if isinstance(value, list | tuple):
        return ", ".join(map(shown_value, value)) or "none"
    if isinstance(value, str) and "/" in value and "://" not in value:
        return Path(value).name or value
    return f"{value:g}" if isinstance(value, float) else str(value)


def shown_values(values: Iterable[Any]) -> list[str]:
    """The values, whole where their last parts would not tell them apart."""
    given = list(values)
    short = list(map(shown_value, given))
    whole = list(map(str, given))
    return short if len(set(short)) == len(set(whole)) else whole
