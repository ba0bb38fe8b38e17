"""Executors run every shard that is left, stop at the first error, and do again what a killed
worker took with it.
"""

import functools
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from gloss.errors import BadInput, Stopped
from gloss.run.execute.executors import CARDS, ProcessExecutor, SerialExecutor


def leave_a_mark(folder: Path, shard: int) -> None:
    (folder / str(shard)).touch()


def refuse(shard: int) -> None:
    raise ValueError(f"shard {shard}")


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(1), ProcessExecutor(2)])
def test_every_shard_is_run_and_told(tmp_path, executor):
    told = []
    executor.run(functools.partial(leave_a_mark, tmp_path), [0, 2, 5], told.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2", "5"]
    assert sorted(told) == [0, 2, 5]


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(2)])
def test_the_first_error_ends_the_run(executor):
    with pytest.raises(ValueError, match="shard"):
        executor.run(refuse, [0, 1, 2], lambda shard: None)


def first_slowly(shard: int) -> None:
    if shard == 7:
        time.sleep(2)


def test_it_is_told_which_shard_is_done():
    told = []
    ProcessExecutor(2).run(first_slowly, [7, 1, 2, 3], told.append)
    assert sorted(told) == [1, 2, 3, 7]
    assert told[-1] == 7


def tell_place(folder: Path, shard: int) -> None:
    """Which card this process sees, and how many threads it has."""
    import torch

    time.sleep(0.3)
    said = f"{os.environ.get(CARDS)} {torch.get_num_threads()}"
    (folder / f"{os.getpid()}-{shard}").write_text(said)


def test_steps_that_hold_weights_are_spread_where_that_is_asked(tmp_path, monkeypatch):
    """No card is here: what each process would see of several is what is tested."""
    assert ProcessExecutor(3).with_weights == SerialExecutor()
    monkeypatch.setenv(CARDS, "4,6")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    told = []
    executor = ProcessExecutor(2, weights=True).with_weights
    executor.run(functools.partial(tell_place, tmp_path), range(4), told.append)
    assert sorted(told) == [0, 1, 2, 3]
    seen = {}
    for path in tmp_path.iterdir():
        seen.setdefault(path.name.partition("-")[0], set()).add(path.read_text())
    assert all(len(said) == 1 for said in seen.values())  # a process stays where it is
    cards, threads = zip(*(text.split() for said in seen.values() for text in said), strict=True)
    assert sorted(cards) == ["4", "6"]
    assert all(int(each) <= max(1, os.cpu_count() // 2) for each in threads)


def die_once(folder: Path, shard: int) -> None:
    with (folder / f"tries-{shard}").open("a") as tries:
        tries.write("x")
    if shard in (1, 3) and (folder / f"tries-{shard}").stat().st_size < 3:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_costs_its_shard_another_try_and_nothing_else(tmp_path, caplog):
    told = []
    ProcessExecutor(2).run(functools.partial(die_once, tmp_path), range(6), told.append)
    assert sorted(told) == list(range(6))
    tries = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert tries == {f"tries-{shard}": 3 if shard in (1, 3) else 1 for shard in range(6)}
    lost = [record.getMessage() for record in caplog.records if record.name == "gloss.lost"]
    assert len(lost) == 4
    assert all("was ended by SIGKILL at shard" in line for line in lost)


def die(folder: Path, shard: int) -> None:
    (folder / f"{time.monotonic_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_shard_that_takes_every_worker_with_it_ends_the_run(tmp_path):
    with pytest.raises(Stopped, match=r"5 worker processes were lost at shard \d .*SIGKILL"):
        ProcessExecutor(2).run(functools.partial(die, tmp_path), range(4), lambda shard: None)
    assert 5 <= len(list(tmp_path.iterdir())) <= 10


def leave(shard: int) -> None:
    os._exit(3)


def test_a_worker_that_ends_by_itself_is_not_started_again():
    with pytest.raises(Stopped, match="ended by itself with exit code 3"):
        ProcessExecutor(2).run(leave, range(4), lambda shard: None)


class OddError(BadInput):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def refuse_oddly(shard: int) -> None:
    raise OddError("this", "that") if shard else BadInput("a sentence")


@pytest.mark.parametrize(
    ("shards", "kind", "text"),
    [([0, 0], BadInput, "a sentence"), ([1, 1], RuntimeError, "OddError: this and that")],
)
def test_errors_travel_as_far_as_they_can(shards, kind, text):
    with pytest.raises(kind, match=text) as raised:
        ProcessExecutor(2).run(refuse_oddly, shards, lambda shard: None)
    assert "refuse_oddly" in raised.value.__notes__[0]


OPENED: list[int] = []


@dataclass(frozen=True)
class OpeningWork:
    """Says what was opened before its process was forked, and whose child it is."""

    folder: Path

    def prepare(self) -> None:
        OPENED.append(os.getpid())
        with (self.folder / "opened").open("a") as opened:
            opened.write("x")

    def __call__(self, shard: int) -> None:
        time.sleep(0.3)
        said = f"{os.getpid()} {os.getppid()} {OPENED}"
        (self.folder / f"shard-{shard}").write_text(said)
        if shard == 3 and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are taken in on Linux alone")
def test_workers_that_begin_together_share_what_is_opened_and_are_children_of_the_run(tmp_path):
    """One that is lost is begun by itself."""
    told = []
    ProcessExecutor(2).run(OpeningWork(tmp_path), range(6), told.append)
    assert sorted(told) == [*range(6)]
    said = [(tmp_path / f"shard-{shard}").read_text().split(" ", 2) for shard in range(6)]
    assert {int(parent) for _, parent, _ in said} == {os.getpid()}
    assert (tmp_path / "opened").read_text() == "x"
    opened = {held for *_, held in said}
    assert opened != {"[]"}  # as of one that is begun anew
    shared = opened - {"[]"}
    assert len(shared) == 1
    assert str(os.getpid()) not in shared.pop()


@dataclass(frozen=True)
class ArrowWork:
    """Says whether Arrow brought pandas with it, and a table of which pandas makes one of its own
    is none the worse.
    """

    folder: Path

    def prepare(self) -> None:
        pa.array([1, None])

    def __call__(self, shard: int) -> None:
        before = "pandas" in sys.modules
        frame = pa.table({"a": [1, 3]}).to_pandas()
        (self.folder / f"shard-{shard}").write_text(f"{before} {frame['a'].tolist()}")


@pytest.mark.skipif(sys.platform != "linux", reason="others begin each by itself")
def test_workers_do_without_pandas_until_somebody_asks_for_it(tmp_path):
    pytest.importorskip("pandas", reason="pandas is not installed")
    ProcessExecutor(2).run(ArrowWork(tmp_path), range(2), lambda shard: None)
    for shard in range(2):
        assert (tmp_path / f"shard-{shard}").read_text() == "False [1, 3]"


class NothingOpened:
    """Work whose opening fails."""

    def prepare(self) -> None:
        raise OSError("nothing here")

    def __call__(self, shard: int) -> None:
        if shard == 1:
            raise BadInput("nothing here")


def test_what_cannot_be_opened_is_told_by_the_work_itself():
    with pytest.raises(BadInput, match="nothing here"):
        ProcessExecutor(2).run(NothingOpened(), [0, 1], lambda shard: None)
