"""SQL over a finished run: whole cells, formats that scripts read, every documented table, and no
way out of the run.
"""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gloss.errors import BadInput, BadSettings
from gloss.run.commands import query
from gloss.run.commands.query import print_query_answer
from gloss.run.stage import installed_stages

ROOT = Path(__file__).parents[2]
HOSTILE = "x[:x:] :smile: :100: [bold] /etc/passwd:x:0:0 \\N"


class Output(io.StringIO):
    """Standard output that takes bytes, too."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = io.BytesIO()


@pytest.fixture
def ask(small_run, capsys):
    def asked(sql: str, **settings: object) -> str:
        print_query_answer(small_run / "out", sql, **settings)
        return capsys.readouterr().out

    return asked


def test_cells_are_whole_and_as_they_are(ask):
    shown = ask(
        f"SELECT '{HOSTILE}' AS told, repeat('word ', 200) || 'end' AS long, NULL AS nothing"
    )
    assert HOSTILE in shown
    assert "word end" in shown
    assert "…" not in shown
    assert "NULL" in shown


def test_what_would_steer_a_terminal_is_shown_as_text(ask):
    shown = ask("SELECT chr(27) || '[31mred' AS told")
    assert "\x1b" not in shown
    assert "\\x1b[31mred" in shown


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_values_of_every_kind_are_told(ask, form):
    kinds = (
        "now()",
        "INTERVAL 1 MONTH",
        "TIME '12:00'",
        "uuid()",
        "MAP {'a': 1}",
        "'101'::BIT",
        "'\\xAA'::BLOB",
        "1.5::DECIMAL(38, 9)",
    )
    kinds += (
        "'infinity'::DATE",
        "'294247-01-01'::DATE",
        "170141183460469231731687303715884105727::HUGEINT",
        "'a'::ENUM('a')",
    )
    for kind in kinds:
        assert ask(f"SELECT {kind} AS told", form=form).strip(), kind


@pytest.mark.parametrize("form", ["csv", "json"])
def test_scripts_read_texts_numbers_and_lists_back(ask, form):
    import csv

    sql = (
        f"SELECT '{HOSTILE}' AS told, 1.5 AS half, [1, 2] AS list, NULL AS nothing, 'nan'::DOUBLE"
        " AS none"
    )
    printed = ask(sql, form=form)
    rows = json.loads(printed) if form == "json" else list(csv.DictReader(io.StringIO(printed)))
    assert len(rows) == 1
    assert rows[0]["told"] == HOSTILE
    assert float(rows[0]["half"]) == 1.5
    assert (rows[0]["list"] if form == "json" else json.loads(rows[0]["list"])) == [1, 2]
    assert not rows[0]["nothing"]
    assert not rows[0]["none"]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_columns_of_one_name_do_not_hide_each_other(small_run, ask, form, monkeypatch):
    import csv

    sql = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    if form == "parquet":
        monkeypatch.setattr(sys, "stdout", Output())
        print_query_answer(small_run / "out", sql, form=form)
        [row] = pq.read_table(io.BytesIO(sys.stdout.buffer.getvalue())).to_pylist()
    else:
        printed = ask(sql, form=form)
        [row] = (
            json.loads(printed) if form == "json" else list(csv.DictReader(io.StringIO(printed)))
        )
    assert {name: int(value) for name, value in row.items()} == {
        "a": 1,
        "a_1": 2,
        "a_1_1": 3,
        "a_2": 4,
    }


def test_no_row_is_an_empty_list(ask):
    assert json.loads(ask("SELECT * FROM scores WHERE false", form="json")) == []
    assert ask("SELECT feature, text FROM explanations WHERE false", form="csv") == "feature,text\n"


def test_parquet_goes_to_standard_output(small_run, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Output())
    print_query_answer(
        small_run / "out", "SELECT feature, histogram FROM statistics", form="parquet"
    )
    assert pq.read_table(io.BytesIO(sys.stdout.buffer.getvalue())).column_names == [
        "feature",
        "histogram",
    ]


def test_every_documented_table_is_there_with_its_columns_even_when_it_has_no_rows(ask):
    listed = {row["name"] for row in json.loads(ask("SHOW TABLES", form="json"))}
    documented = re.findall(
        r"^\| (`.+?) \|.*?\| (.*) \|$", (ROOT / "docs" / "query.md").read_text(), re.MULTILINE
    )
    tables = {
        name: schema
        for stage in installed_stages().values()
        for name, schema in stage.tables.items()
    }
    names = {name for cell, _ in documented for name in re.findall(r"`(\w+)`", cell)}
    assert names == listed == set(tables)
    for name in names:
        columns = [row["column_name"] for row in json.loads(ask(f"DESCRIBE {name}", form="json"))]
        assert columns == tables[name].names
        ask(f"SELECT * FROM {name} LIMIT 1")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CAST(text AS INTEGER) FROM explanations",
        "SELECT error('boom') FROM scores",
        "SELEC",
        "SELECT * FROM nowhere",
        ";",
        "  ",
        "SELECT 1; SELECT nothing",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO 'x.csv'",
        "ATTACH 'evil.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SELECT * FROM TABLES",  # a Python variable of gloss, not a table
    ],
)
def test_what_cannot_be_answered_is_one_sentence_and_touches_nothing(
    ask, sql, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSettings) as told:
        ask(sql)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_no_room_for_the_answer_is_one_sentence(small_run):
    code = "from gloss.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "query", small_run / "out", "SELECT 1", "--format", "csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    said = "gloss: there is no room for the output; make some, and run the same command again\n"
    assert (done.stderr, done.returncode) == (said, 2)


def test_a_reader_that_goes_away_is_no_fault(small_run):
    code = "from gloss.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "query",
        small_run / "out",
        "SELECT * FROM range(300000)",
        "--format",
        "csv",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "range\n"
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 0)


def test_files_may_be_written_where_that_is_asked_for(ask, tmp_path):
    ask(f"COPY (SELECT 1 AS one) TO '{tmp_path}/x.csv'", external=True)
    assert (tmp_path / "x.csv").read_text() == "one\n1\n"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_parts_that_were_put_together_meanwhile_are_looked_up_again(ask, form, monkeypatch):
    sql, looks, look = "SELECT count(*), max(value) FROM scores", [], query.run_tables
    expected = ask(sql, form=form)

    def stale(run, remote=None):
        found = look(run, remote)
        looks.append(form)
        if len(looks) < stays:
            files = found["scores"][1]
            files[-1] = files[-1].with_name("gone.parquet")
        return found

    monkeypatch.setattr(query, "run_tables", stale)
    stays = 2
    assert ask(sql, form=form) == expected
    looks.clear()
    stays = 9
    with pytest.raises((BadInput, BadSettings), match="gone"):
        ask(sql, form=form)
    assert len(looks) == 2
