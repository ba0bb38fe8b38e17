"""Row groups of one size and bytes that depend on the rows alone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.errors import Damaged, Unwritable
from gloss.store.parquet import GroupWriter, read_table

SCHEMA = pa.schema([("token", pa.uint32()), ("value", pa.float16())])
ENCODINGS = {"token": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"}


def write(path: Path, cuts: list[int], total: int = 50) -> bytes:
    rows = np.arange(total)
    with GroupWriter(path, SCHEMA, ENCODINGS, rows=8) as file:
        for part in np.split(rows, sorted(cuts)):
            file.add(token=part, value=part.astype(np.float16))
    return path.read_bytes()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=10))
def test_the_sizes_of_the_pieces_do_not_show(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    assert write(folder / "pieces", cuts) == write(folder / "whole", [])


def test_groups_encodings_and_rows(tmp_path: Path) -> None:
    write(tmp_path / "a", [13, 14])
    with pq.ParquetFile(tmp_path / "a") as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [
            8
        ] * 6 + [2]
        columns = [file.metadata.row_group(0).column(i) for i in range(2)]
        assert all(
            ENCODINGS[column.path_in_schema] in column.encodings and column.compression == "ZSTD"
            for column in columns
        )
        assert file.read()["token"].to_pylist() == list(range(50))


def test_a_file_that_cannot_be_made_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match=r"cannot write .*nowhere"):
        GroupWriter(tmp_path / "nowhere" / "a", SCHEMA)


def test_a_column_that_is_wanted_and_not_there_is_damage(tmp_path):
    pq.write_table(pa.table({"token": [1, 2]}), path := tmp_path / "part.parquet")
    with pytest.raises(Damaged, match=r"part\.parquet"):
        read_table(path, path, ["hash"])
    older = read_table(path, path, schema=pa.schema([("token", pa.int32()), ("new", pa.string())]))
    assert older.to_pylist() == [{"token": 1, "new": None}, {"token": 2, "new": None}]
