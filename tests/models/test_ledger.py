"""The ledger keeps answers, and only answers, through kills and beside other processes."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
from former_ledger import write_former
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.errors import BadInput
from gloss.models.chat_models.ledger import Ledger, ModelSpending, request_key
from gloss.models.chat_models.packed_answers import in_24_bits, pack_answer, unpack_answer
from gloss.models.chat_models.prompts import Answer, PromptToken, TokenLogprob
from gloss.records import Reason

FLOATS = st.floats(-1e3, 0)

WRITER = """
import sys, itertools
from pathlib import Path
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.prompts import Answer
with Ledger(Path(sys.argv[1])) as ledger:
    for i in itertools.count() if sys.argv[3] == "ever" else range(int(sys.argv[3])):
        ledger.keep(f"{sys.argv[2]} {i}", "m", Answer(f"answer {i}"))
        print(i, flush=True)
"""


def writer(path, name, number):
    command = [sys.executable, "-c", WRITER, str(path), name, str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_an_answer_comes_back_whole(tmp_path):
    logprobs = (TokenLogprob("ja", -0.25, (("nein", -1.5), ("\n", -9.0))), TokenLogprob("!", -0.5))
    answer = Answer(
        "schön\n\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        None,
        "",
        logprobs,
        12,
        3,
        0.125,
    )
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.keep("k", "m", answer)
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.get("k") == answer
        assert ledger.get("other") is None


def test_a_refusal_is_kept_and_a_failed_request_is_not(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.keep("refused", "m", Answer(None, Reason.REFUSED, "no"))
        assert not ledger.keep("failed", "m", Answer(None, Reason.REQUEST_ERROR, "down"))
        assert ledger.get("refused") == Answer(None, Reason.REFUSED, "no")
        assert ledger.get("failed") is None


def test_the_first_answer_stays():
    with Ledger(None) as ledger:
        ledger.keep("k", "m", Answer("first"))
        ledger.keep("k", "m", Answer("second"))
        assert ledger.get("k") == Answer("first")
        assert len(ledger) == 1


def test_money_adds_up():
    with Ledger(None) as ledger:
        assert ledger.spent() == 0
        for number in range(4):
            ledger.keep(str(number), "m", Answer("x", money=0.5 if number else None))
        assert ledger.spent() == 1.5


def test_the_key_is_of_the_whole_request_whatever_its_order():
    body = {"model": "m", "temperature": 0.0, "messages": [{"role": "user", "content": "x"}]}
    assert request_key(body) == request_key(dict(reversed(body.items())))
    others = [
        body | {"model": "n"},
        body | {"temperature": 1.0},
        body | {"max_tokens": 5},
        body | {"messages": []},
    ]
    assert len({request_key(one) for one in [body, *others]}) == 5


def test_a_killed_process_loses_nothing_that_it_had_kept(tmp_path):
    process = writer(tmp_path / "l", "a", "ever")
    last = -1
    while last < 200:
        last = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    with Ledger(tmp_path / "l") as ledger:
        assert all(ledger.get(f"a {i}") == Answer(f"answer {i}") for i in range(last + 1))


def test_a_ledger_that_another_is_just_making_is_waited_for(tmp_path):
    other = sqlite3.connect(tmp_path / "l", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE begun (x)")
    # a lock for which SQLite does not wait when the write-ahead log is turned on
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO begun VALUES (1)")
    threading.Timer(0.5, other.close).start()
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.keep("key", "m", Answer("kept"))


def test_two_processes_write_at_once(tmp_path):
    processes = [writer(tmp_path / "l", name, 150) for name in "ab"]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    with Ledger(tmp_path / "l") as ledger:
        assert len(ledger) == 300


def test_a_file_that_is_no_ledger_is_one_sentence(tmp_path):
    (tmp_path / "l").write_text("this is no database, however long it is. " * 100)
    with pytest.raises(
        BadInput, match=r"answers cannot be kept there \(file is not a database"
    ) as error:
        Ledger(tmp_path / "l")
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="answers cannot be kept there"):
        Ledger(tmp_path / "file" / "l")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_folder_is_one_sentence(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(BadInput, match="answers cannot be kept there"):
        Ledger(tmp_path / "l")


def test_a_full_disk_is_one_sentence(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        ledger._connection.execute("PRAGMA max_page_count=4")
        with pytest.raises(BadInput, match=r"database or disk is full.*space left"):
            ledger.keep("k", "m", Answer(os.urandom(100_000).hex()))
        assert ledger.get("k") is None


def test_log_probabilities_of_the_prompt_come_back_with_their_places():
    own = (
        PromptToken(0, 3, "def", None),
        PromptToken(3, 5, " a", -0.5, ((" a", -0.5), (" b", -2.0))),
    )
    answer = Answer("", prompt_logprobs=own)
    with Ledger(None) as ledger:
        ledger.keep("k", "m", answer)
        assert ledger.get("k") == answer


def test_ledgers_of_former_versions_are_taken_over_once(tmp_path):
    bare, named = (
        '[["ja", -0.3, [["nein", -1.5]]]]',
        ('{"generated": null, "prompt": [[0, 3, "def", null, []]]}'),
    )
    key = "0f" * 32
    write_former(
        tmp_path / "l",
        ("k", "m", "ja", None, "", bare, 10, 1, 0.5, 7.5),
        (key, "m", "", None, "", named, 10, 1, None, 7.5),
        ("no", "n", None, "refused", "never", None, 10, 0, None, 7.5),
    )
    for _ in range(2):
        with Ledger(tmp_path / "l") as ledger:
            logprobs = (TokenLogprob("ja", -0.3, (("nein", -1.5),)),)
            assert ledger.get("k") == Answer("ja", None, "", logprobs, 10, 1, 0.5)
            assert ledger.get(key).prompt_logprobs == (PromptToken(0, 3, "def", None),)
            assert ledger.get("no") == Answer(None, Reason.REFUSED, "never", None, 10)
            assert (len(ledger), ledger.spending()) == (3, (3, 0.5))


def test_a_killed_take_over_loses_nothing(tmp_path, monkeypatch):
    write_former(
        tmp_path / "l", *((str(n), "m", f"a{n}", None, "", None, 1, 1, None, 7.5) for n in range(5))
    )
    inner = Ledger._insert

    def third_fails(self, key, *given):
        if key == "3":
            raise KeyboardInterrupt
        inner(self, key, *given)

    monkeypatch.setattr(Ledger, "_insert", third_fails)
    with pytest.raises(KeyboardInterrupt):
        Ledger(tmp_path / "l")
    monkeypatch.undo()
    with Ledger(tmp_path / "l") as ledger:
        assert [ledger.get(str(n)).text for n in range(5)] == [f"a{n}" for n in range(5)]


@settings(max_examples=60, deadline=None)
@given(
    st.none() | st.text(),
    st.none() | st.lists(st.tuples(st.text(), FLOATS, st.lists(st.tuples(st.text(), FLOATS)))),
    st.booleans(),
)
def test_whatever_an_answer_holds_comes_back(text, tokens, short):
    values = (lambda value: in_24_bits([value])[0]) if short else float
    logprobs = tokens and tuple(
        TokenLogprob(token, values(one), tuple((t, values(v)) for t, v in others), start)
        for start, (token, one, others) in enumerate(tokens)
    )
    answer = Answer(text, None if text is not None else Reason.REFUSED, logprobs=logprobs or None)
    found = unpack_answer(pack_answer(answer))
    assert (found.text, found.logprobs) == (answer.text, answer.logprobs)


def test_24_bits_are_one_part_in_60_000():
    values = -np.random.default_rng(0).exponential(5, 1000)
    short = np.array(in_24_bits(values.tolist()))
    assert 1e-6 < np.abs(short / values - 1).max() < 1 / 60_000


def test_totals_are_by_model_and_say_whether_every_price_is_known(tmp_path):
    with Ledger(tmp_path / "answers.sqlite") as ledger:
        assert ledger.spending_by_model() == []
        for number, (model, money) in enumerate([("a", 0.5), ("a", 0.25), ("b", 1.0), ("b", None)]):
            ledger.keep(
                str(number),
                model,
                Answer("yes", prompt_tokens=10, completion_tokens=2, money=money),
            )
        assert ledger.spending_by_model() == [
            ModelSpending("a", 2, 20, 4, 0.75, True),
            ModelSpending("b", 2, 20, 4, 1.0, False),
        ]
