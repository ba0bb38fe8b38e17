"""The ledger of a run that lives at a URL: what came since the last look is put there as a file of
its own, and what others put there is taken in.

A ledger changes with every answer, and files there never do. So it is written down in segments,
Parquet files of answers as they stand in the ledger. Taking one in twice changes nothing. What was
spent is counted by writer, and the sum is over writers: so nothing is lost or counted twice however
often a run changes machines.
"""

import json
import secrets
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.errors import BadInput
from gloss.models.chat_models.ledger import ADDED, REPLACED, WAIT_MILLISECONDS, Ledger

COLUMNS = (*REPLACED, *ADDED)
ANSWERS = pa.schema(
    [
        ("key", pa.binary()),
        ("model", pa.string()),
        ("packed", pa.binary()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("asked_at", pa.int64()),
        ("room", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("money", pa.float64()),
    ]
)
UNDER_WAY = ""  # the name of a segment that has not arrived
SPENT = b"spent"  # by writer: requests, and money

# `unsent`: answers that no segment holds; `sending`: those of segments that are on their way
FOLLOWING = """
CREATE TABLE writers (writer TEXT PRIMARY KEY, own INTEGER NOT NULL, requests INTEGER NOT NULL,
    money REAL NOT NULL);
CREATE TABLE segments (name TEXT PRIMARY KEY);
CREATE TABLE unsent (id INTEGER PRIMARY KEY);
CREATE TABLE sending (id INTEGER PRIMARY KEY);
CREATE TRIGGER note_added AFTER INSERT ON packed_answers
    BEGIN INSERT OR IGNORE INTO unsent VALUES (new.id); END;
CREATE TRIGGER note_changed AFTER UPDATE ON packed_answers
    BEGIN INSERT OR IGNORE INTO unsent VALUES (new.id); END;
INSERT INTO unsent SELECT id FROM packed_answers
"""
LATER = "{0}.asked_at, {0}.prompt_tokens, {0}.completion_tokens"
TAKEN = (
    f"INSERT INTO packed_answers (key, model, {', '.join(COLUMNS)})"
    f" VALUES (:key, :model, {', '.join(f':{name}' for name in COLUMNS)})"
    " ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS)
    # what an answer has cost only grows, within a second too
    + f" WHERE ({LATER.format('excluded')}) > ({LATER.format('packed_answers')})"
)
# what this writer spent: what all did, less what others did
OWN = (
    "UPDATE writers SET requests = s.requests - o.requests, money = s.money - o.money"
    " FROM spending s, (SELECT coalesce(sum(requests), 0) requests, coalesce(sum(money), 0) money"
    " FROM writers WHERE NOT own) o WHERE own"
)


@dataclass(frozen=True)
class FollowedLedger:
    """The ledger in a file, and what of it is known to be elsewhere.

    Raises BadInput where the file cannot be used.
    """

    path: Path

    @contextmanager
    def changing(self) -> Generator[sqlite3.Connection]:
        """The ledger for a change that happens wholly or not at all."""
        Ledger(self.path).close()  # with all its tables
        try:
            with closing(
                sqlite3.connect(self.path, isolation_level=None, timeout=WAIT_MILLISECONDS / 1000)
            ) as ledger:
                ledger.row_factory = sqlite3.Row
                ledger.execute("BEGIN IMMEDIATE")
                self.begin(ledger)
                yield ledger
                ledger.execute("COMMIT")
        except sqlite3.Error as problem:
            raise BadInput(
                f"{self.path}: answers cannot be kept there ({problem}); give a writable file on a"
                " local disk with space left"
            ) from problem

    def begin(self, ledger: sqlite3.Connection) -> None:
        """Follow a ledger that nobody has followed yet."""
        if ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'writers'").fetchone():
            return
        statement = ""
        for piece in FOLLOWING.split(";"):
            statement += piece + ";"
            if sqlite3.complete_statement(statement):  # a trigger has a semicolon inside
                ledger.execute(statement)
                statement = ""
        ledger.execute("INSERT INTO writers VALUES (?, 1, 0, 0)", (secrets.token_hex(8),))

    def taken(self) -> set[str]:
        """The names of the segments that are in the ledger."""
        with self.changing() as ledger:
            return {row["name"] for row in ledger.execute("SELECT name FROM segments")} - {
                UNDER_WAY
            }

    def take(self, name: str, content: bytes) -> None:
        """Take in a segment of this name: of two answers to a request, the later one stays.

        Raises BadInput for what is no segment.
        """
        try:
            table = pq.read_table(pa.BufferReader(content), schema=ANSWERS)
            spent = json.loads((pq.read_schema(pa.BufferReader(content)).metadata or {})[SPENT])
        except (pa.ArrowException, OSError, KeyError, ValueError) as problem:
            raise BadInput(
                f"{name} holds no answers of a run: it is damaged; move it away, and what it holds"
                " is asked again"
            ) from problem
        with self.changing() as ledger:
            before = [row["id"] for row in ledger.execute("SELECT id FROM unsent")]
            for row in table.to_pylist():
                model = row["model"]
                ledger.execute("INSERT OR IGNORE INTO models (name) VALUES (?)", (model,))
                [(row["model"],)] = ledger.execute("SELECT id FROM models WHERE name = ?", (model,))
                ledger.execute(TAKEN, row)
            ledger.execute("DELETE FROM unsent")  # of those that have just come
            ledger.executemany("INSERT INTO unsent VALUES (?)", ((one,) for one in before))
            for writer, (requests, money) in spent.items():
                add_spending(ledger, writer, requests, money)
            ledger.execute("INSERT OR IGNORE INTO segments VALUES (?)", (name,))

    def next_segment(self, *, whole: bool = False) -> bytes | None:
        """What came since the last segment, or all there is; None where nothing did.

        It counts as on its way until `sent` says that it has arrived.
        """
        with self.changing() as ledger:
            ledger.execute("INSERT OR IGNORE INTO unsent SELECT id FROM sending")
            ledger.execute("DELETE FROM sending")
            known = spending_by_writer(ledger)
            ledger.execute(OWN)
            spent = spending_by_writer(ledger)
            chosen = "" if whole else "WHERE packed_answers.id IN (SELECT id FROM unsent)"
            names = ", ".join(f"packed_answers.{name}" for name in COLUMNS)
            rows = ledger.execute(
                f"SELECT key, models.name AS model, {names} FROM packed_answers"
                f" JOIN models ON models.id = model {chosen} ORDER BY packed_answers.id"
            ).fetchall()
            ledger.execute("INSERT INTO sending SELECT id FROM unsent")
            ledger.execute("DELETE FROM unsent")
            late = ledger.execute("SELECT 1 FROM segments WHERE name = ?", (UNDER_WAY,)).fetchone()
            if not (whole or rows or late or spent != known):
                return None
            ledger.execute("INSERT OR IGNORE INTO segments VALUES (?)", (UNDER_WAY,))
        schema = ANSWERS.with_metadata({SPENT: json.dumps(spent).encode()})
        file = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([*map(dict, rows)], schema=schema), file)
        return file.getvalue().to_pybytes()

    def sent(self, name: str, instead_of: Iterable[str] = ()) -> None:
        """The last segment has arrived, under this name; perhaps in the place of others."""
        with self.changing() as ledger:
            ledger.execute("DELETE FROM sending")
            ledger.execute("INSERT OR IGNORE INTO segments VALUES (?)", (name,))
            gone = [(each,) for each in (UNDER_WAY, *instead_of)]
            ledger.executemany("DELETE FROM segments WHERE name = ?", gone)

    def writer(self) -> str:
        """Who writes here, by a name that nobody else has."""
        with self.changing() as ledger:
            [(writer,)] = ledger.execute("SELECT writer FROM writers WHERE own")
            return writer


def add_spending(ledger: sqlite3.Connection, writer: str, requests: int, money: float) -> None:
    """Count what another writer has spent so far, which only grows."""
    [(own,)] = ledger.execute("SELECT writer FROM writers WHERE own")
    if writer == own:
        return
    ledger.execute("INSERT OR IGNORE INTO writers VALUES (?, 0, 0, 0)", (writer,))
    [(before, paid)] = ledger.execute(
        "SELECT requests, money FROM writers WHERE writer = ?", (writer,)
    )
    more = max(0, requests - before), max(0.0, money - paid)
    for table, where in (("spending", "1"), ("writers", "writer = ?")):
        ledger.execute(
            f"UPDATE {table} SET requests = requests + ?, money = money + ? WHERE {where}",
            (*more, *[writer] * (where != "1")),
        )


def spending_by_writer(ledger: sqlite3.Connection) -> dict[str, tuple[int, float]]:
    """Requests and money of each writer, as far as they are noted."""
    rows = ledger.execute("SELECT writer, requests, money FROM writers")
    return {writer: (requests, money) for writer, requests, money in rows}
