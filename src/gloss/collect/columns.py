"""Rows of text out of JSONL, JSON and Parquet files, streamed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.errors import BadInput

BLOCK = 2**20  # bytes of a JSON list, and rows of a Parquet file, are read in blocks
SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".parquet"})


def is_column_file(path: Path) -> bool:
    """Whether the file's name says that it holds rows rather than one text."""
    return path.suffix.lower() in SUFFIXES


def column_rows(path: Path, column: str) -> Iterator[tuple[int, str]]:
    """Each row's number, counted from 1, and its text. Raises BadInput, naming the file, the row and the byte."""
    suffix = path.suffix.lower()
    read = parquet_rows if suffix == ".parquet" else json_list if suffix == ".json" else json_lines
    try:
        for row, value in read(path, column):
            yield row, text_of(value, path, row, column)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}; check that it is a file and may be read") from error


def text_of(value: Any, path: Path, row: int, column: str) -> str:
    """The text of a row that is an object with the column, or a string by itself."""
    if isinstance(value, dict):
        if column not in value:
            given = ", ".join(sorted(map(str, value))) or "nothing"
            raise BadInput(f"{path}: row {row} has no column {column!r}, it has {given}; name one as {path.name}#column")
        value = value[column]
    if not isinstance(value, str):
        raise BadInput(f"{path}: row {row} holds {type(value).__name__} where text was wanted; name a column of text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{path}: row {row} holds half a character at position {error.start}; mend or leave out the row"
        ) from error
    return value


def json_lines(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    offset = 0
    with path.open("rb") as file:
        for row, line in enumerate(file, 1):
            if line.strip():
                yield row, parsed(line, path, row, offset)
            offset += len(line)


def parsed(line: bytes, path: Path, row: int, offset: int) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise not_unicode(path, line[error.start], offset + error.start) from error
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}: row {row} is not JSON ({error.msg} at byte offset {offset}); mend the row") from error


def json_list(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    """The items of a list, each read when it is needed, so that the file is never held whole."""
    with path.open("rb") as file:
        source = JsonText(file.read, path)
        if source.next_character() != "[":
            raise BadInput(f"{path} holds no list; wanted a JSON list of texts or of objects, or one object a line in a .jsonl")
        source.at += 1
        row = 0
        while (character := source.next_character()) != "]":
            source.at += character == "," and row > 0
            row += 1
            yield row, source.item()


class JsonText:
    """A window on a JSON file that moves from front to back."""

    def __init__(self, read: Any, path: Path) -> None:
        self.read, self.path = read, path
        self.decoder = json.JSONDecoder()
        self.text, self.at, self.undecoded, self.offset = "", 0, b"", 0

    def more(self) -> bool:
        """Read another block behind the window; False at the end of the file."""
        block = self.read(max(BLOCK, len(self.text)))
        content = self.undecoded + block
        try:
            text = content.decode("utf-8")
            self.undecoded = b""
        except UnicodeDecodeError as error:
            if not block or error.start < len(content) - 3:
                raise not_unicode(self.path, content[error.start], self.offset + error.start) from error
            text, self.undecoded = content[: error.start].decode("utf-8"), content[error.start :]
        self.offset += len(content) - len(self.undecoded)
        self.text, self.at = self.text[self.at :] + text, 0
        return bool(block)

    def next_character(self) -> str:
        """The next character that is no space, which stays unread."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                raise BadInput(f"{self.path} ends at byte offset {self.offset}, before its JSON list is closed; fetch it again")

    def item(self) -> Any:
        """The next value."""
        self.next_character()
        while True:
            try:
                value, self.at = self.decoder.raw_decode(self.text, self.at)
                return value
            except json.JSONDecodeError as error:
                if not self.more():
                    raise BadInput(
                        f"{self.path} is not JSON ({error.msg} before byte offset {self.offset}); mend or leave out the file"
                    ) from error


def not_unicode(path: Path, byte: int, offset: int) -> BadInput:
    return BadInput(f"{path} is not UTF-8: byte {byte:#04x} at offset {offset}; convert the file to UTF-8 or leave it out")


def parquet_rows(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                given = ", ".join(file.schema_arrow.names)
                raise BadInput(f"{path} has no column {column!r}, it has {given}; name one as {path.name}#column")
            row = 0
            for batch in file.iter_batches(batch_size=256, columns=[column]):
                for value in batch[column].to_pylist():
                    row += 1
                    yield row, value
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no readable Parquet file: {str(error).splitlines()[0]}; fetch it again") from error
