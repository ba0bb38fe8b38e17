"""One column out of files of rows: which value it is in each row, and whether that is a text."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gloss.collect.opened import unpacked_name
from gloss.collect.rows import arrow_rows, csv_rows, json_rows, parquet_rows
from gloss.errors import BadInput

READERS: Mapping[str, Callable[[Path, str], Iterator[tuple[int, Any]]]] = {
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
    ".arrow": arrow_rows,
    ".feather": arrow_rows,
}
NAMES_TOLD = 12  # columns that a refusal names
TURN_NAMES = (("role", "content"), ("from", "value"))  # who speaks in a turn, and what is said
SPEAKERS = {"human": "user", "prompter": "user"} | dict.fromkeys(("gpt", "chatgpt", "ai", "bot", "model"), "assistant")


@dataclass(frozen=True, slots=True)
class Ids:
    """A text that comes as token numbers."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A text that comes as turns, each with who speaks and what is said."""

    turns: tuple[tuple[str, str], ...]


Value = str | Ids | Dialogue | None  # None: the row holds nothing


def kind_of(path: Path) -> str:
    """The suffix that says what a file holds, without that of a compression."""
    return unpacked_name(path).suffix.lower()


def is_column_file(path: Path) -> bool:
    """Whether the file's name says that it holds rows rather than one text."""
    return kind_of(path) in READERS


def column_rows(path: Path, column: str) -> Iterator[tuple[int, Value]]:
    """Each row's number, counted from 1, and what it holds. Raises BadInput, naming the file, the row and the byte."""
    found = False
    for row, content in READERS[kind_of(path)](path, column):
        value, has = looked_up(content, column)
        if not has and not found:
            raise no_column(path, row, content, column)
        found |= has
        yield row, value_of(value, path, row, column)


def looked_up(content: Any, column: str) -> tuple[Any, bool]:
    """The value of a column, `meta.body` being the column `body` inside `meta`; and whether there is such a column."""
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


def no_column(path: Path, row: int, content: Any, column: str) -> BadInput:
    """The sentence that names the columns that there are."""
    inner = column.rpartition(".")[0]
    names = list(paths_in(content))
    within = [name for name in names if inner and name.startswith(f"{inner}.")] or names
    near = get_close_matches(column, names, 1, 0.75) or [each for each in names if each.lower() == column.lower()]
    meant = f"; did you mean {path.name}#{near[0]}?" if near else f"; name one as {path.name}#column"
    if not near and kind_of(path) in (".csv", ".tsv"):
        meant += f", or {path.name}#1 for the first where there is no header"
    return BadInput(f"{path}: row {row} has no column {column!r}, it has {listed(within)}{meant}")


def paths_in(content: Any, front: str = "") -> Iterator[str]:
    """The names of all columns, inner ones as `meta.body`."""
    for name, value in sorted(content.items(), key=lambda pair: str(pair[0])):
        yield f"{front}{name}"
        if isinstance(value, dict):
            yield from paths_in(value, f"{front}{name}.")


def listed(names: list[str]) -> str:
    told = ", ".join(name if len(name) <= 40 else f"{name[:40]}…" for name in names[:NAMES_TOLD])
    return f"{told} and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else told or "none"


def value_of(value: Any, path: Path, row: int, column: str) -> Value:
    """A text, token numbers or a dialogue; None where the row holds nothing. Raises BadInput for anything else."""
    if value is None or value in ("", []):
        return None
    if isinstance(value, bytes):
        value = decoded(value, path, row)
    if isinstance(value, str):
        return whole_text(value, path, row)
    if isinstance(value, dict) and (turns := turns_of_columns(value)):
        value = turns
    if isinstance(value, dict):
        inner = listed([f"{column}.{name}" for name in paths_in(value)])
        raise BadInput(f"{path}: row {row} holds columns in column {column!r}; name one of them: {path.name}#{inner}")
    if isinstance(value, list):
        if all(isinstance(each, int) and not isinstance(each, bool) for each in value):
            return Ids(tuple(value))
        if all(isinstance(each, dict) for each in value):
            return Dialogue(tuple(turn(each, path, row) for each in value))
    raise BadInput(
        f"{path}: row {row} holds {type(value).__name__} where text was wanted; "
        "name a column of text, of token numbers or of turns"
    )


def decoded(value: bytes, path: Path, row: int) -> str:
    """Text that a file holds as bytes."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: row {row} holds bytes that are not UTF-8; name a column of text, or convert it") from error


def turns_of_columns(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of a dialogue that comes as a list of who speaks and a list of what is said; none of anything else."""
    for role, said in TURN_NAMES:
        roles, texts = value.get(role), value.get(said)
        if isinstance(roles, list) and isinstance(texts, list) and len(roles) == len(texts):
            return [{role: who, said: what} for who, what in zip(roles, texts, strict=True)]
    return []


def turn(given: dict[str, Any], path: Path, row: int) -> tuple[str, str]:
    """Who speaks and what is said: `role` and `content`, or `from` and `value`."""
    (role, said), *_ = [(given[role], given.get(said)) for role, said in TURN_NAMES if role in given] or [(None, None)]
    if isinstance(said, list):  # parts, of which those of text are read
        said = "".join(str(part.get("text") or "") for part in said if isinstance(part, dict))
    if not isinstance(role, str) or not isinstance(said, str | None):
        raise BadInput(
            f"{path}: row {row} is no dialogue: a turn has {listed(sorted(map(str, given)))}, "
            "wanted `role` and `content`, or `from` and `value`"
        )
    return SPEAKERS.get(role.lower(), role.lower()), whole_text(said or "", path, row)


def whole_text(text: str, path: Path, row: int) -> str:
    """The text. Raises BadInput where it holds half a character, which no file can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{path}: row {row} holds half a character at position {error.start}; mend or leave out the row"
        ) from error
    return text
