"""Every answer that was paid for, kept in SQLite under the hash of its whole request, so that
nothing is asked twice.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from gloss.errors import BadInput
from gloss.models.chat_models.manner import MESSAGES
from gloss.models.chat_models.packed_answers import pack_answer, unpack_answer
from gloss.models.chat_models.prompts import Answer, PromptToken, TokenLogprob
from gloss.records import Reason

WAIT_MILLISECONDS = 60_000  # for another process that is writing
PAUSE_SECONDS = 0.02  # between attempts to get a lock that SQLite does not wait for
FOR_ITS_OWNER = 0o600  # answers are nobody else's
# the model's own doing; a request that failed is asked again
KEPT_REASONS = (None, Reason.REFUSED, Reason.UNPARSABLE)

# Rows lie in the order in which they came, without gaps; the index alone is in that of its keys.
SCHEMA = """
CREATE TABLE IF NOT EXISTS models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS packed_answers (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    model INTEGER NOT NULL REFERENCES models,
    packed BLOB NOT NULL,
    reason TEXT,
    detail TEXT,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    money REAL,
    asked_at INTEGER NOT NULL,
    room INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS answer_keys ON packed_answers (key);
CREATE TABLE IF NOT EXISTS spending (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    requests INTEGER NOT NULL,
    money REAL NOT NULL
)
"""
# What was sent counts, answered or not: so that a run that goes on knows what it may still spend.
BEGUN = (
    "INSERT OR IGNORE INTO spending SELECT 1, count(*), coalesce(sum(money), 0) FROM packed_answers"
)
REPLACED = ("packed", "reason", "detail", "asked_at", "room")
ADDED = ("prompt_tokens", "completion_tokens", "money")
INSERT = (
    f"INSERT INTO packed_answers (key, model, {', '.join((*REPLACED, *ADDED))})"
    f" VALUES (:key, :model, {', '.join(f':{name}' for name in (*REPLACED, *ADDED))})"
    " ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in REPLACED)
    + "".join(f", {name} = packed_answers.{name} + excluded.{name}" for name in ADDED)
    + f" WHERE packed_answers.reason = '{Reason.UNPARSABLE}'"
    + " OR packed_answers.room IS NULL AND :room"
)
HEX = frozenset("0123456789abcdef")
KEY_BYTES = 16  # of a hash: enough that no two requests have the same
FORMER = "answers"  # the table of former versions, whose rows were not packed
FORMER_COLUMNS = (
    *("key", "model", "text", "reason", "detail", "logprobs"),
    *("prompt_tokens", "completion_tokens", "money", "asked_at"),
)


@dataclass(frozen=True, slots=True)
class ModelSpending:
    """What the answers of one model have cost."""

    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    money: float  # as far as it is known
    priced: bool  # whether it is known of every answer


def request_key(body: Mapping[str, Any]) -> str:
    """The SHA-256 of a whole request: model, messages and every sampling parameter.

    The address is not part of it, so that a server may move. Keep one ledger for one meaning of
    each model's name.
    """
    return hashlib.sha256(
        b"{" + b",".join(member_json(name, body[name]) for name in sorted(body)) + b"}"
    ).hexdigest()


def member_json(name: str, value: Any) -> bytes:
    """One member of an object as JSON, names in their order: the turns of a chat, which are most
    of it, by a faster way to the same bytes.

    >>> member_json("messages", [{"role": "user", "content": "Hi"}])
    b'"messages":[{"content":"Hi","role":"user"}]'
    """
    if name == MESSAGES:
        with suppress(TypeError):  # halves of characters
            return b'"messages":' + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    whole = json.dumps({name: value}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return whole[1:-1].encode("utf-8", errors="surrogatepass")


class Ledger:
    """Answers by the key of their request. `None` for the path keeps them in memory, for one run.

    Each answer is committed before `put` returns: a process that is killed loses none of those it
    handed on. Several processes may share one file on a local disk; they wait for each other.
    Raises BadInput where the file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._models: dict[str, int] = {}
        with self._explained():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, FOR_ITS_OWNER))
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path,
                isolation_level=None,
                timeout=WAIT_MILLISECONDS / 1000,
            )
        try:
            with self._explained():
                self._write_ahead()
                # outlives the process; a power cut may take the last
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        """Make the tables where there are none, and pack what a former version kept."""
        self._connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            self._connection.execute(statement)
        former = self._connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (FORMER,)
        ).fetchone()
        if former:
            self._pack_former()
        self._connection.execute(BEGUN)
        self._connection.execute("COMMIT")
        if former:
            with suppress(sqlite3.OperationalError):  # another process reads it
                self._connection.execute("VACUUM")

    def _pack_former(self) -> None:
        """Take over the rows of a former version."""
        columns = {row[1] for row in self._connection.execute(f"PRAGMA table_info({FORMER})")}
        room = "room" if "room" in columns else "NULL"
        rows = self._connection.execute(f"SELECT {', '.join(FORMER_COLUMNS)}, {room} FROM {FORMER}")
        for (
            key,
            model,
            text,
            reason,
            detail,
            logprobs,
            asked,
            said,
            money,
            asked_at,
            allowed,
        ) in rows:
            generated, own = (None, None) if logprobs is None else logprobs_from_json(logprobs)
            why = None if reason is None else Reason(reason)
            answer = Answer(text, why, detail, generated, asked, said, money, own)
            self._insert(key, model, answer, allowed, asked_at)
        self._connection.execute(f"DROP TABLE {FORMER}")

    def _write_ahead(self) -> None:
        """Turn the write-ahead log on.

        SQLite does not wait for this lock by itself, so that two who open at once would clash.
        """
        deadline = time.monotonic() + WAIT_MILLISECONDS / 1000
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_SECONDS)

    def get(self, key: str, room: Callable[[], int] = lambda: 0, wanted: int = 0) -> Answer | None:
        """The answer to that request, if there is one that would not come out otherwise today.

        An answer that could not be read is none where it was allowed fewer tokens than `room` says.
        Of an answer that a former version kept nobody knows whether it was cut off: it is none if
        it used up the `wanted` tokens.
        """
        columns = "packed, reason, detail, prompt_tokens, completion_tokens, money, room"
        with self._explained():
            row = self._connection.execute(
                f"SELECT {columns} FROM packed_answers WHERE key = ?", (key_bytes(key),)
            ).fetchone()
        if row is None:
            return None
        packed, reason, detail, prompt_tokens, completion_tokens, money, allowed = row
        if reason == Reason.UNPARSABLE and (allowed or 0) < room():
            return None
        if allowed is None and 0 < wanted <= completion_tokens:
            return None
        said = unpack_answer(packed)
        return Answer(
            text=said.text,
            reason=None if reason is None else Reason(reason),
            detail=detail or "",
            logprobs=said.logprobs,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            money=money,
            prompt_logprobs=said.prompt_logprobs,
        )

    def keep(self, key: str, model: str, answer: Answer, room: int | None = None) -> bool:
        """Keep an answer, if it is one: a request that failed is not kept.

        `room`: how many tokens it was allowed. The first answer to a request stays, unless it could
        not be read or may have been cut off; what both cost is added up.
        """
        if answer.reason not in KEPT_REASONS:
            return False
        with self._explained():
            self._insert(key, model, answer, room, time.time())
        return True

    def _insert(
        self, key: str, model: str, answer: Answer, room: int | None, asked_at: float
    ) -> None:
        """Keep one answer."""
        row = {
            "key": key_bytes(key),
            "model": self._model_number(model),
            "packed": pack_answer(answer),
            "reason": None if answer.reason is None else answer.reason.value,
            "detail": answer.detail or None,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "money": answer.money,
            "asked_at": round(asked_at),
            "room": room,
        }
        self._connection.execute(INSERT, row)

    def _model_number(self, name: str) -> int:
        """What stands for a model's name."""
        if name not in self._models:
            self._connection.execute("INSERT OR IGNORE INTO models (name) VALUES (?)", (name,))
            [self._models[name]] = self._connection.execute(
                "SELECT id FROM models WHERE name = ?", (name,)
            ).fetchone()
        return self._models[name]

    def request(self, most: int = 0, number: int = 1) -> bool:
        """Count a number of requests that are about to be sent; False, and nothing counted, where
        `most` have been (0 for no bound).
        """
        with self._explained():
            sent = self._connection.execute(
                "UPDATE spending SET requests = requests + :number"
                " WHERE requests < :most OR :most = 0",
                {"most": most, "number": number},
            )
        return sent.rowcount == 1

    def spend(self, money: float) -> None:
        """Count money that a request has cost."""
        if money:
            with self._explained():
                self._connection.execute("UPDATE spending SET money = money + ?", (money,))

    def spending(self) -> tuple[int, float]:
        """How many requests were sent, and what they have cost as far as it is known."""
        with self._explained():
            requests, money = self._connection.execute(
                "SELECT requests, money FROM spending"
            ).fetchone()
        return int(requests), float(money)

    def __len__(self) -> int:
        with self._explained():
            return int(
                self._connection.execute("SELECT count(*) FROM packed_answers").fetchone()[0]
            )

    def spent(self) -> float:
        """The money that all answers here have cost, as far as it is known."""
        with self._explained():
            return float(
                self._connection.execute(
                    "SELECT coalesce(sum(money), 0) FROM packed_answers"
                ).fetchone()[0]
            )

    def spending_by_model(self) -> list[ModelSpending]:
        """What each model's answers here have cost."""
        asked = (
            "name, count(*), sum(prompt_tokens), sum(completion_tokens), coalesce(sum(money), 0),"
            " count(*) = count(money)"
        )
        with self._explained():
            rows = self._connection.execute(
                f"SELECT {asked} FROM packed_answers JOIN models ON models.id = model GROUP BY name"
            ).fetchall()
        return [ModelSpending(*row[:4], money=float(row[4]), priced=bool(row[5])) for row in rows]

    def close(self) -> None:
        """Close the file; the ledger cannot be used after that."""
        self._connection.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Generator[None, None, None]:
        """Say in one sentence why the file cannot be used."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BadInput(
                f"{self.path}: answers cannot be kept there ({error}); give a writable file on a"
                " local disk with space left"
            ) from error


def key_bytes(key: str) -> bytes:
    """The first bytes of a hash, out of its digits; of any other key, of its own hash.

    >>> key_bytes("0f" * 32) == bytes([15] * 16)
    True
    """
    digits = len(key) == 64 and HEX.issuperset(key)
    whole = bytes.fromhex(key) if digits else hashlib.sha256(key.encode()).digest()
    return whole[:KEY_BYTES]


def logprobs_from_json(
    text: str,
) -> tuple[tuple[TokenLogprob, ...] | None, tuple[PromptToken, ...] | None]:
    """Log-probabilities of the generated tokens and of the prompt's own, out of a former ledger.

    A bare list holds generated ones.
    """
    kept: Any = json.loads(text)
    generated, own = (kept, None) if isinstance(kept, list) else (kept["generated"], kept["prompt"])
    return (
        (
            None
            if generated is None
            else tuple(
                TokenLogprob(token, value, alternative_pairs(others))
                for token, value, others in generated
            )
        ),
        (
            None
            if own is None
            else tuple(
                PromptToken(a, b, token, value, alternative_pairs(others))
                for a, b, token, value, others in own
            )
        ),
    )


def alternative_pairs(alternatives: list[Any]) -> tuple[tuple[str, float], ...]:
    """Alternatives out of JSON."""
    return tuple((token, logprob) for token, logprob in alternatives)
