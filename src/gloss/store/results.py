"""Results as parts of tables: one table a kind of record, one part a shard, written whole or not
at all.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.errors import Damaged
from gloss.store.atomic import disk_errors, write_bytes
from gloss.store.marked_files import MarkedFiles
from gloss.store.parquet import Columns, columns_of_schema, read_table
from gloss.store.schemas import SCHEMAS
from gloss.store.sealed_json import (
    CHANGED_CONTENT,
    FILES,
    FileRecords,
    damage_error,
    read_sealed_json,
    record_files,
    seal_json,
)
from gloss.store.shard_groups import ShardGroup, group_of

Row = dict[str, Any]
PLACES = "context"  # the column of a context's first position in the corpus


@dataclass(frozen=True)
class Part(MarkedFiles):
    """One shard's results: a Parquet file for each kind of record that it made, then a marker that
    says it is whole. Or its rows in the files of a `ShardGroup`.
    """

    shard: int

    @property
    def marker(self) -> Path:
        return self.folder / f"part-{self.shard:05d}.done"

    @property
    def group(self) -> ShardGroup | None:
        """What holds the shard together with others; None while it lies by itself."""
        return group_of(self.folder, self.shard)

    @property
    def is_done(self) -> bool:
        return self.marker.exists() or self.group is not None

    def note(self) -> dict[str, Any]:
        """What the marker of the finished shard says: its `rows` by table, its `files` where they
        are its own, what was noted. Raises Damaged.
        """
        if group := self.group:
            return group.note(self.shard)
        try:
            return read_sealed_json(self.marker)
        except Damaged:
            if group := self.group:  # meanwhile
                return group.note(self.shard)
            raise

    def row_counts(self) -> dict[str, int]:
        """How many rows of each kind the finished shard made."""
        return self.note()["rows"]

    @property
    def files(self) -> FileRecords:
        """What the finished shard wrote, by names seen from the folder; nothing in a group.

        Markers of a time before they said so say nothing.
        """
        try:
            said = self.note()
        except Damaged:  # of a group, perhaps, while the part is still beside it
            said = read_sealed_json(self.marker)
        return {name: (size, content) for name, (size, content) in said.get(FILES, {}).items()}

    def file(self, table: str) -> Path:
        return self.folder / table / f"part-{self.shard:05d}.parquet"

    def rows(self, table: str) -> list[Row]:
        """The rows of one kind; none where the shard made none, or is not done. Raises Damaged."""
        return self.read(table).to_pylist()

    def read(self, table: str, columns: Columns | None = None) -> pa.Table:
        """The same as a table of Arrow, with all columns or these, of the types that are given with
        them. Raises Damaged.
        """
        if group := self.group:
            return group.read(table, columns, self.shard)
        try:
            found = self.read_file(table, columns)
        except Damaged:
            if group := self.group:  # it was put together between the two looks
                return group.read(table, columns, self.shard)
            raise
        if not found.num_rows and (group := self.group):
            return group.read(table, columns, self.shard)
        return found

    def read_file(self, table: str, columns: Columns | None = None) -> pa.Table:
        """The rows in the shard's own file, which is held against the marker's hash."""
        path, schema = self.file(table), SCHEMAS.get(table)
        expected = (
            self.files.get(path.relative_to(self.folder).as_posix())
            if self.marker.exists()
            else None
        )
        if not path.exists() and expected is None:
            return no_rows(table, columns)
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise damage_error(
                path, "it cannot be read" if path.exists() else "it is missing"
            ) from problem
        if expected is not None and hashlib.sha256(content).hexdigest() != expected[1]:
            raise damage_error(path, CHANGED_CONTENT)
        # of a stage that is not installed here, the columns that the file has
        return read_table(content, path, columns, schema)

    def write(
        self,
        records: Mapping[str, Iterable[Row] | pa.Table],
        *,
        whole: bool = True,
        note: Mapping[str, Any] | None = None,
        beside: Iterable[Path] = (),
    ) -> None:
        """Write every table, then the marker: a shard that was killed, or is not `whole`, has none
        and is done again.

        The marker says how many rows there are, what is noted, and what all files hold: those of
        the tables, and those `beside` that the shard wrote itself. Where these are what can be
        done again at once, the disk is not waited for: `settle_parts` does that, for many shards
        together, and what a machine without power lost is told by its hash. Raises Unwritable.
        """
        counts: dict[str, int] = {}
        files = list(beside)
        flush = bool(files) or not whole
        for table, rows in records.items():
            content: pa.Table = (
                rows
                if isinstance(rows, pa.Table)
                else pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
            )
            counts[table] = content.num_rows
            file = self.file(table)
            if content.num_rows:
                write_bytes(file, parquet_bytes(content), flush=flush)
                files.append(file)
            # of an attempt that was killed, when a language model answered otherwise
            elif file.exists():
                with disk_errors(file):
                    file.unlink()
        if whole:
            write_bytes(
                self.marker,
                seal_json(
                    {"rows": counts, FILES: record_files(self.folder, files), **(note or {})}
                ),
                flush=flush,
            )


def parquet_bytes(table: pa.Table) -> memoryview:
    """A table as Parquet: made in memory, since a file would be written in many small pieces."""
    made = pa.BufferOutputStream()
    pq.write_table(table, made, write_page_checksum=True, **encodings(table))
    return memoryview(made.getvalue())


def encodings(table: pa.Table) -> dict[str, Any]:
    """How the columns are written: as Parquet chooses, but for tables of places in the corpus,
    whose numbers are kept as differences, in two thirds of the bytes.
    """
    if PLACES not in table.column_names:
        return {}
    numbers = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    return {
        "use_dictionary": [name for name in table.column_names if name not in numbers],
        "column_encoding": dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        "write_statistics": ["feature"],
        "store_schema": False,  # words are texts to other readers
    }


def read_rows(
    folders: Iterable[Path], table: str, columns: Sequence[str] | None = None
) -> list[Row]:
    """All rows of a kind, in the order of shards; none where no shard made any. Raises Damaged."""
    return read_columns(folders, table, columns).to_pylist()


def read_columns(
    folders: Iterable[Path], table: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """The same as a table of Arrow, with all columns or these. Raises Damaged."""
    if filled := [*read_pieces(folders, table, columns)]:
        return pa.concat_tables(filled, promote_options="permissive")
    return no_rows(table, columns)


def read_pieces(
    folders: Iterable[Path], table: str, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The same, one part or group at a time, as far as it has rows: of tables that would not lie in
    memory at once. Raises Damaged.
    """
    for folder in folders:
        for piece in table_pieces(folder, table):
            found = piece.read(table, columns)
            if found.num_rows:
                yield found


def no_rows(table: str, columns: Columns | None) -> pa.Table:
    """The columns of a table without rows; none where the table is of no installed stage."""
    return (columns_of_schema(SCHEMAS.get(table), columns) or pa.schema([])).empty_table()


def table_pieces(folder: Path, table: str) -> list[Part | ShardGroup]:
    """The parts and groups that may hold rows of a kind, in the order of their shards: what is
    done, and what was left by shards that are not. Raises Damaged.
    """
    # first, since a group's marker is there before its parts go
    shards = done_parts(folder) | file_numbers(folder / table, "part-", ".parquet")
    groups = {group.shards.start: group for group in done_groups(folder)}
    own = {shard: Part(folder, shard) for shard in shards - shards_of(groups.values())}
    return [each for _, each in sorted([*groups.items(), *own.items()])]


def done_shards(folder: Path) -> set[int]:
    """The numbers of the shards that are done, by one look at the folder. Raises Damaged."""
    return done_parts(folder) | shards_of(done_groups(folder))


def unfinished_parts(parts: Iterable[Part]) -> list[Part]:
    """Those of the parts that are not done, by one look at each folder. Raises Damaged."""
    every = list(parts)
    done = {folder: done_shards(folder) for folder in {part.folder for part in every}}
    return [part for part in every if part.shard not in done[part.folder]]


def marked_pieces(folder: Path) -> list[MarkedFiles]:
    """Everything that has a marker, in the order of shards; not the parts that a group holds."""
    shards, groups = done_parts(folder), done_groups(folder)
    readable = [group for group in groups if not group.changed_files(whole=False).get(group.marker)]
    return [*groups, *(Part(folder, shard) for shard in sorted(shards - shards_of(readable)))]


def table_files(folder: Path, table: str) -> list[Path]:
    """The Parquet files that hold the rows of a kind, in the order of shards. Raises Damaged."""
    files = [piece.file(table) for piece in table_pieces(folder, table)]
    return [file for file in files if file.exists()]


def shards_of(groups: Iterable[ShardGroup]) -> set[int]:
    """The numbers of all their shards."""
    return {shard for group in groups for shard in group.shards}


def done_parts(folder: Path) -> set[int]:
    """The shards that have markers of their own."""
    return file_numbers(folder, "part-", ".done")


def done_groups(folder: Path) -> list[ShardGroup]:
    """The groups that have markers, in their order."""
    return [
        ShardGroup(folder, number) for number in sorted(file_numbers(folder, "group-", ".done"))
    ]


def file_numbers(folder: Path, before: str, after: str) -> set[int]:
    """The numbers in the names of a folder's files that begin and end like this."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return {
            int(name[len(before) : -len(after)])
            for name in os.listdir(folder)  # noqa: PTH208  (of thousands, and only their names)
            if name.startswith(before) and name.endswith(after)
        }
    return set()
