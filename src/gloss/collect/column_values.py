"""One column out of files of rows: which value it is in each row, and whether that is a text."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gloss.collect.row_files import arrow_rows, csv_rows, json_rows, parquet_rows
from gloss.errors import BadInput
from gloss.store.file_bytes import unpacked_name

ROW_READERS: Mapping[str, Callable[[Path, str], Iterator[tuple[int, Any]]]] = {
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
    ".arrow": arrow_rows,
    ".feather": arrow_rows,
}
MOST_NAMES = 12  # columns that a refusal names
TURN_NAMES = (("role", "content"), ("from", "value"))  # who speaks in a turn, and what is said
SPEAKERS = {"human": "user", "prompter": "user"} | dict.fromkeys(
    ("gpt", "chatgpt", "ai", "bot", "model"), "assistant"
)


@dataclass(frozen=True, slots=True)
class TokenNumbers:
    """A text that comes as token numbers."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A text that comes as turns, each with who speaks and what is said."""

    turns: tuple[tuple[str, str], ...]


RowValue = str | TokenNumbers | Dialogue | None  # None: the row holds nothing


def file_suffix(path: Path) -> str:
    """The suffix that says what a file holds, without that of a compression."""
    return unpacked_name(path).suffix.lower()


def is_row_file(path: Path) -> bool:
    """Whether the file's name says that it holds rows rather than one text."""
    return file_suffix(path) in ROW_READERS


def read_column_rows(path: Path, column: str) -> Iterator[tuple[int, RowValue]]:
    """Each row's number, counted from 1, and what it holds.

    Raises BadInput, naming the file, the row and the byte.
    """
    found = False
    for row, content in ROW_READERS[file_suffix(path)](path, column):
        value, has = look_up_column(content, column)
        if not has and not found:
            raise missing_column_error(path, row, content, column)
        found |= has
        yield row, parse_row_value(value, path, row, column)


def look_up_column(content: Any, column: str) -> tuple[Any, bool]:
    """The value of a column, and whether there is such a column.

    `meta.body` is the column `body` inside `meta`.
    """
    if not isinstance(content, dict):
        return content, True
    if column in content:
        return content[column], True
    value: Any = content
    for name in column.split("."):
        if value is None:
            return None, True
        if not isinstance(value, dict) or name not in value:
            return None, False
        value = value[name]
    return value, True


def missing_column_error(path: Path, row: int, content: Any, column: str) -> BadInput:
    """The sentence that names the columns that there are."""
    inner = column.rpartition(".")[0]
    names = list(column_paths(content))
    within = [name for name in names if inner and name.startswith(f"{inner}.")] or names
    near = get_close_matches(column, names, 1, 0.75) or [
        each for each in names if each.lower() == column.lower()
    ]
    meant = (
        f"; did you mean {path.name}#{near[0]}?" if near else f"; name one as {path.name}#column"
    )
    if not near and file_suffix(path) in (".csv", ".tsv"):
        meant += f", or {path.name}#1 for the first where there is no header"
    return BadInput(
        f"{path}: row {row} has no column {column!r}, it has {list_column_names(within)}{meant}"
    )


def column_paths(content: Any, front: str = "") -> Iterator[str]:
    """The names of all columns, inner ones as `meta.body`."""
    for name, value in sorted(content.items(), key=lambda pair: str(pair[0])):
        yield f"{front}{name}"
        if isinstance(value, dict):
            yield from column_paths(value, f"{front}{name}.")


def list_column_names(names: list[str]) -> str:
    named = ", ".join(name if len(name) <= 40 else f"{name[:40]}…" for name in names[:MOST_NAMES])
    return (
        f"{named} and {len(names) - MOST_NAMES} more"
        if len(names) > MOST_NAMES
        else named or "none"
    )


def parse_row_value(value: Any, path: Path, row: int, column: str) -> RowValue:
    """A text, token numbers or a dialogue; None where the row holds nothing.

    Raises BadInput for anything else.
    """
    if value is None or value in ("", []):
        return None
    if isinstance(value, bytes):
        value = decode_row_bytes(value, path, row)
    if isinstance(value, str):
        return require_whole_characters(value, path, row)
    if isinstance(value, dict) and (turns := turns_from_columns(value)):
        value = turns
    if isinstance(value, dict):
        inner = list_column_names([f"{column}.{name}" for name in column_paths(value)])
        raise BadInput(
            f"{path}: row {row} holds columns in column {column!r}; name one of them:"
            f" {path.name}#{inner}"
        )
    if isinstance(value, list):
        if all(isinstance(each, int) and not isinstance(each, bool) for each in value):
            return TokenNumbers(tuple(value))
        if all(isinstance(each, dict) for each in value):
            return Dialogue(tuple(parse_turn(each, path, row) for each in value))
    raise BadInput(
        f"{path}: row {row} holds {type(value).__name__} where text was wanted; "
        "name a column of text, of token numbers or of turns"
    )


def decode_row_bytes(value: bytes, path: Path, row: int) -> str:
    """Text that a file holds as bytes."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path}: row {row} holds bytes that are not UTF-8; name a column of text, or"
            " convert it"
        ) from error


def turns_from_columns(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of a dialogue that comes as a list of who speaks and a list of what is said.

    Anything else has none.
    """
    for role, said in TURN_NAMES:
        roles, texts = value.get(role), value.get(said)
        if isinstance(roles, list) and isinstance(texts, list) and len(roles) == len(texts):
            return [{role: who, said: what} for who, what in zip(roles, texts, strict=True)]
    return []


def parse_turn(given: dict[str, Any], path: Path, row: int) -> tuple[str, str]:
    """Who speaks and what is said: `role` and `content`, or `from` and `value`."""
    (role, said), *_ = [
        (given[role], given.get(said)) for role, said in TURN_NAMES if role in given
    ] or [(None, None)]
    if isinstance(said, list):  # parts, of which those of text are read
        said = "".join(str(part.get("text") or "") for part in said if isinstance(part, dict))
    if not isinstance(role, str) or not isinstance(said, str | None):
        raise BadInput(
            f"{path}: row {row} is no dialogue: a turn has"
            f" {list_column_names(sorted(map(str, given)))}, wanted `role` and `content`, or `from`"
            " and `value`"
        )
    return SPEAKERS.get(role.lower(), role.lower()), require_whole_characters(said or "", path, row)


def require_whole_characters(text: str, path: Path, row: int) -> str:
    """The text. Raises BadInput where it holds half a character, which no file can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{path}: row {row} holds half a character at position {error.start}; mend or leave out"
            " the row"
        ) from error
    return text
