"""A small run, made once."""

import shutil
from pathlib import Path

import pytest
from small import SMALL, start


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """The folder in which the small experiment has been run once, undisturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "experiment.toml").write_text(SMALL)
    process = start(folder, "run", "experiment.toml")
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err + out
    return folder


@pytest.fixture
def folder(small_run: Path, tmp_path: Path) -> Path:
    """A folder in which everything that asks nobody has been done."""
    shutil.copytree(small_run / "out", tmp_path / "out")
    return tmp_path
