"""Kills random workers of a small run at random moments, and compares all bytes with those of a run
that nobody disturbed.

python benchmarks/reliability/kill_workers.py [--executor processes] [--kills 20]
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

EXPERIMENT = """
[run]
folder = "out"
features = 16
features_per_shard = 1
processes = 2
executor = "{executor}"

[collect]
max_tokens = 12000

[contexts]
train = 60
inactive_train = 150
minimum = 4
"""
# what tells how long things took, who works there, and what went wrong on the way
VARYING = ("times.json", "status.json", "report.html", "experiment.json", ".lock", ".lock.json")
FILE = "experiment.toml"


@dataclass
class Told:
    """What came of it."""

    executor: str
    kills: int = 0
    runs: int = 0  # begun with nothing but contexts, and compared when they were done
    again: int = 0  # commands that were given once more, as their last sentence says
    same: bool = True
    different: list[str] = field(default_factory=list)  # files of the run that is not the same
    seconds: float = 0.0


def kill_workers(
    folder: Path, experiment: str, made: Path, told: Told, kills: int, rng: np.random.Generator
) -> None:
    """Run an experiment again and again, with so many kills in all, from the contexts of an
    undisturbed run on.
    """
    begun, expected = time.monotonic(), contents(made)
    while told.kills < kills and told.same:
        place = folder / f"disturbed-{told.runs}"
        shutil.copytree(made, place / "out")
        for verb in ("explain", "score", "collisions", "page"):
            shutil.rmtree(place / "out" / verb)
        (place / FILE).write_text(experiment)
        told.runs += 1
        while not ended_well(place, kills, told, rng):
            told.again += 1
        found = contents(place / "out")
        told.different = [
            name for name in {**expected, **found} if expected.get(name) != found.get(name)
        ]
        told.same = not told.different
        if told.same:
            shutil.rmtree(place)
    told.seconds = round(time.monotonic() - begun, 1)


def undisturbed(place: Path) -> Path:
    """The folder of a run of the same experiment in one process."""
    place.mkdir(parents=True)
    (place / FILE).write_text(EXPERIMENT.format(executor="serial"))
    process = gloss(place, "run")
    process.communicate()
    assert process.returncode == 0, (place / "said.txt").read_text()
    return place / "out"


def gloss(place: Path, verb: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from gloss.cli import main; main()", verb, FILE]
    with (place / "said.txt").open("a") as said:
        return subprocess.Popen(command, cwd=place, stdout=said, stderr=said, text=True)


def ended_well(place: Path, kills: int, told: Told, rng: np.random.Generator) -> bool:
    """Whether a command did all that was left, while workers were killed.

    Raises RuntimeError where it ended otherwise than it may.
    """
    process = gloss(place, "run")
    while process.poll() is None:
        time.sleep(rng.uniform(0.1, 3.0))
        if told.kills < kills and (found := workers(process.pid)):
            os.kill(int(rng.choice(found)), signal.SIGKILL)
            told.kills += 1
    said = (place / "said.txt").read_text()
    if process.returncode not in (0, 2) or "Traceback" in said:
        raise RuntimeError(f"ended with {process.returncode}:\n{said}")
    if process.returncode == 2 and "run the same command again" not in said:
        raise RuntimeError(said)
    return process.returncode == 0


def workers(parent: int) -> list[int]:
    """The processes that do shards for a command: its own, or actors of Ray's."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # it has just ended
            continue
        own = above == parent and "spawn_main" in command
        if own or command.startswith("ray::ShardActor"):
            found.append(int(folder.name))
    return found


def contents(folder: Path) -> dict[str, str]:
    """Hashes of all files but those that may differ."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in VARYING and path.parent.name != "log"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executor", default="processes")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told, rng = Told(asked.executor), np.random.default_rng(asked.seed)
        experiment, made = EXPERIMENT.format(executor=asked.executor), Path(folder) / "undisturbed"
        kill_workers(Path(folder), experiment, undisturbed(made), told, asked.kills, rng)
    print(json.dumps(asdict(told), indent=1))
    sys.exit(not told.same)


if __name__ == "__main__":
    main()
