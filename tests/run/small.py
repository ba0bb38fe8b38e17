"""A run of the embedded subject that is small enough to be made in a test."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gloss.store.lock import LOCK
from gloss.store.results import Part
from gloss.store.sealed_json import read_sealed_json, seal_json

SMALL = """
[run]
folder = "out"
features = 12
features_per_shard = 3
processes = 1

[collect]
max_tokens = 12000

[contexts]
train = 60
inactive_train = 150
minimum = 4
"""


VARYING = ("times.json", "report.html", "subject.json")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    code = "from gloss.cli import main; main()"
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(folder: Path, *arguments: str, seconds: float = 200) -> tuple[int, str, str]:
    """The exit status of a command, and what it said."""
    with start(folder, *arguments) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            process.kill()
    return process.returncode, out, err


def contents(folder: Path) -> dict[str, str]:
    """Hashes of all files but those that tell how long things took, and locks."""
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in VARYING and path.name != LOCK
    ]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def edit(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change every row of a part's table, as if its stage had written it so."""
    part = Part(file.parents[1], int(file.stem.removeprefix("part-")))
    note = part.note()
    rows = {table: part.rows(table) for table in note.pop("rows")}
    beside = [
        part.folder / name
        for name in note.pop("files")
        if not name.endswith(".parquet") or "/part-" not in name
    ]
    rows[file.parent.name] = [change(row) for row in rows[file.parent.name]]
    part.write(rows, note=note, beside=beside)


def reseal(path: Path, **changed: Any) -> None:
    """Change sealed JSON, as if it had been written so."""
    path.write_bytes(seal_json(read_sealed_json(path) | changed))
