"""A small run, made once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import SMALL


@pytest.fixture(scope="session")
def small_run(made_once) -> Path:
    """The folder in which the small experiment has been run once, undisturbed, as a shell runs it.

    Many tests read it, perhaps at the same time.
    """
    return made_once("undisturbed", run_undisturbed)


def run_undisturbed(folder: Path) -> None:
    (folder / "experiment.toml").write_text(SMALL)
    command = [sys.executable, "-c", "from gloss.cli import main; main()", "run", "experiment.toml"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture
def folder(small_run: Path, tmp_path: Path) -> Path:
    """A folder in which everything that asks nobody has been done."""
    shutil.copytree(small_run / "out", tmp_path / "out")
    return tmp_path
