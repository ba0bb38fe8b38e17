"""Rows out of JSON, CSV, Parquet and Arrow files, streamed."""

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.errors import BadInput
from gloss.store.file_bytes import open_unpacked

BLOCK = 2**20  # bytes of JSON that are read at a time
LONGEST = 2**28  # bytes of one row
ROWS = 256  # of a Parquet file at a time
BLANKS = " \t\r\n"
DELIMITERS = (",", ";", "\t", "|")


def json_rows(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    """The rows of JSON lines, of a list or of an object of columns, whatever the file is called."""
    with open_unpacked(path) as file:
        head = file.read(BLOCK)
        offset = len(head) - len(head.lstrip())
        line, _, rest = head[offset:].partition(b"\n")
        ahead, begin = RewoundFile(head[offset:], file), head[offset : offset + 1]
        if not begin:
            return
        alone, value = try_json_line(line, path) if len(line) < BLOCK - offset else (False, {})
        if begin == b"[" and not (alone and rest.strip()):
            yield from json_list(JsonText(ahead, path, offset))
        elif (
            begin == b"{" and not alone and (path.suffix.lower() == ".json" or line.strip() == b"{")
        ):
            yield from json_objects(JsonText(ahead, path, offset), column)
        elif alone and not rest.strip() and holds_columns(value, column):
            yield from enumerate(rows_of_columns(value), 1)
        else:
            yield from json_lines(ahead, path, offset)


def try_json_line(line: bytes, path: Path) -> tuple[bool, Any]:
    """Whether a line is a JSON value by itself, and the value."""
    try:
        return True, json.loads(line)
    except RecursionError as error:
        raise deep_json_error(path) from error
    except ValueError:  # said later, with the place
        return False, {}


def holds_columns(value: Any, column: str) -> bool:
    """Whether an object that is alone in its file holds columns: lists of values, or objects of
    values by row.
    """
    first = value.get(column, value.get(column.split(".")[0])) if isinstance(value, dict) else None
    if isinstance(first, list):
        return any(not isinstance(each, int | dict) for each in first)
    return isinstance(first, dict) and bool(first) and all(name.isdigit() for name in first)


class RewoundFile:
    """A file of which the beginning has been read already."""

    def __init__(self, read: bytes, file: io.BufferedReader) -> None:
        self.held, self.file = io.BytesIO(read), file

    def read(self, size: int) -> bytes:
        return self.held.read(size) or self.file.read(size)

    def readline(self) -> bytes:
        """The next line, up to LONGEST bytes and one more."""
        line = self.held.readline()
        return line if line.endswith(b"\n") else line + self.file.readline(LONGEST + 1 - len(line))


def json_lines(file: RewoundFile, path: Path, offset: int) -> Iterator[tuple[int, Any]]:
    row = 0
    while line := file.readline():
        row += 1
        if len(line) > LONGEST:
            raise long_row_error(path, row)
        if line.strip():
            yield row, parse_json_line(line, path, row, offset)
        offset += len(line)


def parse_json_line(line: bytes, path: Path, row: int, offset: int) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise not_unicode_error(path, line[error.start], offset + error.start) from error
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{path}: row {row} is not JSON ({error.msg} at byte offset {offset}); mend the row"
        ) from error
    except RecursionError as error:
        raise deep_json_error(path) from error
    except ValueError as error:  # a number of thousands of digits
        raise json_value_error(path, error) from error


def json_list(source: "JsonText") -> Iterator[tuple[int, Any]]:
    """The items of a list, each read when it is needed, so that the file is never held whole."""
    source.next_character()
    source.at += 1
    row = 0
    while (character := source.next_character()) != "]":
        source.at += character == "," and row > 0
        row += 1
        yield row, source.item()


def json_objects(source: "JsonText", column: str) -> Iterator[tuple[int, Any]]:
    """Objects that follow each other, a row each; an object alone may hold columns."""
    row = 0
    held: Any = None
    while source.next_character(or_end=True):
        row += 1
        value = source.item()
        if row == 1:
            held = value
            continue
        if row == 2:
            yield 1, held
        yield row, value
    if row == 1 and holds_columns(held, column):
        yield from enumerate(rows_of_columns(held), 1)
    elif row == 1:
        yield 1, held


def rows_of_columns(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of an object of columns."""
    lists = {
        name: list(value.values()) if isinstance(value, dict) else value
        for name, value in columns.items()
    }
    lists = {name: value for name, value in lists.items() if isinstance(value, list)}
    for number in range(max(map(len, lists.values()), default=0)):
        yield {
            name: value[number] if number < len(value) else None for name, value in lists.items()
        }


class JsonText:
    """A window on a JSON file that moves from front to back."""

    def __init__(self, file: RewoundFile, path: Path, offset: int) -> None:
        self.file, self.path = file, path
        self.decoder = json.JSONDecoder()
        self.text, self.at, self.undecoded, self.offset = "", 0, b"", offset

    def more(self) -> bool:
        """Read another block behind the window; False at the end of the file."""
        block = self.file.read(max(BLOCK, len(self.text)))
        content = self.undecoded + block
        try:
            text = content.decode("utf-8")
            self.undecoded = b""
        except UnicodeDecodeError as error:
            if not block or error.start < len(content) - 3:
                raise not_unicode_error(
                    self.path, content[error.start], self.offset + error.start
                ) from error
            text, self.undecoded = content[: error.start].decode("utf-8"), content[error.start :]
        self.offset += len(content) - len(self.undecoded)
        self.text, self.at = self.text[self.at :] + text, 0
        return bool(block)

    def next_character(self, *, or_end: bool = False) -> str:
        """The next character that is no space, which stays unread.

        At the end of the file BadInput, or nothing if `or_end`.
        """
        while True:
            while self.at < len(self.text) and self.text[self.at] in BLANKS:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                if or_end:
                    return ""
                raise BadInput(
                    f"{self.path} ends at byte offset {self.offset}, before its JSON list is"
                    " closed; fetch it again"
                )

    def item(self) -> Any:
        """The next value."""
        self.next_character()
        while True:
            try:
                value, self.at = self.decoder.raw_decode(self.text, self.at)
                return value
            except json.JSONDecodeError as error:
                if len(self.text) - self.at > LONGEST:
                    raise long_row_error(self.path) from error
                if not self.more():
                    raise BadInput(
                        f"{self.path} is not JSON ({error.msg} before byte offset {self.offset});"
                        " mend or leave out the file"
                    ) from error
            except RecursionError as error:
                raise deep_json_error(self.path) from error
            except ValueError as error:
                raise json_value_error(self.path, error) from error


def csv_rows(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    """The rows below the header line; a quoted cell may hold line breaks.

    The separator is the one that finds the column. A column that is a number, and no name in the
    first line, says that there is no header.
    """
    csv.field_size_limit(LONGEST)
    with open_unpacked(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        row = 0
        try:
            first = next((line for line in text if line.strip()), "")
            names, delimiter, is_row = csv_header(first, path, column)
            quoting = (
                csv.QUOTE_NONE
                if delimiter == "\t" and quotes_are_text(path, len(names))
                else csv.QUOTE_MINIMAL
            )
            lines = chain([first] if is_row else [], text)
            for row, cells in enumerate(
                csv.reader(lines, delimiter=delimiter, strict=True, quoting=quoting), 1
            ):
                if len(cells) > len(names):
                    raise BadInput(
                        f"{path}: row {row} has {len(cells)} cells and the first line names"
                        f" {len(names)}; quote text that holds {delimiter!r} or quotation marks"
                    )
                filled = [cell or None for cell in cells] + [None] * len(names)
                yield row, dict(zip(names, filled, strict=False))
        except csv.Error as error:
            raise BadInput(
                f"{path}: row {row + 1} is no row of CSV ({error}); mend its quotation marks"
            ) from error
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{path} is not UTF-8 in or after row {row + 1}; convert the file to UTF-8 or leave"
                " it out"
            ) from error


def csv_header(line: str, path: Path, column: str) -> tuple[list[str], str, bool]:
    """The names of the columns, what separates them, and whether the line is a row itself, whose
    columns have numbers.
    """
    found = {
        delimiter: next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
        for delimiter in DELIMITERS
    }
    usual = "\t" if ".tsv" in path.suffixes else ","
    for delimiter in (usual, *DELIMITERS):
        if column in found[delimiter]:
            return found[delimiter], delimiter, False
    places = [str(place) for place in range(1, len(found[usual]) + 1)]
    if column in places:
        return places, usual, True
    return found[usual], usual, False


def quotes_are_text(path: Path, width: int) -> bool:
    """Whether quotation marks in a file of tabs are text, as they mostly are there.

    They are where every line has all its cells, and where taking them for marks fails or makes one
    row of several lines.
    """
    lines = 0
    with open_unpacked(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        for line in text:
            lines += 1
            if line.strip() and line.count("\t") != width - 1:
                return False
    with open_unpacked(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        try:
            return sum(1 for _ in csv.reader(text, delimiter="\t", strict=True)) < lines
        except csv.Error:
            return True


def parquet_rows(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    """The rows of a Parquet file, with the wanted column alone where there is one of that name."""
    try:
        with open_seekable(path) as source, pq.ParquetFile(source) as file:
            names = file.schema_arrow.names
            wanted = [name for name in (column, column.split(".")[0]) if name in names][:1]
            row = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted or None):
                for value in batch.to_pylist():
                    row += 1
                    yield row, value
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} is no readable Parquet file: {str(error).splitlines()[0]}; fetch it again"
        ) from error


def arrow_rows(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    """The rows of an Arrow file, in the format of streams or of files."""
    try:
        with open_seekable(path) as source:
            row = 0
            if source.read(4) == b"FEA1":
                raise BadInput(
                    f"{path} is of the first version of Feather; write it anew as Parquet or as"
                    " Feather's second version"
                )
            source.seek(0)
            for batch in record_batches(source):
                for value in batch.to_pylist():
                    row += 1
                    yield row, value
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} is no readable Arrow file: {str(error).splitlines()[0]}; fetch it again"
        ) from error


def record_batches(source: IO[bytes]) -> Iterator[pa.RecordBatch]:
    """Some rows at a time."""
    begin = source.read(6)
    source.seek(0)
    if begin == b"ARROW1":
        with pa.ipc.open_file(source) as file:
            for number in range(file.num_record_batches):
                yield from slice_record_batch(file.get_batch(number))
    else:
        with pa.ipc.open_stream(source) as stream:
            for batch in stream:
                yield from slice_record_batch(batch)


def slice_record_batch(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for first in range(0, batch.num_rows, ROWS):
        yield batch.slice(first, ROWS)


@contextmanager
def open_seekable(path: Path) -> Generator[IO[bytes]]:
    """A file that can be read in any order; a compressed one is unpacked beside."""
    with open_unpacked(path) as file:
        if isinstance(getattr(file, "raw", None), io.FileIO):
            yield file
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(file, unpacked)
            unpacked.seek(0)
            yield unpacked


def not_unicode_error(path: Path, byte: int, offset: int) -> BadInput:
    return BadInput(
        f"{path} is not UTF-8: byte {byte:#04x} at offset {offset}; convert the file to UTF-8 or"
        " leave it out"
    )


def deep_json_error(path: Path) -> BadInput:
    return BadInput(
        f"{path} holds JSON that is nested too deeply to read; mend or leave out the file"
    )


def long_row_error(path: Path, row: int | None = None) -> BadInput:
    return BadInput(
        f"{path}: {f'row {row}' if row else 'a row'} is longer than {LONGEST >> 20} MiB; cut the"
        " text into rows"
    )


def json_value_error(path: Path, error: ValueError) -> BadInput:
    return BadInput(
        f"{path} holds a value that cannot be read ({str(error).partition(';')[0]}); mend or leave"
        " out the file"
    )
