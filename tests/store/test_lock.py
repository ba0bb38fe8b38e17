"""One writer a folder: the second is told who the first is, or waits.

A killed one leaves nothing that matters.
"""

import errno
import fcntl
import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from gloss.errors import Busy, Unwritable
from gloss.store.lock import sole_writer


def hold(folder: Path, holds: Event, may_end: Event) -> None:
    with sole_writer(folder):
        (folder / ".a.1-x.partial").write_text("half")
        (folder / "inner").mkdir(exist_ok=True)
        (folder / "inner" / ".b.1-x.partial").mkdir(exist_ok=True)
        (folder / "whole").write_text("kept")
        holds.set()
        may_end.wait(60)


@pytest.fixture
def other(tmp_path: Path):
    """Another process that holds the folder, and what lets it end."""
    context = multiprocessing.get_context("spawn")
    holds, may_end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", holds, may_end))
    process.start()
    assert holds.wait(60)
    yield process, may_end
    # setting an event waits for whoever waits for it, which a killed process never answers
    if process.is_alive():
        may_end.set()
    process.join(60)


def test_a_second_writer_is_told_who_works_there(other, tmp_path: Path) -> None:
    process, _ = other
    with pytest.raises(
        Busy, match=rf"another gloss \(process {process.pid} on .*\) works in .*run; wait"
    ):
        sole_writer(tmp_path / "run").__enter__()


def test_a_second_writer_waits_if_asked(
    other, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process, may_end = other
    may_end.set()
    with sole_writer(tmp_path / "run", wait=True):
        assert (tmp_path / "run" / "whole").exists()
    process.join(60)


def test_the_lock_goes_with_a_killed_process_and_what_it_left_half_written_is_cleared_away(
    other, tmp_path: Path
) -> None:
    process, _ = other
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    folder = tmp_path / "run"
    (folder / "page").mkdir()
    with sole_writer(folder):
        assert not [path for path in folder.rglob("*") if path.name.endswith(".partial")]
        assert (folder / "whole").read_text() == "kept"
    assert {path.name for path in folder.iterdir()} == {"inner", "page", "whole", ".lock"}


def test_one_process_may_lock_a_folder_again(tmp_path: Path) -> None:
    with sole_writer(tmp_path), sole_writer(tmp_path):
        assert (tmp_path / ".lock.json").exists()
    assert not (tmp_path / ".lock.json").exists()


def test_other_things_in_a_folder_have_locks_of_their_own(tmp_path: Path) -> None:
    with sole_writer(tmp_path, of="a"):
        (tmp_path / ".x-a.1-x.partial").write_text("half")
        with sole_writer(tmp_path, of="b"):
            assert (tmp_path / ".x-a.1-x.partial").exists()


def test_folders_that_were_made_for_nothing_go_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), sole_writer(tmp_path / "above" / "run"):
        raise ZeroDivisionError
    assert not (tmp_path / "above").exists()


def test_a_file_system_without_locks_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):

        def refuse(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", refuse)
        with (
            pytest.raises(Unwritable, match=r"grants no locks .*; give a folder on a local disk"),
            sole_writer(tmp_path / "run"),
        ):
            pass
        monkeypatch.undo()


def test_the_file_of_a_lock_stays_so_that_all_machines_lock_the_same(tmp_path: Path) -> None:
    with sole_writer(tmp_path):
        before = (tmp_path / ".lock").stat().st_ino
    with sole_writer(tmp_path):
        assert (tmp_path / ".lock").stat().st_ino == before


def test_links_and_partial_folders_of_killed_writers_are_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".page.1-x.partial").symlink_to(tmp_path / "elsewhere")
    with sole_writer(tmp_path / "run"):
        pass
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert (tmp_path / "elsewhere" / "kept").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unwritable, match="cannot write"), sole_writer(tmp_path / "file"):
        pass


def count_up(folder: Path, times: int) -> None:
    for _ in range(times):
        with sole_writer(folder, wait=True):
            before = int((folder / "n").read_text())
            time.sleep(0.005)
            (folder / "n").write_text(str(before + 1))


def test_no_two_are_inside_at_once(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count_up, args=(tmp_path, 5)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert (tmp_path / "n").read_text() == "15"
