"""SQL over a run's Parquet files, through DuckDB.

Nothing is loaded that the query does not touch.
"""

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gloss.errors import BadInput, BadSettings
from gloss.run.damage import require_undamaged
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import read_run
from gloss.run.progress import out
from gloss.run.remote_run import RemoteRecords
from gloss.run.stage import installed_stages, run_steps

UNSEEN = {
    code: f"\\x{code:02x}"
    for code in (*range(32), 127, *range(128, 160))
    if chr(code) not in "\t\n"
}
LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
}

Row = Sequence[Any]


class AnswerFormat(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"  # a list of objects, one a line
    PARQUET = "parquet"


def print_query_answer(
    folder: Path, sql: str, form: str = AnswerFormat.TABLE, external: bool = False
) -> None:
    """Write the answer to standard output, every cell whole.

    The query sees the run's tables and nothing else: no file, no network, no extension, unless
    `external` allows them. Raises BadSettings for a query that DuckDB refuses, also while it gives
    rows, and Damaged.
    """
    if form not in list(AnswerFormat):
        raise BadSettings(
            f"--format {form}: there is no such format; choose {', '.join(AnswerFormat)}"
        )
    if not sql.strip(" \t\n;"):
        raise BadSettings('there is no query; give one, for example "SELECT * FROM scores LIMIT 5"')
    run = read_run(folder, whole=False)
    if form == AnswerFormat.PARQUET and sys.stdout.isatty():
        raise BadSettings(
            "Parquet is no text for a terminal; send it to a file, as in --format parquet >"
            " answer.parquet"
        )
    remote = RemoteRecords.of(run)
    if remote is None:
        require_undamaged(run.place(stage) for stage in run.keys)
    with duckdb.connect(config={} if external else LOCKED) as connection:
        connection.execute("SET lock_configuration = true")
        tables = run_tables(run, remote)
        try:
            write = found_answer(connection, tables, remote, sql, AnswerFormat(form))
        except (BadInput, BadSettings):
            if remote or all(file.exists() for _, files in tables.values() for file in files):
                raise
            # parts were put together since they were looked up
            again = run_tables(run)
            write = found_answer(connection, again, remote, sql, AnswerFormat(form))
        with query_errors():
            write()


def found_answer(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[str, tuple[pa.Schema, Sequence[Path]]],
    remote: RemoteRecords | None,
    sql: str,
    form: AnswerFormat,
) -> Callable[[], None]:
    """What writes the answer, of which all is known, or the first rows are."""
    for name, (schema, files) in tables.items():
        seen = files if remote is None or is_named(name, sql) else []
        connection.register(name, open_table(name, seen, schema, remote))
    with query_errors():
        if form == AnswerFormat.PARQUET:
            if not (relation := connection.sql(sql)):
                return lambda: None
            names = distinct_column_names(relation.columns)
            whole = relation.to_arrow_table().rename_columns(names)
            return lambda: pq.write_table(whole, sys.stdout.buffer)
        answer = connection.execute(sql)
        if not answer or not answer.description:  # a comment alone has no answer
            return lambda: None
        columns, rows = [name for name, *_ in answer.description], fetch_rows(answer)
        first = [*islice(rows, 1)]
        return lambda: write_answer(chain(first, rows), columns, form)


@contextmanager
def query_errors() -> Generator[None]:
    """Raise BadSettings where DuckDB refuses a query, also while it gives rows."""
    try:
        yield
    # the last two of dates beyond Python's
    except (duckdb.Error, pa.ArrowException, OverflowError, ValueError) as problem:
        # and then the query again, with a caret
        message, _, _ = str(problem).strip().partition("\n\nLINE ")
        raise BadSettings(f"the query failed: {' '.join(message.split())}") from problem


def is_named(table: str, sql: str) -> bool:
    """Whether a query may read a table: its name stands there as a word."""
    return re.search(rf"\b{re.escape(table)}\b", sql, re.IGNORECASE) is not None


def run_tables(
    run: OpenedRun, remote: RemoteRecords | None = None
) -> dict[str, tuple[pa.Schema, list[Path]]]:
    """Every table that a stage can make, with its columns and the files of this run, which need not
    be on this machine where it lives at a URL.
    """
    found: dict[str, tuple[pa.Schema, list[Path]]] = {
        table: (schema, [])
        for stage in installed_stages().values()
        for table, schema in stage.tables.items()
    }
    for step in run_steps(run):
        for table in step.stage.tables:
            files = (
                step.stage.table_files(run, step, table)
                if remote is None
                else remote.table_files(run.place(step.name), table)
            )
            found[table][1].extend(files)
    return found


def open_table(
    table: str, files: Sequence[Path], schema: pa.Schema, remote: RemoteRecords | None = None
) -> ds.Dataset | pa.Table:
    """All the files as one table, also where there are none; read where they lie.

    A column that older parts do not have is null there.
    """
    if not files:
        return schema.empty_table()
    system = remote.files if remote else None
    names = [remote.path(file) if remote else str(file) for file in files]
    try:
        first = pq.read_schema(names[0], filesystem=system)
        whole = pa.unify_schemas([schema, first], promote_options="permissive")
        return ds.dataset(names, format="parquet", schema=whole, filesystem=system)
    except (OSError, pa.ArrowException) as problem:
        raise BadInput(
            f"table {table} cannot be read: {problem}; `gloss verify` says which part is damaged"
        ) from problem


def write_answer(rows: Iterator[Row], columns: Sequence[str], form: AnswerFormat) -> None:
    """The rows as a table (wrapped on a terminal, unbroken elsewhere), as CSV, or as JSON objects,
    one a line.
    """
    match form:
        case AnswerFormat.TABLE:
            print_answer_table(columns, [*rows])
        case AnswerFormat.CSV:
            lines = csv.writer(sys.stdout, lineterminator="\n")
            lines.writerow(distinct_column_names(columns))
            lines.writerows([csv_cell(cell) for cell in row] for row in rows)
        case _:
            begun, names = False, distinct_column_names(columns)
            for row in rows:
                content = json.dumps(
                    dict(zip(names, map(json_value, row), strict=True)), ensure_ascii=False
                )
                sys.stdout.write(f"{',' if begun else '['}\n{content}")
                begun = True
            sys.stdout.write("\n]\n" if begun else "[]\n")


def distinct_column_names(columns: Sequence[str]) -> list[str]:
    """The names of columns, with a number after those that came before: none hides another."""
    found: list[str] = []
    for name in columns:
        free = (
            each
            for each in chain([name], (f"{name}_{number}" for number in count(1)))
            if each not in found
        )
        found.append(next(free))
    return found


def fetch_rows(answer: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    """The rows, a thousand at a time in memory."""
    while rows := answer.fetchmany(1000):
        yield from rows


def print_answer_table(columns: Sequence[str], rows: Sequence[Row]) -> None:
    """A table whose cells are whole: wrapped on a terminal, a line a row elsewhere."""
    table = Table()
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        texts = [f"{cell:.6g}" if isinstance(cell, float) else cell_text(cell) for cell in row]
        table.add_row(*(Text(text.translate(UNSEEN)) for text in texts))
    if out.is_terminal:
        out.print(table)
    else:
        widest = Console(file=sys.stdout, width=2**20, no_color=True)
        widest.print(table, crop=False, overflow="ignore")


def csv_cell(cell: Any) -> Any:
    """What a cell of CSV holds: numbers and text as they are, lists and structs as JSON."""
    return (
        json.dumps(json_value(cell), ensure_ascii=False)
        if isinstance(cell, list | dict)
        else json_value(cell)
    )


def cell_text(cell: Any) -> str:
    """A cell as a person reads it."""
    return "NULL" if cell is None else str(csv_cell(cell))


def json_value(cell: Any) -> Any:
    """A value as JSON has it: no NaN, no bytes, no dates."""
    match cell:
        case float() if not math.isfinite(cell):
            return None
        case None | bool() | int() | float() | str():
            return cell
        case Decimal():
            return json_value(float(cell))
        case bytes():
            return cell.decode("utf-8", "backslashreplace")
        case list() | tuple():
            return [json_value(item) for item in cell]
        case dict():
            return {str(name): json_value(item) for name, item in cell.items()}
        case date():
            return cell.isoformat()
        case _:
            return str(cell)
