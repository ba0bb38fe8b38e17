"""Behind `gloss merge`: an experiment on the texts of several runs, whose activations are put
together from theirs.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gloss.errors import BadSettings
from gloss.run.commands.init import toml_string
from gloss.run.experiment import Experiment, SettingsTable
from gloss.run.opened_run import OpenedRun
from gloss.run.pipeline import run_until
from gloss.run.plan import recorded_dtype
from gloss.run.planning import read_run
from gloss.run.progress import out
from gloss.store.atomic import write_bytes

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def merge_runs(folders: Sequence[Path], into: Path, *, wait: bool = False) -> None:
    """Write the experiment of a merge beside its folder, collect what it says, and print the
    command that goes on from there.

    Raises BadSettings for fewer than two runs and for a file of another experiment; what cannot be
    merged raises what `gloss collect` raises.
    """
    tables = merged_tables(folders, into)
    path, content = into.with_name(f"{into.name}.toml"), experiment_toml(tables)
    if path.exists() and path.read_text("utf-8") != content:
        raise BadSettings(
            f"{path} is there, and is not what this merge would write; remove it, or merge into"
            " another folder"
        )
    experiment = Experiment.of(tomllib.loads(content))
    write_bytes(path, content.encode())
    run_until(experiment, "collect", wait=wait)
    out.print(f"gloss run {path}", highlight=False, markup=False, soft_wrap=True)


def merged_tables(folders: Sequence[Path], into: Path) -> SettingsTable:
    """The experiment of the first run, on what all of them have collected."""
    if len(folders) < 2:
        raise BadSettings("a merge wants two runs or more; give the folders of them all")
    runs = [read_run(folder) for folder in folders]
    first = runs[0]
    tables = first.experiment.tables()
    texts = (text for run in runs for text in run.experiment.collect.texts)
    limits = [run.experiment.collect.max_tokens for run in runs]
    tables["run"]["folder"] = str(into)
    tables["collect"] |= {
        "merge": [str(folder) for folder in folders],
        "texts": list(dict.fromkeys(texts)),
        "max_tokens": sum(map(collected_tokens, runs)) if any(limits) else 0,
    }
    if "method" in tables["decompose"]:  # which is trained already
        name = tables["decompose"].get("name") or first.dictionary_name
        tables["decompose"] = {"dictionary": str(folders[0]), "name": name}
    tables["subject"]["dtype"] = (
        recorded_dtype(first.place("decompose")) or tables["subject"]["dtype"]
    )
    return tables


def collected_tokens(run: OpenedRun) -> int:
    """How many tokens a run has collected. Raises BadInput where it has not."""
    return run.activations.tokens


def experiment_toml(tables: SettingsTable) -> str:
    """The file of an experiment: what differs from the defaults."""
    usual = json.loads(json.dumps(Experiment.of({}).tables()))
    lines: list[str] = []
    for name, table in json.loads(json.dumps(tables)).items():
        known = usual.get(name)
        if table == known:
            continue
        for each in table if isinstance(table, list) else [table]:
            own = {
                key: value
                for key, value in each.items()
                if isinstance(table, list) or key not in (known or {}) or value != known[key]
            }
            lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
            lines += [f"{toml_key(key)} = {toml_value(value)}" for key, value in own.items()]
            lines.append("")
    return "\n".join(lines)


def toml_key(key: str) -> str:
    """A key of TOML."""
    return key if BARE_KEY.fullmatch(key) else toml_value(key)


def toml_value(value: Any) -> str:
    """A value of TOML, on one line."""
    if isinstance(value, Mapping):
        pairs = (f"{toml_key(str(key))} = {toml_value(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return toml_string(value) if isinstance(value, str) else json.dumps(value)
