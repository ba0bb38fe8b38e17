"""Executors run every shard that is left, and stop at the first error."""

import functools
from pathlib import Path

import pytest

from gloss.run.execute.executors import ProcessExecutor, SerialExecutor


def leave_a_mark(folder: Path, shard: int) -> None:
    (folder / str(shard)).touch()


def refuse(shard: int) -> None:
    raise ValueError(f"shard {shard}")


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(1), ProcessExecutor(2)])
def test_every_shard_is_run_and_told(tmp_path, executor):
    told = []
    executor.run(functools.partial(leave_a_mark, tmp_path), [0, 2, 5], lambda: told.append(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2", "5"]
    assert len(told) == 3


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(2)])
def test_the_first_error_ends_the_run(executor):
    with pytest.raises(ValueError, match="shard"):
        executor.run(refuse, [0, 1, 2], lambda: None)
