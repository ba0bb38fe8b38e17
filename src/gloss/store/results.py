"""Results as parts of tables: one table a kind of record, one part a shard, written whole or not
at all.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.errors import Damaged
from gloss.store.atomic import disk_errors, write_atomically, write_bytes
from gloss.store.parquet import read_table
from gloss.store.schemas import SCHEMAS
from gloss.store.sealed_json import (
    CHANGED_CONTENT,
    FILES,
    FileRecords,
    changed_files,
    damage_error,
    read_sealed_json,
    record_files,
    seal_json,
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One shard's results: a Parquet file for each kind of record that it made, then a marker that
    says it is whole.
    """

    folder: Path
    shard: int

    @property
    def marker(self) -> Path:
        return self.folder / f"part-{self.shard:05d}.done"

    @property
    def is_done(self) -> bool:
        return self.marker.exists()

    def note(self) -> dict[str, Any]:
        """What the marker of the finished shard says: its `rows` by table, its `files`, what was
        noted. Raises Damaged.
        """
        return read_sealed_json(self.marker)

    def row_counts(self) -> dict[str, int]:
        """How many rows of each kind the finished shard made."""
        return self.note()["rows"]

    @property
    def files(self) -> FileRecords:
        """What the finished shard wrote, by names seen from the folder.

        Markers of a time before they said so say nothing.
        """
        return {
            name: (size, content) for name, (size, content) in self.note().get(FILES, {}).items()
        }

    def file(self, table: str) -> Path:
        return self.folder / table / f"part-{self.shard:05d}.parquet"

    def changed_files(self, *, whole: bool) -> dict[Path, str]:
        """The files of a finished shard that are not as they were written, each with why.

        The marker is one of them.
        """
        try:
            return changed_files(self.folder, self.files, whole=whole)
        except Damaged:
            return {self.marker: CHANGED_CONTENT}

    def rows(self, table: str) -> list[Row]:
        """The rows of one kind; none where the shard made none, or is not done. Raises Damaged."""
        path = self.file(table)
        expected = (
            self.files.get(path.relative_to(self.folder).as_posix()) if self.is_done else None
        )
        if not path.exists() and expected is None:
            return []
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise damage_error(
                path, "it cannot be read" if path.exists() else "it is missing"
            ) from problem
        if expected is not None and hashlib.sha256(content).hexdigest() != expected[1]:
            raise damage_error(path, CHANGED_CONTENT)
        # of a stage that is not installed here, the columns that the file has
        return read_table(content, path, schema=SCHEMAS.get(table)).to_pylist()

    def write(
        self,
        records: Mapping[str, Iterable[Row]],
        *,
        whole: bool = True,
        note: Mapping[str, Any] | None = None,
        beside: Iterable[Path] = (),
    ) -> None:
        """Write every table, then the marker: a shard that was killed, or is not `whole`, has none
        and is done again.

        The marker says how many rows there are, what is noted, and what all files hold: those of
        the tables, and those `beside` that the shard wrote itself. Raises Unwritable.
        """
        counts: dict[str, int] = {}
        files = list(beside)
        for table, rows in records.items():
            content = pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
            counts[table] = content.num_rows
            file = self.file(table)
            if content.num_rows:
                write_atomically(
                    file, lambda path, t=content: pq.write_table(t, path, write_page_checksum=True)
                )
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
            )


def read_rows(folders: Iterable[Path], table: str) -> list[Row]:
    """All rows of a kind, in the order of shards; none where no shard made any. Raises Damaged."""
    return [
        row
        for folder in folders
        for shard in shard_numbers(folder, table)
        for row in Part(folder, shard).rows(table)
    ]


def shard_numbers(folder: Path, table: str = "") -> list[int]:
    """The numbers of the shards that are done, or have left rows of this kind."""
    found = [
        *folder.glob("part-*.done"),
        *((folder / table).glob("part-*.parquet") if table else ()),
    ]
    return sorted({int(path.stem.removeprefix("part-")) for path in found})
