"""Chat against a real server process that fails in every way that servers do."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from gloss.errors import BadInput, BadSettings, Unreachable
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.prices import Usage
from gloss.records import Reason
from models.servers import serve
from models.talks import asking, asking_text, question

ASKER = """
import sys
from pathlib import Path
import numpy as np
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Message, Prompt

def talk(text):
    [answer] = yield [Prompt((Message("user", text),))]
    return answer.text

Chat("m", sys.argv[1], max_concurrent_requests=16).run(
    (talk(f"prompt {i}") for i in range(int(sys.argv[3]))),
    np.random.default_rng(),
    ledger=Path(sys.argv[2]),
)
"""


def test_conversations_come_back_in_their_order(rng):
    def talk(number):
        first = yield [question(f"a {number}"), question(f"b {number}")]
        [last] = yield [question(first[1].text)]
        return number, last.text

    with serve() as server:
        results = Chat("m", server.base_url).run((talk(i) for i in range(20)), rng)
    assert [number for number, _ in results] == list(range(20))
    assert len({text for _, text in results}) == 20


def test_conversations_that_ask_nothing_need_no_endpoint(rng):
    def silent(number):
        return number
        yield []

    assert Chat().run((silent(i) for i in range(1000)), rng) == list(range(1000))


def test_asking_nothing_does_not_import_the_client():
    code = (
        "import sys, numpy as np\nfrom gloss.models.chat_models.client import Chat\ndef talk():\n  "
        "  return 1\n    yield []\nassert Chat().run([talk()], np.random.default_rng()) =="
        " [1]\nassert not {'httpx', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_more_requests_than_allowed_are_in_flight_and_no_more_conversations_begun(rng):
    begun = ended = most = 0

    def talk(number):
        nonlocal begun, ended, most
        begun += 1
        most = max(most, begun - ended)
        yield [question(f"{number} {i}") for i in range(3)]
        ended += 1

    with serve(seconds=0.005) as server:
        Chat("m", server.base_url, max_concurrent_requests=4).run((talk(i) for i in range(40)), rng)
        assert max(request["at_once"] for request in server.requests()) == 4
    assert (begun, ended, most) == (40, 40, 4)


def test_a_pool_that_was_cancelled_begins_nothing_more(rng):
    with serve() as server, Chat("m", server.base_url).pool(rng) as pool:
        pool.run([asking_text("before")])
        pool.cancel()
        with pytest.raises(CancelledError):
            pool.run([asking_text("after")])
        assert len(server.requests()) == 1


@pytest.mark.parametrize("breaking", [SystemExit, KeyboardInterrupt])
def test_what_breaks_the_loop_reaches_who_waits_and_ends_no_other(rng, breaking):
    def leave():
        raise breaking(3)
        yield []

    with serve() as server, Chat("m", server.base_url).pool(rng) as pool:
        with pytest.raises(breaking):
            pool.run([leave()])
        [[answer]] = pool.run([asking_text("after")])
        assert answer.text is not None


def test_a_million_conversations_to_come_are_not_begun_at_once(rng):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield asking_text(f"prompt {taken}")

    def stop(usage: Usage):
        if usage.conversations == 20:
            raise KeyError("enough")

    with serve() as server, pytest.raises(KeyError, match="enough"):
        Chat("m", server.base_url, max_concurrent_requests=8).run(endless(), rng, progress=stop)
    assert taken <= 20 + 8 + 8  # what was in flight when it stopped


def test_2000_requests_under_20_percent_faults_lose_none_and_ask_none_twice(rng, tmp_path):
    with serve(faults=0.2) as server:
        results = Chat("m", server.base_url).run(
            (asking_text(f"prompt {i}") for i in range(2000)),
            rng,
            ledger=tmp_path / "answers.sqlite",
        )
        requests, answered = server.requests(), server.answered()
    assert all(answer.text is not None and answer.text.startswith("echo") for [answer] in results)
    assert len({answer.text for [answer] in results}) == 2000
    assert answered == {f"prompt {i}": 1 for i in range(2000)}
    assert len(requests) > 2300  # the faults did happen


def test_a_run_that_was_killed_asks_nothing_twice(rng, tmp_path):
    ledger, number = tmp_path / "answers.sqlite", 600
    with serve(faults=0.1, seconds=0.01) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", ASKER, server.base_url, str(ledger), str(number)]
        )
        while sum(server.answered().values()) < 150:
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        time.sleep(0.2)  # for what was in flight to be logged
        with Ledger(ledger) as answers:
            kept = len(answers)
        before = server.answered()
        Chat("m", server.base_url).run(
            (asking_text(f"prompt {i}") for i in range(number)), rng, ledger=ledger
        )
        after = server.answered()
    assert kept < number
    assert set(after) == {f"prompt {i}" for i in range(number)}
    assert sum((after - before).values()) == number - kept  # exactly those that were not kept
    assert sum(after.values()) - number <= 16  # only what was in flight at the kill


def test_an_unreachable_endpoint_is_one_sentence(rng):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        began = time.monotonic()
        with pytest.raises(
            Unreachable, match=r"gives no answers \(no connection.*check that the server runs"
        ) as error:
            Chat("m", url).run((asking_text(str(i)) for i in range(100)), rng)
    assert time.monotonic() - began < 10
    assert "\n" not in str(error.value)


def test_a_server_that_dies_in_the_middle_ends_the_run_and_keeps_what_was_answered(rng, tmp_path):
    def die(usage: Usage):
        if usage.conversations == 30:
            server.process.kill()

    with serve() as server, pytest.raises(Unreachable):
        Chat("m", server.base_url, max_attempts=3).run(
            (asking_text(str(i)) for i in range(200)), rng, ledger=tmp_path / "l", progress=die
        )
    with Ledger(tmp_path / "l") as ledger:
        assert 30 <= len(ledger) < 200


def test_an_address_of_something_else_ends_the_run(rng):
    with (
        serve(always="garbage") as server,
        pytest.raises(Unreachable, match="a web page: 502 Bad Gateway"),
    ):
        Chat("m", server.base_url, max_attempts=2).run(
            (asking_text(str(i)) for i in range(50)), rng
        )


def test_equal_prompts_in_flight_are_asked_once(rng):
    with serve(seconds=0.05) as server:
        results = Chat("m", server.base_url).run((asking_text("same") for _ in range(20)), rng)
        assert len(server.requests()) == 1
    assert len({answer.text for [answer] in results}) == 1


def test_a_failed_request_is_asked_again_by_the_next_run(rng, tmp_path):
    with serve(script=["500"]) as server:
        chat = Chat("m", server.base_url, max_attempts=1)
        [[failed]] = chat.run([asking_text("x")], rng, ledger=tmp_path / "l")
        [[answered]] = chat.run([asking_text("x")], rng, ledger=tmp_path / "l")
    assert failed.reason is Reason.REQUEST_ERROR
    assert answered.text is not None


def test_another_temperature_or_model_is_another_request(rng, tmp_path):
    with serve() as server:
        for model, temperature in (("a", 0.0), ("b", 0.0), ("a", 1.0), ("a", 0.0)):
            prompt = question("x", temperature=temperature)
            Chat(model, server.base_url).run([asking(prompt)], rng, ledger=tmp_path / "l")
        assert len(server.requests()) == 3


def test_settings_reach_the_server(rng, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    with serve() as server:
        chat = Chat(
            "m",
            server.base_url,
            "MY_KEY",
            extra={"max_completion_tokens": 9, "enable_thinking": False},
        )
        chat.run([asking(question("x", temperature=0.5, top_logprobs=4))], rng)
        [request] = server.requests()
    assert request["key"] == "Bearer secret"
    body = request["body"]
    assert (body["model"], body["temperature"], body["logprobs"], body["top_logprobs"]) == (
        "m",
        0.5,
        True,
        4,
    )
    assert (body["max_completion_tokens"], body["enable_thinking"]) == (9, False)
    assert "max_tokens" not in body


def test_an_error_in_a_conversation_rises_and_the_others_are_closed(rng):
    closed = []

    def patient(number):
        try:
            yield [question(str(number))]
        finally:
            closed.append(number)

    def broken():
        yield [question("x")]
        raise KeyError("broken")

    with serve(script=["hang"] * 2 + ["ok"]) as server, pytest.raises(KeyError, match="broken"):
        Chat("m", server.base_url).run([patient(1), patient(2), broken()], rng)
    assert sorted(closed) == [1, 2]


def test_it_runs_where_a_loop_runs_already(rng):
    import asyncio

    async def notebook():
        return Chat().run(iter(()), rng)

    with ThreadPoolExecutor(1) as thread:  # this one's loop may be taken by a browser
        assert thread.submit(asyncio.run, notebook()).result() == []


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"base_url": "localhost:8000"}, "base_url is 'localhost:8000', wants an address"),
        ({"base_url": "http://host:port/v1"}, "wants an address"),
        ({"max_concurrent_requests": 0}, "max_concurrent_requests is 0"),
        ({"timeout_seconds": -1.0}, "timeout_seconds is -1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(BadSettings, match=words):
        Chat("m", **settings)


def test_asking_without_a_model_says_what_to_set(rng):
    with pytest.raises(BadSettings, match="set model and base_url"):
        Chat().run([asking_text("x")], rng)


def test_a_key_with_a_line_break_in_it_is_refused(rng, monkeypatch):
    monkeypatch.setenv("GLOSS_API_KEY", "a\nb")
    with pytest.raises(BadSettings, match="GLOSS_API_KEY holds characters"):
        Chat("m").run([asking_text("x")], rng)


def test_a_ledger_that_cannot_be_written_is_one_sentence(rng, tmp_path):
    with pytest.raises(BadInput, match="answers cannot be kept there"):
        Chat("m").run([asking_text("x")], rng, ledger=tmp_path)


def test_what_nobody_holds_any_more_does_not_outlive_the_beginning_of_a_pool(rng):
    class Circle:
        pass

    circle = Circle()
    circle.itself = circle
    held = weakref.ref(circle)
    gc.disable()
    try:
        del circle
        with Chat("m", "http://127.0.0.1:9/v1").pool(rng):
            assert held() is None
    finally:
        gc.enable()


def test_what_was_frozen_before_a_pool_stays_so(rng):
    gc.freeze()
    with Chat("m", "http://127.0.0.1:9/v1").pool(rng):
        pass
    assert gc.get_freeze_count() > 0
