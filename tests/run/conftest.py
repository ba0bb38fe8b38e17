"""A small run, made once, and one thread for who asks."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small import SMALL, ran


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_run(made_once) -> Path:
    """The folder in which the small experiment has been run once, undisturbed.

    Many tests read it, perhaps at the same time.
    """
    return made_once("undisturbed", run_undisturbed)


def run_undisturbed(folder: Path) -> None:
    (folder / "experiment.toml").write_text(SMALL)
    status, out, err = ran(folder, "run", "experiment.toml", seconds=280)
    assert status == 0, err + out


@pytest.fixture
def folder(small_run: Path, tmp_path: Path) -> Path:
    """A folder in which everything that asks nobody has been done."""
    shutil.copytree(small_run / "out", tmp_path / "out")
    return tmp_path
