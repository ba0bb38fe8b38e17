"""Many shards' results in few files: one Parquet file a table and one marker for 512 shards."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64
from numpy import ndarray

from gloss.store.marked_files import MarkedFiles
from gloss.store.parquet import (
    Columns,
    columns_of_schema,
    footer_digest,
    open_parquet,
    parquet_errors,
    with_schema,
)
from gloss.store.schemas import SCHEMAS
from gloss.store.sealed_json import damage_error, read_sealed_json

SHARDS = 512  # in a group
SHARD_NOTES, FIRST, FOOTERS = "shards", "first", "footers"  # what its marker holds besides files
OPEN = 32  # files of groups that a process keeps open, and markers that it keeps read
# of Parquet readers, which are no one's but one thread's at a time
READING = threading.Lock()


@dataclass(frozen=True)
class ShardGroup(MarkedFiles):
    """Shards that follow each other, once all of them are done.

    A reader that meets a shard's own part beside it takes the group's word.
    """

    number: int

    @property
    def marker(self) -> Path:
        return self.folder / f"group-{self.number:05d}.done"

    def file(self, table: str) -> Path:
        return self.folder / table / self.marker.with_suffix(".parquet").name

    @property
    def is_done(self) -> bool:
        return self.marker.exists()

    @property
    def content(self) -> Mapping[str, Any]:
        """What its marker says. Raises Damaged."""
        return read_group_marker(self.marker, file_stamp(self.marker))

    @property
    def shards(self) -> range:
        """The numbers of its shards."""
        first = self.content[FIRST]
        return range(first, first + len(self.content[SHARD_NOTES]))

    def note(self, shard: int) -> dict[str, Any]:
        """What the marker of one of its shards said: its `rows` by table, and what was noted."""
        return dict(self.content[SHARD_NOTES][shard - self.content[FIRST]])

    @property
    def tables(self) -> list[str]:
        """The tables of which it has rows."""
        return sorted(
            {
                table
                for note in self.content[SHARD_NOTES]
                for table, rows in note["rows"].items()
                if rows
            }
        )

    def read(
        self, table: str, columns: Columns | None = None, shard: int | None = None
    ) -> pa.Table:
        """The rows of one kind, of all its shards or of one, in their order, with all columns or
        these.

        Reads the row groups of the wanted rows alone, held against their checksums. Raises Damaged.
        """
        schema, path = columns_of_schema(SCHEMAS.get(table), columns), self.file(table)
        ends = shard_ends(self.marker, file_stamp(self.marker), table)
        place = -1 if shard is None else shard - self.content[FIRST]
        begin, end = 0 if place < 1 else int(ends[place - 1]), int(ends[place])
        if begin == end:
            return (schema or pa.schema([])).empty_table()
        with READING, parquet_errors(path):
            opened = open_group_file(
                path, self.content[FOOTERS][path.relative_to(self.folder).as_posix()]
            )
            first, last = np.searchsorted(opened.ends, [begin, end - 1], side="right").tolist()
            known = opened.file.schema_arrow.names
            wanted = columns if schema is None else [name for name in schema.names if name in known]
            found = opened.file.read_row_groups(
                [*range(first, last + 1)], columns=wanted, use_threads=False
            )
        before = int(opened.ends[first - 1]) if first else 0
        return with_schema(found.slice(begin - before, end - begin), schema)


@dataclass(frozen=True)
class GroupFile:
    """An open Parquet file, and how many rows there are up to the end of each row group."""

    file: pq.ParquetFile
    ends: Int64[ndarray, " row_group"]


def group_of(folder: Path, shard: int) -> ShardGroup | None:
    """The group that holds a shard; None where none does."""
    group = ShardGroup(folder, shard // SHARDS)
    return group if group.is_done and shard in group.shards else None


def file_stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is replaced. Raises Damaged where there is none."""
    try:
        found = path.stat()
    except OSError as problem:
        raise damage_error(path, "it is missing") from problem
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=OPEN)
def read_group_marker(marker: Path, stamp: tuple[int, int]) -> Mapping[str, Any]:
    """A marker's content, read once while it stays as it is."""
    return read_sealed_json(marker)


@lru_cache(maxsize=4 * OPEN)
def shard_ends(marker: Path, stamp: tuple[int, int], table: str) -> Int64[ndarray, " shard"]:
    """How many rows of a table there are up to the end of each shard."""
    notes = read_group_marker(marker, stamp)[SHARD_NOTES]
    return np.array([*accumulate(note["rows"].get(table, 0) for note in notes)], np.int64)


def open_group_file(path: Path, footer: str) -> GroupFile:
    """A file of a group, opened once while it stays as it is. Raises Damaged."""
    return opened_group_file(path, footer, file_stamp(path))


@lru_cache(maxsize=OPEN)
def opened_group_file(path: Path, footer: str, stamp: tuple[int, int]) -> GroupFile:
    if footer_digest(path) != footer:
        raise damage_error(path, "its end is not what was written")
    file = open_parquet(path)
    rows = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    return GroupFile(file, np.cumsum(rows, dtype=np.int64))
