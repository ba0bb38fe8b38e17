"""Puts the parts of many shards together, so that a million features leave hundreds of files."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.store.atomic import (
    disk_errors,
    flush_to_disk,
    remove_path,
    write_atomically,
    write_bytes,
)
from gloss.store.parquet import footer_digests
from gloss.store.results import Part, done_parts
from gloss.store.schemas import SCHEMAS
from gloss.store.sealed_json import FILES, record_files, seal_json
from gloss.store.shard_groups import FIRST, FOOTERS, SHARD_NOTES, SHARDS, ShardGroup

FEWEST = 32  # shards of a step whose parts are put together; fewer stay as they are
ROWS = 1024  # of a row group, at least: it ends where a shard does


def settle_parts(folder: Path, shards: int) -> None:
    """Put together what can be, and have the disk confirm the rest. Raises Damaged, Unwritable."""
    compact_parts(folder, shards)
    own = [Part(folder, shard) for shard in sorted(done_parts(folder))]
    files = [folder / name for part in own for name in part.files]
    with disk_errors(folder):
        for path in (*files, *(part.marker for part in own), *{file.parent for file in files}):
            flush_to_disk(path)
        if own:
            flush_to_disk(folder)


def compact_parts(folder: Path, shards: int) -> None:
    """Put the parts of a step with so many shards together, a group where all of it is done.

    A group's tables are written first, then its marker, and then its parts are removed: whenever
    that ends early, one of the two is whole. The bytes follow from the rows. Parts with files that
    are no tables stay. Raises Damaged, Unwritable.
    """
    if shards < FEWEST or not (done := done_parts(folder)):
        return
    for number in sorted({shard // SHARDS for shard in done if shard < shards}):
        group = ShardGroup(folder, number)
        span = range(number * SHARDS, min(shards, (number + 1) * SHARDS))
        if not group.is_done and not (done.issuperset(span) and write_group(group, span)):
            continue
        tables = group.tables
        for part in (Part(folder, shard) for shard in span if shard in done):
            for table in tables:
                remove_path(part.file(table))
            remove_path(part.marker)


def write_group(group: ShardGroup, span: range) -> bool:
    """Write the tables of a group, then its marker; nothing, and False, where its parts hold
    something else.
    """
    parts = [Part(group.folder, shard) for shard in span]
    notes = [part.note() for part in parts]
    for part, note in zip(parts, notes, strict=True):
        made = {
            part.file(table).relative_to(part.folder).as_posix()
            for table, rows in note["rows"].items()
            if rows
        }
        if made != set(note.pop(FILES, {})):
            return False
    files = list[Path]()
    for table in sorted({table for note in notes for table in note["rows"]}):
        file = group.file(table)
        if any(note["rows"].get(table) for note in notes):
            write_atomically(file, lambda path, t=table: write_table_rows(path, t, parts))
            files.append(file)
        else:  # of a group that was lost, when there were some
            remove_path(file)
    written = record_files(group.folder, files)
    content = {
        FIRST: span.start,
        SHARD_NOTES: notes,
        FILES: written,
        FOOTERS: footer_digests(group.folder, written),
    }
    write_bytes(group.marker, seal_json(content))
    return True


def write_table_rows(path: Path, table: str, parts: list[Part]) -> None:
    """Write the rows of one kind of all parts, in row groups that end where a shard does."""
    with pq.ParquetWriter(
        path, SCHEMAS[table], compression="zstd", write_page_checksum=True
    ) as writer:
        for rows in shard_stretches(table, parts):
            writer.write_table(rows, row_group_size=rows.num_rows)


def shard_stretches(table: str, parts: list[Part]) -> Iterator[pa.Table]:
    """The rows of shards that follow each other, enough for a row group at a time."""
    held: list[pa.Table] = []
    for part in parts:
        held.append(part.read_file(table))
        if sum(each.num_rows for each in held) >= ROWS:
            yield pa.concat_tables(held).combine_chunks()
            held = []
    if any(each.num_rows for each in held):
        yield pa.concat_tables(held).combine_chunks()
