"""Every reply that a server may send, and every one that it may fail to send."""

import numpy as np
import pytest

from gloss.errors import BadSettings, Unreachable
from gloss.models.chat import Chat, Session
from gloss.models.ledger import Ledger
from gloss.models.replies import Fault, retry_after
from gloss.records import Reason
from models.servers import serve
from models.talks import asking_text, one


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
        session = Session(Chat("m"), ledger, rng, None, None)
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


def test_log_probabilities_are_read_and_their_absence_is_told(rng):
    with serve(script=["logprobs", "ok"]) as server:
        with_them, without = one(server, rng), one(server, rng)
    assert with_them.logprobs[0].alternatives == (("0", -2.4),)
    assert without.logprobs is None
