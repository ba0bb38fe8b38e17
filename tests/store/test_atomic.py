"""Files and folders appear whole or not at all, and a disk that refuses is told in one sentence."""

import json
import math
import multiprocessing
import resource
from pathlib import Path

import pytest

from gloss.errors import Unwritable
from gloss.store.atomic import new_folder, write_atomically, write_bytes, write_json


def test_a_file_is_written_and_its_folders_are_made(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b.txt", b"whole")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"whole"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "a", fail)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_folder_appears_when_its_block_ends(tmp_path: Path) -> None:
    with new_folder(tmp_path / "above" / "new") as partial:
        (partial / "inside").write_text("x")
        assert not (tmp_path / "above" / "new").exists()
    assert [path.name for path in (tmp_path / "above").iterdir()] == ["new"]
    assert (tmp_path / "above" / "new" / "inside").read_text() == "x"


def test_a_folder_whose_block_fails_leaves_nothing_not_even_the_folders_above(
    tmp_path: Path,
) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "above" / "new") as partial:
            (partial / "inside").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_name_do_not_share_what_is_half_written(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a") as one, new_folder(tmp_path / "b") as other:
        (one / "inside").write_text("one")
        third = new_folder(tmp_path / "a")
        assert third.__enter__() not in (one, other)
        assert not third.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert (tmp_path / "a" / "inside").read_text() == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_where_a_folder_should_be_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        Unwritable,
        match=r"cannot write .*/file/a: .*; give a folder that can be written and has room",
    ):
        write_bytes(tmp_path / "file" / "a", b"")
    with pytest.raises(Unwritable, match="cannot write"), new_folder(tmp_path / "file" / "a"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_the_system_that_is_read_only_is_told_in_one_sentence() -> None:
    with pytest.raises(Unwritable, match="cannot write /proc/gloss/a: "):
        write_bytes(Path("/proc/gloss/a"), b"")


def fill(path: Path) -> None:
    """Write more than the process may."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        write_bytes(path, bytes(2000))
    except Unwritable as error:
        path.with_name("said").write_text(str(error))


def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=fill, args=(tmp_path / "a",))
    process.start()
    process.join(60)
    assert [path.name for path in tmp_path.iterdir()] == ["said"]
    assert (
        (tmp_path / "said").read_text()
        == f"cannot write {tmp_path}/a: file too large; give a folder that can be written and has"
        " room"
    )


def test_what_is_not_a_number_is_null_in_json(tmp_path):
    write_json(tmp_path / "x.json", {"a": (1.5, math.nan), 3: [math.inf, "ü", None, True]})
    assert json.loads((tmp_path / "x.json").read_text("utf-8"), parse_constant=pytest.fail) == {
        "a": [1.5, None],
        "3": [None, "ü", None, True],
    }
