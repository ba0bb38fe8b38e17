"""Ledgers as former versions wrote them."""

import sqlite3

from gloss.models.chat_models.packed_answers import unpack_answer

FORMER = """
CREATE TABLE answers (
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


def write_former(path, *rows):
    """A ledger of the first version: rows of key, model, text, reason, detail, log-probabilities,
    prompt tokens, completion tokens, money and time.
    """
    with sqlite3.connect(path) as connection:
        connection.execute(FORMER)
        connection.executemany(f"INSERT INTO answers VALUES ({', '.join('?' * 10)})", rows)
    connection.close()


def make_former(path):
    """Turn a ledger into one of the first version."""
    asked = "SELECT hex(key), packed, prompt_tokens, completion_tokens FROM packed_answers"
    connection = sqlite3.connect(path)
    rows = [
        (
            key.lower() + "0" * 32,
            "m",
            unpack_answer(packed).text,
            None,
            "",
            None,
            *counts,
            None,
            1.5,
        )
        for key, packed, *counts in connection.execute(asked)
    ]
    connection.close()
    path.unlink()
    write_former(path, *rows)
