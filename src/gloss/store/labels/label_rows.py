"""Rows of label files, one after the other, of which a bad one is passed over and counted."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.errors import BadInput
from gloss.rules import parse_rule
from gloss.store.file_bytes import open_unpacked
from gloss.store.labels.label_records import SkippedRow, SkipReason

HEAD = 2**16  # bytes by which a file is recognised
DELIMITERS = ",;\t|"
Numbered = tuple[str, Any]  # where a row stands, and the row


def file_head(path: Path) -> bytes:
    """How a file begins, unpacked; nothing where it cannot be read."""
    try:
        with open_unpacked(path) as file:
            return file.read(HEAD)
    except BadInput:
        return b""


def plain_suffix(path: Path) -> str:
    """What the name ends in, without that of a compression: `.jsonl` of `batch-0.jsonl.gz`."""
    packed = path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst")
    return (path.with_suffix("") if packed else path).suffix.lower()


def values_of_json(path: Path) -> Iterator[Numbered | SkippedRow]:
    """The values of a file of JSON lines, the items of its list, or its one value."""
    with open_unpacked(path) as file:
        line = first = b""
        while not line.strip() and (line := file.readline()):
            first = line
        is_line, value = parsed_json(first)
        more = file.read(1) if is_line and isinstance(value, dict) else b"?"
        if is_line and isinstance(value, dict) and more.strip(b" \r\n") != b"":
            yield f"{path}, row 1", value
            yield from json_lines_after(path, more, file)
            return
        whole = first + (b"" if more == b"?" else more) + file.read()
    alone, value = parsed_json(whole)
    if not alone:  # of lines, the first of which is none
        lines = whole.splitlines()
        found = [parsed_json(each) for each in lines]
        if len(lines) < 2 or not any(good for good, _ in found):
            yield SkippedRow(str(path), SkipReason.UNREADABLE)
            return
        for number, (good, each) in enumerate(found, 1):
            where = f"{path}, row {number}"
            yield (where, each) if good else SkippedRow(where, SkipReason.UNREADABLE)
    elif isinstance(value, list):
        for number, each in enumerate(value, 1):
            yield f"{path}, row {number}", each
    else:
        yield str(path), value


def json_lines_after(
    path: Path, begun: bytes, file: io.BufferedReader
) -> Iterator[Numbered | SkippedRow]:
    """The lines behind the first, of which a byte has been read."""
    number, line = 1, begun + file.readline()
    while line:
        number += 1
        if line.strip():
            good, value = parsed_json(line)
            where = f"{path}, row {number}"
            yield (where, value) if good else SkippedRow(where, SkipReason.UNREADABLE)
        line = file.readline()


def parsed_json(text: bytes) -> tuple[bool, Any]:
    """Whether this is a JSON value, and the value."""
    try:
        return True, json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return False, None


def values_of_csv(path: Path) -> Iterator[Numbered | SkippedRow]:
    """The rows of a table with a header line, whatever separates its cells."""
    csv.field_size_limit(2**28)
    with (
        open_unpacked(path) as file,
        io.TextIOWrapper(file, "utf-8", errors="replace", newline="") as text,
    ):
        first = next((line for line in text if line.strip()), "")
        delimiter = max(DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each))))
        names = next(csv.reader([first], delimiter=delimiter))
        rows = csv.reader(text, delimiter=delimiter)
        number = 0
        while True:
            number += 1
            where = f"{path}, row {number}"
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error:
                yield SkippedRow(where, SkipReason.UNREADABLE)
                continue
            if len(cells) > len(names):
                yield SkippedRow(where, SkipReason.UNREADABLE)
            elif cells:
                yield where, dict(zip(names, cells, strict=False))


def values_of_parquet(path: Path) -> Iterator[Numbered]:
    """The rows of a Parquet file. Raises BadInput for one that is damaged."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise BadInput(
            f"{path} is no readable Parquet file: {str(error).splitlines()[0]}; fetch it again"
        ) from error


def feature_index(value: object) -> int | None:
    """The index that a cell holds, as a number or in digits; None where it holds none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value) if value == value and value >= 0 and value == int(value) else None
    digits = str(value).strip().removesuffix(".0")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def plain_text(value: object) -> str:
    """A cell as text, without blanks around it; nothing for what is no text."""
    return value.strip() if isinstance(value, str) else ""


def rule_source(text: object) -> str | None:
    """The text as a rule is written, where it is one; None for plain words."""
    try:
        return str(parse_rule(text)) if isinstance(text, str) else None
    except BadInput:
        return None


def real_number(value: object) -> float | None:
    """The number that a cell holds, as a number or as text; None where it holds none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def first_of(row: Mapping[str, Any], *names: str) -> Any:
    """The first of these fields that the row has, whatever the case of its letters."""
    by_name = {str(name).strip().lower(): value for name, value in row.items()}
    return next((by_name[name] for name in names if by_name.get(name) is not None), None)
