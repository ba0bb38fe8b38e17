"""SQL over a run's Parquet files, through DuckDB; nothing is loaded that the query does not touch."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
from rich.table import Table

from gloss.errors import BadSettings
from gloss.run.plan import Plan, plan_of
from gloss.run.progress import out
from gloss.store.schemas import SCHEMAS

WIDEST = 60  # characters of a cell


def report(folder: Path, sql: str) -> None:
    """Print the answer as a table."""
    plan = plan_of(folder)
    if not sql.strip():
        raise BadSettings('there is no query; give one, for example "SELECT * FROM scores LIMIT 5"')
    with duckdb.connect() as connection:
        for name, files in tables(plan).items():
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {from_files(files)}")
        try:
            answer = connection.sql(sql)
        except duckdb.Error as problem:
            raise BadSettings(f"the query failed: {problem}") from problem
        show(answer.columns, answer.fetchall())


def tables(plan: Plan) -> dict[str, Sequence[Path]]:
    """The files behind each table that the run has."""
    folders = [plan.place(stage) for stage in plan.keys]
    found = {name: sorted(file for folder in folders for file in (folder / name).glob("*.parquet")) for name in SCHEMAS}
    collected = plan.place("collect")
    found["statistics"] = sorted(collected.glob("activations/statistics.parquet"))
    found |= {name: sorted(collected.glob(f"corpus/{name}.parquet")) for name in ("documents", "sequences", "vocabulary")}
    return {name: files for name, files in found.items() if files}


def from_files(files: Sequence[Path]) -> str:
    """All the files as one table; a column that older parts do not have is null there."""
    return f"read_parquet([{', '.join(map(quoted, files))}], union_by_name = true)"


def quoted(path: Path) -> str:
    """The path as a literal of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def show(columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*(short(cell) for cell in row))
    out.print(table)


def short(cell: object) -> str:
    text = f"{cell:.4g}" if isinstance(cell, float) else str(cell)
    return (text if len(text) <= WIDEST else text[: WIDEST - 1] + "…").replace("[", r"\[")
