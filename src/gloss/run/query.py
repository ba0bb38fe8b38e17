"""SQL over a run's Parquet files, through DuckDB; nothing is loaded that the query does not touch."""

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import chain, count
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
from gloss.run.damage import require_whole
from gloss.run.plan import Plan, plan_of
from gloss.run.progress import out
from gloss.store.activations import STATISTICS
from gloss.store.corpus_writer import DOCUMENTS, PIECES, SEQUENCES
from gloss.store.schemas import SCHEMAS

CORPUS: Mapping[str, pa.Schema] = {"documents": DOCUMENTS, "sequences": SEQUENCES, "vocabulary": PIECES}
TABLES: Mapping[str, pa.Schema] = {**SCHEMAS, "statistics": STATISTICS, **CORPUS}
UNSEEN = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\t\n"}
LOCKED: dict[str, str | bool | int | float | list[str]] = {"enable_external_access": False, "python_enable_replacements": False}

Row = Sequence[Any]


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"  # a list of objects, one a line
    PARQUET = "parquet"


def report(folder: Path, sql: str, form: str = Format.TABLE, external: bool = False) -> None:
    """Write the answer to standard output, every cell whole.

    The query sees the run's tables and nothing else: no file, no network, no extension, unless `external` allows them.
    Raises BadSettings for a query that DuckDB refuses, also while it gives rows, and Damaged.
    """
    if form not in list(Format):
        raise BadSettings(f"--format {form}: there is no such format; choose {', '.join(Format)}")
    if not sql.strip(" \t\n;"):
        raise BadSettings('there is no query; give one, for example "SELECT * FROM scores LIMIT 5"')
    plan = plan_of(folder)
    if form == Format.PARQUET and sys.stdout.isatty():
        raise BadSettings("Parquet is no text for a terminal; send it to a file, as in --format parquet > answer.parquet")
    require_whole(plan.place(stage) for stage in plan.keys)
    with duckdb.connect(config={} if external else LOCKED) as connection:
        for name, schema in TABLES.items():
            connection.register(name, opened(name, files_of(plan, name), schema))
        connection.execute("SET lock_configuration = true")
        try:
            if form == Format.PARQUET:
                if relation := connection.sql(sql):
                    pq.write_table(relation.to_arrow_table().rename_columns(apart(relation.columns)), sys.stdout.buffer)
                return
            answer = connection.execute(sql)
            if answer and answer.description:  # a comment alone has no answer
                write(answer, [name for name, *_ in answer.description], Format(form))
        except (duckdb.Error, pa.ArrowException, OverflowError, ValueError) as problem:  # the last two of dates beyond Python's
            told, _, _ = str(problem).strip().partition("\n\nLINE ")  # and then the query again, with a caret
            raise BadSettings(f"the query failed: {' '.join(told.split())}") from problem


def files_of(plan: Plan, table: str) -> list[Path]:
    """The Parquet files that hold a table's rows."""
    collected = plan.place("collect")
    if table == "statistics":
        return sorted(collected.glob("activations/statistics.parquet"))
    if table in CORPUS:
        return sorted(collected.glob(f"corpus/{table}.parquet"))
    return sorted(file for stage in plan.keys for file in (plan.place(stage) / table).glob("*.parquet"))


def opened(table: str, files: Sequence[Path], schema: pa.Schema) -> ds.Dataset | pa.Table:
    """All the files as one table, also where there are none; a column that older parts do not have is null there."""
    if not files:
        return schema.empty_table()
    try:
        whole = pa.unify_schemas([schema, *(pq.read_schema(file) for file in files[:1])], promote_options="permissive")
        return ds.dataset([str(file) for file in files], format="parquet", schema=whole)
    except (OSError, pa.ArrowException) as problem:
        raise BadInput(f"table {table} cannot be read: {problem}; `gloss verify` says which part is damaged") from problem


def write(answer: duckdb.DuckDBPyConnection, columns: Sequence[str], form: Format) -> None:
    """The rows as a table (wrapped on a terminal, unbroken elsewhere), as CSV, or as JSON objects, one a line."""
    match form:
        case Format.TABLE:
            show(columns, answer.fetchall())
        case Format.CSV:
            lines = csv.writer(sys.stdout, lineterminator="\n")
            lines.writerow(apart(columns))
            lines.writerows([flat(cell) for cell in row] for row in rows_of(answer))
        case _:
            begun, names = False, apart(columns)
            for row in rows_of(answer):
                content = json.dumps(dict(zip(names, map(plain, row), strict=True)), ensure_ascii=False)
                sys.stdout.write(f"{',' if begun else '['}\n{content}")
                begun = True
            sys.stdout.write("\n]\n" if begun else "[]\n")


def apart(columns: Sequence[str]) -> list[str]:
    """The names of columns, with a number after those that came before, so that none hides another."""
    found: list[str] = []
    for name in columns:
        free = (each for each in chain([name], (f"{name}_{number}" for number in count(1))) if each not in found)
        found.append(next(free))
    return found


def rows_of(answer: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    """The rows, a thousand at a time in memory."""
    while rows := answer.fetchmany(1000):
        yield from rows


def show(columns: Sequence[str], rows: Sequence[Row]) -> None:
    """A table whose cells are whole: wrapped on a terminal, a line a row elsewhere."""
    table = Table()
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        texts = [f"{cell:.6g}" if isinstance(cell, float) else text_of(cell) for cell in row]
        table.add_row(*(Text(text.translate(UNSEEN)) for text in texts))
    if out.is_terminal:
        out.print(table)
    else:
        widest = Console(file=sys.stdout, width=2**20, no_color=True)
        widest.print(table, crop=False, overflow="ignore")


def flat(cell: Any) -> Any:
    """What a cell of CSV holds: numbers and text as they are, lists and structs as JSON."""
    return json.dumps(plain(cell), ensure_ascii=False) if isinstance(cell, list | dict) else plain(cell)


def text_of(cell: Any) -> str:
    """A cell as a person reads it."""
    return "NULL" if cell is None else str(flat(cell))


def plain(cell: Any) -> Any:
    """A value as JSON has it: no NaN, no bytes, no dates."""
    match cell:
        case float() if not math.isfinite(cell):
            return None
        case None | bool() | int() | float() | str():
            return cell
        case Decimal():
            return plain(float(cell))
        case bytes():
            return cell.decode("utf-8", "backslashreplace")
        case list() | tuple():
            return [plain(item) for item in cell]
        case dict():
            return {str(name): plain(item) for name, item in cell.items()}
        case date():
            return cell.isoformat()
        case _:
            return str(cell)
