"""Chat against a real server process that fails in every way that servers do."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gloss.errors import BadInput, BadSettings, Unreachable
from gloss.models.chat import Chat, Session
from gloss.models.ledger import Ledger
from gloss.models.prices import Prices, Usage, estimate
from gloss.models.prompts import Answer, Message, Prompt
from gloss.models.replies import Fault, retry_after
from gloss.records import Reason
from models.servers import serve

ASKER = """
import sys
from pathlib import Path
import numpy as np
from gloss.models.chat import Chat
from gloss.models.prompts import Message, Prompt

def talk(text):
    [answer] = yield [Prompt((Message("user", text),))]
    return answer.text

Chat("m", sys.argv[1], max_concurrent_requests=16).hold(
    (talk(f"prompt {i}") for i in range(int(sys.argv[3]))), np.random.default_rng(), ledger=Path(sys.argv[2])
)
"""


def question(text: str, **settings) -> Prompt:
    return Prompt((Message("user", text),), **settings)


def asking(*prompts: Prompt):
    """Asks one round and returns the answers."""
    answers = yield list(prompts)
    return answers


def asking_text(text: str):
    return asking(question(text))


def one(server, rng, text="hello", **settings) -> Answer:
    """The answer to a single prompt."""
    [[answer]] = Chat("m", server.base_url, **settings).hold([asking_text(text)], rng)
    return answer


def test_conversations_come_back_in_their_order(rng):
    def talk(number):
        first = yield [question(f"a {number}"), question(f"b {number}")]
        [last] = yield [question(first[1].text)]
        return number, last.text

    with serve() as server:
        results = Chat("m", server.base_url).hold((talk(i) for i in range(20)), rng)
    assert [number for number, _ in results] == list(range(20))
    assert len({text for _, text in results}) == 20


def test_conversations_that_ask_nothing_need_no_endpoint(rng):
    def silent(number):
        return number
        yield []

    assert Chat().hold((silent(i) for i in range(1000)), rng) == list(range(1000))


def test_asking_nothing_does_not_import_the_client():
    code = (
        "import sys, numpy as np\nfrom gloss.models.chat import Chat\n"
        "def talk():\n    return 1\n    yield []\n"
        "assert Chat().hold([talk()], np.random.default_rng()) == [1]\nassert not {'openai', 'torch'} & set(sys.modules)"
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
        Chat("m", server.base_url, max_concurrent_requests=4).hold((talk(i) for i in range(40)), rng)
        assert max(request["at_once"] for request in server.requests()) == 4
    assert (begun, ended, most) == (40, 40, 4)


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
        Chat("m", server.base_url, max_concurrent_requests=8).hold(endless(), rng, progress=stop)
    assert taken <= 20 + 8 + 8  # what was in flight when it stopped


def test_2000_requests_under_20_percent_faults_lose_none_and_ask_none_twice(rng, tmp_path):
    with serve(faults=0.2) as server:
        results = Chat("m", server.base_url).hold(
            (asking_text(f"prompt {i}") for i in range(2000)), rng, ledger=tmp_path / "answers.sqlite"
        )
        requests, answered = server.requests(), server.answered()
    assert all(answer.text is not None and answer.text.startswith("echo") for [answer] in results)
    assert len({answer.text for [answer] in results}) == 2000
    assert answered == {f"prompt {i}": 1 for i in range(2000)}
    assert len(requests) > 2300  # the faults did happen


def test_a_run_that_was_killed_asks_nothing_twice(rng, tmp_path):
    ledger, number = tmp_path / "answers.sqlite", 600
    with serve(faults=0.1, seconds=0.01) as server:
        child = subprocess.Popen([sys.executable, "-c", ASKER, server.base_url, str(ledger), str(number)])
        while sum(server.answered().values()) < 150:
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        time.sleep(0.2)  # for what was in flight to be logged
        with Ledger(ledger) as answers:
            kept = len(answers)
        before = server.answered()
        Chat("m", server.base_url).hold((asking_text(f"prompt {i}") for i in range(number)), rng, ledger=ledger)
        after = server.answered()
    assert kept < number
    assert set(after) == {f"prompt {i}" for i in range(number)}
    assert sum((after - before).values()) == number - kept  # exactly those that were not kept
    assert sum(after.values()) - number <= 16  # only what was in flight at the kill


@pytest.mark.parametrize(
    "fault", ["429", "429_date", "500", "503", "garbage", "truncated", "empty", "drop", "drop_midway", "no_message", "error_200"]
)
def test_a_passing_fault_is_asked_again(rng, fault):
    with serve(script=[fault, "ok"]) as server:
        assert one(server, rng).text.startswith("echo")
        assert [request["action"] for request in server.requests()] == [fault, "ok"]


def test_retry_after_is_respected(rng):
    with serve(script=["429_1"]) as server:
        one(server, rng)
        first, second = server.requests()
    assert second["at"] - first["at"] >= 1.0


def test_retry_after_may_be_seconds_milliseconds_or_a_date_by_the_servers_clock():
    day = "Tue, 03 Jun 2025 10:00:"
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after-ms": "250", "retry-after": "7"}) == 0.25
    assert retry_after({"retry-after": f"{day}30 GMT", "date": f"{day}10 GMT"}) == 20
    assert retry_after({"retry-after": f"{day}10 GMT"}) == 0  # it is past
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_waits_are_random_and_grow(rng, tmp_path):
    with Ledger(None) as ledger:
        session = Session(Chat("m"), ledger, rng, None)
        waits = np.array([[session.wait_seconds(Fault(""), attempt) for _ in range(500)] for attempt in range(10)])
    assert waits[0].max() <= 0.5
    assert waits[9].max() <= 60
    assert waits[3].mean() == pytest.approx(2.0, rel=0.15)  # uniform from 0 to 4


def test_a_server_that_never_ends_its_reply_is_given_up(rng):
    with serve(script=["hang"]) as server:
        assert one(server, rng, timeout_seconds=0.5).text.startswith("echo")


def test_a_prompt_that_fails_every_time_gets_its_reason(rng):
    with serve(always="500") as server:
        answer = one(server, rng, max_attempts=2)
        assert len(server.requests()) == 2
    assert (answer.text, answer.reason) == (None, Reason.REQUEST_ERROR)
    assert "status 500: " in answer.detail


@pytest.mark.parametrize("fault", ["refusal", "filter", "400_filter", "flagged_200"])
def test_a_refusal_is_an_answer_and_is_not_asked_again(rng, tmp_path, fault):
    with serve(always=fault) as server:
        for _ in range(2):
            [[answer]] = Chat("m", server.base_url).hold([asking_text("x")], rng, ledger=tmp_path / "l")
            assert answer.reason is Reason.REFUSED
        assert len(server.requests()) == 1


def test_a_model_that_thinks_until_its_tokens_are_used_up_is_told_apart(rng):
    with serve(always="length") as server:
        answer = one(server, rng)
    assert answer.reason is Reason.UNPARSABLE
    assert "allow more" in answer.detail


@pytest.mark.parametrize(
    "fault, error, words",
    [
        ("401", BadSettings, "refuses the key .status 401.: .*put a valid key into the variable GLOSS_API_KEY"),
        ("404", BadSettings, "check base_url"),
        ("400", BadSettings, "unknown field"),
        ("402", Unreachable, "wants to be paid"),
        ("429_quota", Unreachable, "wants to be paid"),
        ("429_long", Unreachable, "asks to wait for 86400 seconds"),
    ],
)
def test_what_no_attempt_can_mend_stops_at_once_with_a_sentence(rng, fault, error, words):
    with serve(always=fault) as server:
        with pytest.raises(error, match=words):
            Chat("m", server.base_url, max_concurrent_requests=2).hold((asking_text(str(i)) for i in range(50)), rng)
        assert len(server.requests()) <= 2


def test_one_prompt_too_long_does_not_stop_the_others(rng):
    with serve(script=["400_long"]) as server:
        results = Chat("m", server.base_url, max_concurrent_requests=1).hold((asking_text(str(i)) for i in range(3)), rng)
    assert [answer.reason for [answer] in results] == [Reason.REQUEST_ERROR, None, None]


def test_an_unreachable_endpoint_is_one_sentence(rng):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"gives no answers \(no connection.*check that the server runs") as error:
            Chat("m", url).hold((asking_text(str(i)) for i in range(100)), rng)
    assert time.monotonic() - began < 10
    assert "\n" not in str(error.value)


def test_a_server_that_dies_in_the_middle_ends_the_run_and_keeps_what_was_answered(rng, tmp_path):
    def die(usage: Usage):
        if usage.conversations == 30:
            server.process.kill()

    with serve() as server, pytest.raises(Unreachable):
        Chat("m", server.base_url, max_attempts=3).hold(
            (asking_text(str(i)) for i in range(200)), rng, ledger=tmp_path / "l", progress=die
        )
    with Ledger(tmp_path / "l") as ledger:
        assert 30 <= len(ledger) < 200


def test_an_address_of_something_else_ends_the_run(rng):
    with serve(always="garbage") as server, pytest.raises(Unreachable, match="not JSON"):
        Chat("m", server.base_url, max_attempts=2).hold((asking_text(str(i)) for i in range(50)), rng)


def test_equal_prompts_in_flight_are_asked_once(rng):
    with serve(seconds=0.05) as server:
        results = Chat("m", server.base_url).hold((asking_text("same") for _ in range(20)), rng)
        assert len(server.requests()) == 1
    assert len({answer.text for [answer] in results}) == 1


def test_a_failed_request_is_asked_again_by_the_next_run(rng, tmp_path):
    with serve(script=["500"]) as server:
        chat = Chat("m", server.base_url, max_attempts=1)
        [[failed]] = chat.hold([asking_text("x")], rng, ledger=tmp_path / "l")
        [[answered]] = chat.hold([asking_text("x")], rng, ledger=tmp_path / "l")
    assert failed.reason is Reason.REQUEST_ERROR
    assert answered.text is not None


def test_another_temperature_or_model_is_another_request(rng, tmp_path):
    with serve() as server:
        for model, temperature in (("a", 0.0), ("b", 0.0), ("a", 1.0), ("a", 0.0)):
            prompt = question("x", temperature=temperature)
            Chat(model, server.base_url).hold([asking(prompt)], rng, ledger=tmp_path / "l")
        assert len(server.requests()) == 3


def test_settings_reach_the_server(rng, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    with serve() as server:
        chat = Chat("m", server.base_url, "MY_KEY", extra={"max_completion_tokens": 9, "enable_thinking": False})
        chat.hold([asking(question("x", temperature=0.5, top_logprobs=4))], rng)
        [request] = server.requests()
    assert request["key"] == "Bearer secret"
    body = request["body"]
    assert (body["model"], body["temperature"], body["logprobs"], body["top_logprobs"]) == ("m", 0.5, True, 4)
    assert (body["max_completion_tokens"], body["enable_thinking"]) == (9, False)
    assert "max_tokens" not in body


def test_log_probabilities_are_read_and_their_absence_is_told(rng):
    with serve(script=["logprobs", "ok"]) as server:
        with_them, without = one(server, rng), one(server, rng)
    assert with_them.logprobs[0].alternatives == (("0", -2.4),)
    assert without.logprobs is None


def test_usage_counts_tokens_money_and_answers_that_were_there(rng, tmp_path):
    seen: list[Usage] = []
    with serve(script=["500", "priced", "ok"]) as server:
        chat = Chat("m", server.base_url, max_concurrent_requests=1, prices=Prices(1.0, 2.0))
        chat.hold([asking_text(t) for t in ("a", "b", "a")], rng, ledger=tmp_path / "l", progress=seen.append)
    last = seen[-1]
    assert (last.conversations, last.answered, last.reused, last.failed, last.retries) == (3, 2, 1, 0, 1)
    assert (last.prompt_tokens, last.completion_tokens) == (20, 10)
    assert last.money == pytest.approx(0.25 + (10 * 1 + 5 * 2) / 1e6)
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.spent() == pytest.approx(last.money)


def test_answers_without_a_known_price_are_counted(rng):
    seen: list[Usage] = []
    with serve() as server:
        Chat("m", server.base_url).hold([asking_text("a")], rng, progress=seen.append)
    assert (seen[-1].money, seen[-1].unpriced) == (0, 1)


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
        Chat("m", server.base_url).hold([patient(1), patient(2), broken()], rng)
    assert sorted(closed) == [1, 2]


def test_it_runs_where_a_loop_runs_already(rng):
    import asyncio

    async def notebook():
        return Chat().hold(iter(()), rng)

    assert asyncio.run(notebook()) == []


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
        Chat().hold([asking_text("x")], rng)


def test_a_key_with_a_line_break_in_it_is_refused(rng, monkeypatch):
    monkeypatch.setenv("GLOSS_API_KEY", "a\nb")
    with pytest.raises(BadSettings, match="GLOSS_API_KEY holds characters"):
        Chat("m").hold([asking_text("x")], rng)


def test_a_ledger_that_cannot_be_written_is_one_sentence(rng, tmp_path):
    with pytest.raises(BadInput, match="answers cannot be kept there"):
        Chat("m").hold([asking_text("x")], rng, ledger=tmp_path)


def test_cost_counts_requests_tokens_and_money_before_anything_is_asked():
    talks = [
        asking(question("a" * 400, max_tokens=100)),
        asking(question("b" * 40, max_tokens=50)),
        asking(question("b" * 40, max_tokens=50)),
    ]
    cost = estimate(talks, Prices(10.0, 100.0))
    assert (cost.requests, cost.prompt_tokens, cost.completion_tokens_at_most) == (2, 104 + 14, 150)
    assert cost.money_at_most == pytest.approx((118 * 10 + 150 * 100) / 1e6)
    assert not cost.exact


def test_cost_is_exact_with_a_tokenizer_and_has_no_money_without_prices():
    cost = estimate([asking(question("one two three", max_tokens=1))], count_tokens=lambda text: len(text.split()))
    assert (cost.prompt_tokens, cost.exact, cost.money_at_most) == (7, True, None)


def test_nothing_in_the_asker_needs_a_path_that_exists(tmp_path):
    with Ledger(tmp_path / "new" / "folder" / "l") as ledger:
        assert len(ledger) == 0
    assert Path(tmp_path / "new" / "folder" / "l").exists()
