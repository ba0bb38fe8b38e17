"""A batch script for Slurm that runs an experiment as the tasks of an array."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gloss.errors import require_at_least
from gloss.run.experiment import Experiment
from gloss.run.progress import out
from gloss.store.atomic import write_bytes


@dataclass(frozen=True)
class SlurmSettings:
    """What a task of the array may have."""

    tasks: int = 4
    cpus: int = 0  # of each; 0: as many as [run] has processes
    gpus: int = 0  # of each
    hours: float = 24.0
    more: tuple[str, ...] = ()  # further options of sbatch

    def __post_init__(self) -> None:
        require_at_least(1, self, "tasks")
        require_at_least(0, self, "cpus", "gpus", "hours")


def write_slurm_script(path: Path, asked: SlurmSettings, output: Path | None = None) -> None:
    """Write the script of an experiment beside it, and say how it is given to Slurm.

    Raises BadInput and BadSettings for the experiment, before it stands in a queue.
    """
    experiment = Experiment.read(path)
    script = output or path.with_suffix(".sbatch")
    write_bytes(script, "\n".join(script_lines(path, experiment, asked)).encode())
    out.print(f"sbatch {shlex.quote(str(script))}", highlight=False, soft_wrap=True)


def script_lines(path: Path, experiment: Experiment, asked: SlurmSettings) -> Iterator[str]:
    """The script, line by line."""
    cpus, minutes = asked.cpus or experiment.run.processes, round(asked.hours * 60)
    yield "#!/bin/bash"
    options: Sequence[str] = (
        f"--job-name=gloss-{path.stem}",
        f"--array=0-{asked.tasks - 1}",
        "--ntasks=1",
        f"--cpus-per-task={cpus}",
        *([f"--gres=gpu:{asked.gpus}"] if asked.gpus else []),
        f"--time={minutes // 60}:{minutes % 60:02}:00",
        f"--output={path.stem}-%A_%a.log",
        "--requeue",  # what was done stays done
        *asked.more,
    )
    yield from (f"#SBATCH {option}" for option in options)
    yield ""
    yield "# Each task does its share of the shards of a stage and waits for the others before the"
    yield "# next; the first one writes pages and report. Given again, it goes on where it was."
    yield "set -e"
    yield f"cd {shlex.quote(str(Path.cwd()))}"
    gloss = shlex.quote(str(Path(sys.executable).with_name("gloss")))
    yield f"exec {gloss} run {shlex.quote(str(path))} --executor slurm"
    yield ""
