"""A run of the embedded subject that is small enough to be made in a test."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from forking import forking
from gloss.run import progress
from gloss.run.opened_run import OpenedRun
from gloss.run.pipeline import run_step
from gloss.run.stage import Job, planned_steps
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


COMMAND = "from gloss.cli import main; main()"
VARYING = ("times.json", "status.json", "report.html", "subject.json")


class Command:
    """`gloss ARGUMENTS` in a process of its own, forked from one that has done the slow imports;
    or other code that reads these arguments.
    """

    def __init__(self, folder: Path, arguments: tuple[str, ...], code: str = COMMAND) -> None:
        self.said = Path(tempfile.mkdtemp())
        for stream in ("stdout", "stderr"):
            (self.said / stream).touch()
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        self.process = forking().Process(
            target=be_command, args=(folder, arguments, code, environment, self.said)
        )
        self.process.start()

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it said on each stream; it is killed where it takes longer."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            raise subprocess.TimeoutExpired(str(self.process), timeout or 0)
        out, err = ((self.said / stream).read_text() for stream in ("stdout", "stderr"))
        shutil.rmtree(self.said)
        return out, err


def be_command(
    folder: Path, arguments: tuple[str, ...], code: str, environment: Mapping[str, str], said: Path
) -> None:
    """Runs the code as the shell would start it."""
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = ["", *environment.get("PYTHONPATH", "").split(os.pathsep)]
    os.chdir(folder)
    sys.argv = ["gloss", *arguments]
    for stream in (sys.__stdout__, sys.__stderr__):
        with (said / stream.name.strip("<>")).open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    if columns := environment.get("COLUMNS"):  # which a console reads when it is made
        progress.out.width = progress.console.width = int(columns)
    exec(code, {"__name__": "__main__"})


def start(folder: Path, *arguments: str) -> Command:
    return Command(folder, arguments)


def ran(
    folder: Path, *arguments: str, seconds: float = 200, code: str = COMMAND
) -> tuple[int | None, str, str]:
    """The exit status of a command, and what it said."""
    process = Command(folder, arguments, code)
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def contents(folder: Path) -> dict[str, str]:
    """Hashes of all files but those that tell how long things took, and locks."""
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in VARYING and not path.name.startswith(LOCK)
    ]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def edit(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change every row of a part's table, as if its stage had written it so."""
    edit_table(file, lambda rows: [change(row) for row in rows])


def edit_table(file: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Change the rows of a part's table, as if its stage had written them so."""
    part = Part(file.parents[1], int(file.stem.removeprefix("part-")))
    note = part.note()
    rows = {table: part.rows(table) for table in note.pop("rows")}
    beside = [
        part.folder / name
        for name in note.pop("files")
        if not name.endswith(".parquet") or "/part-" not in name
    ]
    rows[file.parent.name] = change(list(rows[file.parent.name]))
    part.write(rows, note=note, beside=beside)


def reseal(path: Path, **changed: Any) -> None:
    """Change sealed JSON, as if it had been written so."""
    path.write_bytes(seal_json(read_sealed_json(path) | changed))


def job_of(run: OpenedRun, name: str) -> Job:
    """What a stage of a run is given, by the name of its step; nobody answers."""
    return Job(run, next(step for step in planned_steps(run.experiment) if step.name == name))


def run_one_step(run: OpenedRun, name: str) -> None:
    """Do one step of a run, and none that comes before it."""
    run_step(run, job_of(run, name).step)
