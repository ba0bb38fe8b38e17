"""Parquet written piece by piece, such that the bytes depend on the rows alone, and read such that
damage is noticed.
"""

import hashlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy import ndarray

from gloss.store.atomic import disk_errors
from gloss.store.sealed_json import damage_error

Columns = Sequence[str] | pa.Schema  # by name, or with the types that are wanted
ROWS = 2**17  # in a row group: small enough to read one feature fast, large enough to compress well


class GroupWriter:
    """Writes row groups of one exact size, whatever the sizes of the pieces that arrive.

    Use it in a `with` block. With `encodings`, every column needs one; without, Parquet chooses.
    Raises Unwritable.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        encodings: Mapping[str, str] | None = None,
        rows: int = ROWS,
    ) -> None:
        self.path, self.schema, self.rows = path, schema, rows
        self.pending = schema.empty_table()
        settings: dict[str, Any] = (
            {"column_encoding": dict(encodings), "use_dictionary": False} if encodings else {}
        )
        with disk_errors(path):
            self.writer = pq.ParquetWriter(
                path, schema, compression="zstd", write_page_checksum=True, **settings
            )

    def add(self, **columns: ndarray | pa.Array | list[object]) -> None:
        """Append rows, given as one array a column."""
        arrays = [pa.array(columns[field.name], field.type) for field in self.schema]
        self.pending = pa.concat_tables(
            [self.pending, pa.Table.from_arrays(arrays, schema=self.schema)]
        )
        while self.pending.num_rows >= self.rows:
            self.write(self.pending.slice(0, self.rows))
            self.pending = self.pending.slice(self.rows)

    def write(self, group: pa.Table) -> None:
        with disk_errors(self.path):
            self.writer.write_table(group.combine_chunks(), row_group_size=self.rows)

    def __enter__(self) -> "GroupWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # what was written will be thrown away, so a second complaint would only hide the first
        if kind is not None:
            with suppress(OSError):
                self.writer.close()
            return
        if self.pending.num_rows:
            self.write(self.pending)
        with disk_errors(self.path):
            self.writer.close()


@contextmanager
def parquet_errors(path: Path) -> Generator[None]:
    """Raise Damaged where Parquet that was written whole is not to be read any more."""
    try:
        yield
    except FileNotFoundError as problem:
        raise damage_error(path, "it is missing") from problem
    except (pa.ArrowException, OSError) as problem:
        raise damage_error(path, "it is not the Parquet that was written") from problem


def read_table(
    source: Path | bytes,
    path: Path,
    columns: Columns | None = None,
    schema: pa.Schema | None = None,
) -> pa.Table:
    """A table, from the file or from its bytes, whose pages are held against their checksums.

    With a schema, its columns, null where an older file has none. Raises Damaged.
    """
    given = pa.BufferReader(source) if isinstance(source, bytes) else source
    schema = columns_of_schema(schema, columns)
    with parquet_errors(path):
        with parquet_file(given, schema) as file:
            known = set(file.schema_arrow.names)
            if schema is None and (lacking := set(columns or ()) - known):
                raise pa.ArrowInvalid(f"no column {min(lacking)}")
            wanted = columns if schema is None else [n for n in schema.names if n in known]
            found = file.read(wanted, use_threads=False)
        return with_schema(found, schema)


def columns_of_schema(schema: pa.Schema | None, columns: Columns | None) -> pa.Schema | None:
    """A schema with these columns alone, in their order, with the types that are given; all of them
    for None.
    """
    if isinstance(columns, pa.Schema):
        return columns
    if schema is None or columns is None:
        return schema
    return pa.schema([schema.field(name) for name in columns])


def with_schema(found: pa.Table, schema: pa.Schema | None) -> pa.Table:
    """A table with the columns of a schema, null where it has none of that name."""
    if schema is None:
        return found
    arrays = [
        found[field.name].cast(field.type)
        if field.name in found.schema.names
        else pa.nulls(found.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def open_parquet(path: Path) -> pq.ParquetFile:
    """A file of which row groups are read, and held against their checksums. Raises Damaged."""
    with parquet_errors(path):
        return parquet_file(path)


def parquet_file(source: Path | pa.BufferReader, schema: pa.Schema | None = None) -> pq.ParquetFile:
    """A file that is read in this thread alone, given `use_threads=False`, and held against its
    checksums; words are read as numbers of words where a schema says so.

    Not `pq.read_table`, and nothing ahead: where a thread of Arrow's lets go of bytes of Python's
    while the process ends, that aborts it ("terminate called without an active exception").
    """
    return pq.ParquetFile(
        source,
        read_dictionary=[each.name for each in schema or () if pa.types.is_dictionary(each.type)],
        pre_buffer=False,
        page_checksum_verification=True,
    )


def footer_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """A hash of the footer of each file: with the pages' checksums, it vouches for the whole
    without reading it.
    """
    return {name: footer_digest(folder / name) for name in names}


def require_footers(folder: Path, expected: Mapping[str, str]) -> None:
    """Raise Damaged if a file does not end as it was written."""
    for name, digest in expected.items():
        with parquet_errors(folder / name):
            if footer_digest(folder / name) != digest:
                raise damage_error(folder / name, "its end is not what was written")


def footer_digest(path: Path) -> str:
    """The SHA-256 of the metadata at the end of a Parquet file, of its length and of the size of
    the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        end = file.read()
        file.seek(max(0, size - 8 - int.from_bytes(end[:4], "little")))
        return hashlib.sha256(file.read() + str(size).encode()).hexdigest()
