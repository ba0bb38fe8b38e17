"""Parts of many shards become few files, with the same rows, whenever a process is killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gloss.errors import Damaged
from gloss.records import Explanation, FeatureId
from gloss.run.damage import find_damage
from gloss.store import compaction, results, shard_groups
from gloss.store.compaction import compact_parts, settle_parts
from gloss.store.record_rows import explanation_row
from gloss.store.results import (
    Part,
    done_shards,
    marked_pieces,
    read_columns,
    read_rows,
    table_files,
    unfinished_parts,
)

SHARDS, SIZE = 75, 6


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """Groups of 32 shards and row groups of 40 rows, so that a step has several of both."""
    for module in (compaction, shard_groups):
        monkeypatch.setattr(module, "SHARDS", 32)
    monkeypatch.setattr(compaction, "ROWS", 40)


def write_shard(folder, shard):
    rows = [
        explanation_row(Explanation(FeatureId("d", shard * SIZE + i), f"word {shard} {i}", "rule"))
        for i in range(shard % SIZE)  # every sixth shard has none
    ]
    Part(folder, shard).write({"explanations": rows, "failures": []}, note={"asked": shard})


def filled(folder, shards=SHARDS):
    for shard in range(shards):
        write_shard(folder, shard)
    return folder


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_rows_and_notes_of_groups_are_those_of_the_parts(tmp_path):
    apart, together = filled(tmp_path / "apart"), filled(tmp_path / "together")
    settle_parts(together, SHARDS)
    assert len(files(together)) == 6  # three groups, a table and a marker each
    assert read_rows([together], "explanations") == read_rows([apart], "explanations")
    assert read_rows([together], "failures") == []
    for shard in range(SHARDS):
        one, other = Part(apart, shard), Part(together, shard)
        assert other.is_done
        assert other.rows("explanations") == one.rows("explanations")
        assert other.rows("failures") == []
        assert other.row_counts() == one.row_counts()
        assert other.note()["asked"] == shard
    assert done_shards(together) == set(range(SHARDS))
    assert not Part(together, SHARDS).is_done
    assert [part.shard for part in unfinished_parts([Part(together, SHARDS)])] == [SHARDS]


def test_columns_alone_are_read_of_groups_and_of_parts(tmp_path):
    filled(tmp_path)
    before = read_columns([tmp_path], "explanations", ["feature", "text"])
    compact_parts(tmp_path, SHARDS)
    after = read_columns([tmp_path], "explanations", ["feature", "text"])
    assert before.column_names == after.column_names == ["feature", "text"]
    assert before.equals(after)
    none = read_columns([tmp_path], "failures", ["feature"])
    assert (none.num_rows, none.column_names) == (0, ["feature"])


def test_a_group_waits_for_its_last_shard_and_few_shards_stay(tmp_path):
    filled(tmp_path / "few", 31)
    before = files(tmp_path / "few")
    settle_parts(tmp_path / "few", 31)
    assert files(tmp_path / "few") == before
    folder = filled(tmp_path / "many")
    Part(folder, 40).marker.unlink()
    compact_parts(folder, SHARDS)
    assert sorted(path.name for path in folder.glob("group-*.done")) == [
        "group-00000.done",
        "group-00002.done",
    ]
    assert Part(folder, 41).marker.exists()
    write_shard(folder, 40)
    compact_parts(folder, SHARDS)
    assert not list(folder.glob("part-*"))
    assert len(table_files(folder, "explanations")) == 3


def test_parts_with_files_that_are_no_tables_stay(tmp_path):
    filled(tmp_path)
    (tmp_path / "vectors.npy").write_bytes(b"1")
    Part(tmp_path, 3).write({}, beside=[tmp_path / "vectors.npy"])
    compact_parts(tmp_path, SHARDS)
    assert Part(tmp_path, 3).marker.exists()
    assert not (tmp_path / "group-00000.done").exists()
    assert (tmp_path / "group-00001.done").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from gloss.store import atomic, compaction, shard_groups
compaction.SHARDS = shard_groups.SHARDS = 32
compaction.ROWS = 40
left = int(sys.argv[2])
def counted(work):
    def step(*given, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*given, **named)
    return step
for name in ("write_atomically", "write_bytes", "remove_path"):
    setattr(compaction, name, counted(getattr(compaction, name)))
atomic.flush_to_disk = counted(atomic.flush_to_disk)  # before a rename, too
compaction.settle_parts(Path(sys.argv[1]), 40)
"""


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 5, 6, 7, 9, 30, 60, 75])
def test_whenever_it_is_killed_all_rows_are_there_and_the_end_is_the_same(tmp_path, steps):
    whole = filled(tmp_path / "whole", 40)
    rows = read_rows([whole], "explanations")
    settle_parts(whole, 40)
    folder = filled(tmp_path / "killed", 40)
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(steps)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_rows([folder], "explanations") == rows
    assert done_shards(folder) == set(range(40))
    assert not any(piece.changed_files(whole=True) for piece in marked_pieces(folder))
    settle_parts(folder, 40)
    for path in list(folder.rglob("*.partial")):  # which the next writer clears away
        path.unlink()
    assert files(folder) == files(whole)


def test_a_group_that_changed_is_noticed_and_made_again(tmp_path):
    filled(tmp_path)
    compact_parts(tmp_path, SHARDS)
    whole = files(tmp_path)
    file = tmp_path / "explanations" / "group-00001.parquet"
    content = bytearray(file.read_bytes())
    content[40] ^= 4
    file.unlink()
    file.write_bytes(content)
    with pytest.raises(Damaged, match=r"group-00001\.parquet"):
        Part(tmp_path, 33).rows("explanations")
    assert read_rows([tmp_path], "failures") == []
    found = [piece for piece in marked_pieces(tmp_path) if piece.changed_files(whole=True)]
    assert [piece.marker.name for piece in found] == ["group-00001.done"]
    found[0].marker.unlink()
    file.unlink()
    assert done_shards(tmp_path) == {*range(32), *range(64, SHARDS)}
    for shard in range(32, 64):
        write_shard(tmp_path, shard)
    compact_parts(tmp_path, SHARDS)
    assert files(tmp_path) == whole


def test_what_was_put_together_while_it_was_being_read_is_still_read(tmp_path, monkeypatch):
    filled(tmp_path)
    rows = read_rows([tmp_path], "explanations")
    listed = results.table_pieces

    def late(folder, table):
        pieces = listed(folder, table)
        compact_parts(folder, SHARDS)
        return pieces

    monkeypatch.setattr(results, "table_pieces", late)
    assert read_rows([tmp_path], "explanations") == rows


def test_a_shard_that_is_put_together_between_two_looks_is_still_read(tmp_path, monkeypatch):
    filled(tmp_path)
    rows, look = Part(tmp_path, 1).rows("explanations"), results.group_of
    assert rows

    def late(folder, shard):
        found = look(folder, shard)
        monkeypatch.setattr(results, "group_of", look)
        compact_parts(folder, SHARDS)  # after the first look
        return found

    monkeypatch.setattr(results, "group_of", late)
    assert Part(tmp_path, 1).rows("explanations") == rows


def test_where_the_marker_of_a_group_is_damaged_parts_beside_it_are_none_the_worse(tmp_path):
    filled(tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("part-*") if path.is_file()}
    compact_parts(tmp_path, SHARDS)
    for path, content in kept.items():  # as if it had been killed before it removed them
        path.write_bytes(content)
    assert not find_damage_in(tmp_path)
    (tmp_path / "group-00000.done").write_bytes(b"?")
    assert find_damage_in(tmp_path) == ["group-00000.done"]
    Part(tmp_path, 3).file("explanations").write_bytes(b"?")
    assert find_damage_in(tmp_path) == ["group-00000.done", "part-00003.parquet"]


def find_damage_in(folder: Path) -> list[str]:
    return sorted(found.path.name for found in find_damage([folder], None))
