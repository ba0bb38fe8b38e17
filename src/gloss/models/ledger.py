"""Every answer that was paid for, kept in SQLite under the hash of its whole request, so that nothing is asked twice."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gloss.errors import BadInput
from gloss.models.prompts import Answer, PromptToken, TokenLogprob
from gloss.records import Reason

WAIT_MILLISECONDS = 60_000  # for another process that is writing
PAUSE_SECONDS = 0.02  # between attempts to get a lock that SQLite does not wait for
KEPT_REASONS = (None, Reason.REFUSED, Reason.UNPARSABLE)  # the model's own doing; a request that failed is asked again

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    text TEXT,
    reason TEXT,
    detail TEXT NOT NULL,
    logprobs TEXT,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    money REAL,
    asked_at REAL NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the answers of one model have cost."""

    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    money: float  # as far as it is known
    priced: bool  # whether it is known of every answer


def request_key(body: Mapping[str, Any]) -> str:
    """The SHA-256 of a whole request: model, messages and every sampling parameter.

    The address is not part of it, so that a server may move. Keep one ledger for one meaning of each model's name.
    """
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


class Ledger:
    """Answers by the key of their request. `None` for the path keeps them in memory, for one run.

    Each answer is committed before `put` returns: a process that is killed loses none of those it handed on. Several
    processes may share one file on a local disk; they wait for each other. Raises BadInput where the file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        with self._explained():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path, isolation_level=None, timeout=WAIT_MILLISECONDS / 1000
            )
        try:
            with self._explained():
                self._write_ahead()
                self._connection.execute("PRAGMA synchronous=NORMAL")  # outlives the process; a power cut may take the last
                self._connection.execute(SCHEMA)
        except BadInput:
            self._connection.close()
            raise

    def _write_ahead(self) -> None:
        """Turn the write-ahead log on. SQLite does not wait for this lock by itself, so that two who open at once would clash."""
        deadline = time.monotonic() + WAIT_MILLISECONDS / 1000
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_SECONDS)

    def get(self, key: str) -> Answer | None:
        """The answer to that request, if there is one."""
        columns = "text, reason, detail, logprobs, prompt_tokens, completion_tokens, money"
        with self._explained():
            row = self._connection.execute(f"SELECT {columns} FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        text, reason, detail, logprobs, prompt_tokens, completion_tokens, money = row
        generated, own = (None, None) if logprobs is None else decoded(logprobs)
        return Answer(
            text=text,
            reason=None if reason is None else Reason(reason),
            detail=detail,
            logprobs=generated,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            money=money,
            prompt_logprobs=own,
        )

    def put(self, key: str, model: str, answer: Answer) -> bool:
        """Keep an answer, if it is one: a request that failed is not kept. The first answer to a request stays."""
        if answer.reason not in KEPT_REASONS:
            return False
        logprobs = encoded(answer)
        reason = None if answer.reason is None else answer.reason.value
        row = (key, model, answer.text, reason, answer.detail, logprobs, answer.prompt_tokens, answer.completion_tokens)
        with self._explained():
            self._connection.execute(
                f"INSERT OR IGNORE INTO answers VALUES ({','.join('?' * 10)})", (*row, answer.money, time.time())
            )
        return True

    def __len__(self) -> int:
        with self._explained():
            return int(self._connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def spent(self) -> float:
        """The money that all answers here have cost, as far as it is known."""
        with self._explained():
            return float(self._connection.execute("SELECT coalesce(sum(money), 0) FROM answers").fetchone()[0])

    def totals(self) -> list[Spent]:
        """What each model's answers here have cost."""
        asked = "model, count(*), sum(prompt_tokens), sum(completion_tokens), coalesce(sum(money), 0), count(*) = count(money)"
        with self._explained():
            rows = self._connection.execute(f"SELECT {asked} FROM answers GROUP BY model").fetchall()
        return [
            Spent(model, number, prompt, answer, money, bool(priced)) for model, number, prompt, answer, money, priced in rows
        ]

    def close(self) -> None:
        """Close the file; the ledger cannot be used after that."""
        self._connection.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Generator[None, None, None]:
        """Say in one sentence why the file cannot be used."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BadInput(
                f"{self.path}: answers cannot be kept there ({error}); give a writable file on a local disk with space left"
            ) from error


def encoded(answer: Answer) -> str | None:
    """The log-probabilities of an answer as JSON; None where there are none."""
    if answer.logprobs is None and answer.prompt_logprobs is None:
        return None
    generated = answer.logprobs and [[one.token, one.logprob, one.alternatives] for one in answer.logprobs]
    own = answer.prompt_logprobs and [[o.start, o.end, o.token, o.logprob, o.alternatives] for o in answer.prompt_logprobs]
    return json.dumps({"generated": generated, "prompt": own})


def decoded(text: str) -> tuple[tuple[TokenLogprob, ...] | None, tuple[PromptToken, ...] | None]:
    """Log-probabilities of the generated tokens and of the prompt's own, out of JSON; a bare list is of generated ones."""
    kept: Any = json.loads(text)
    generated, own = (kept, None) if isinstance(kept, list) else (kept["generated"], kept["prompt"])
    return (
        None if generated is None else tuple(TokenLogprob(token, value, pairs(others)) for token, value, others in generated),
        None if own is None else tuple(PromptToken(a, b, token, value, pairs(others)) for a, b, token, value, others in own),
    )


def pairs(alternatives: list[Any]) -> tuple[tuple[str, float], ...]:
    """Alternatives out of JSON."""
    return tuple((token, logprob) for token, logprob in alternatives)
