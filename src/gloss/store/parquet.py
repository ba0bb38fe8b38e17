"""Parquet written piece by piece, such that the bytes depend on the rows alone."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy import ndarray

from gloss.store.atomic import disk

ROWS = 2**17  # in a row group: small enough to read one feature fast, large enough to compress well


class GroupWriter:
    """Writes row groups of one exact size, whatever the sizes of the pieces that arrive. Use it in a `with` block.

    With `encodings`, every column needs one; without, Parquet chooses. Raises Unwritable.
    """

    def __init__(self, path: Path, schema: pa.Schema, encodings: Mapping[str, str] | None = None, rows: int = ROWS) -> None:
        self.path, self.schema, self.rows = path, schema, rows
        self.pending = schema.empty_table()
        settings: dict[str, Any] = {"column_encoding": dict(encodings), "use_dictionary": False} if encodings else {}
        with disk(path):
            self.writer = pq.ParquetWriter(path, schema, compression="zstd", **settings)

    def add(self, **columns: ndarray | pa.Array | list[object]) -> None:
        """Append rows, given as one array a column."""
        arrays = [pa.array(columns[field.name], field.type) for field in self.schema]
        self.pending = pa.concat_tables([self.pending, pa.Table.from_arrays(arrays, schema=self.schema)])
        while self.pending.num_rows >= self.rows:
            self.write(self.pending.slice(0, self.rows))
            self.pending = self.pending.slice(self.rows)

    def write(self, group: pa.Table) -> None:
        with disk(self.path):
            self.writer.write_table(group.combine_chunks(), row_group_size=self.rows)

    def __enter__(self) -> "GroupWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:  # what was written will be thrown away, so a second complaint would only hide the first
            with suppress(OSError):
                self.writer.close()
            return
        if self.pending.num_rows:
            self.write(self.pending)
        with disk(self.path):
            self.writer.close()
