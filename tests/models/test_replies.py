"""Every reply that a server may send, and every one that it may fail to send."""

import json

import numpy as np
import pytest

from gloss.errors import BadSettings, Unreachable
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.manner import Refusal
from gloss.models.chat_models.prices import Prices
from gloss.models.chat_models.replies import (
    Fault,
    cut_off_failure,
    read_refusal,
    read_reply,
    retry_after,
    wait_in_words,
)
from gloss.models.chat_models.session import Session
from gloss.records import Reason
from models.servers import serve
from models.talks import asking_text, one


@pytest.mark.parametrize(
    "fault",
    [
        "429",
        "429_date",
        "500",
        "503",
        "garbage",
        "truncated",
        "empty",
        "drop",
        "drop_midway",
        "no_message",
        "error_200",
    ],
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
        waits = np.array(
            [
                [session.wait_seconds(Fault(""), attempt) for _ in range(500)]
                for attempt in range(10)
            ]
        )
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
            [[answer]] = Chat("m", server.base_url).run(
                [asking_text("x")], rng, ledger=tmp_path / "l"
            )
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
        (
            "401",
            BadSettings,
            "refuses the key .status 401.: .*put a valid key into the variable GLOSS_API_KEY",
        ),
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
            Chat("m", server.base_url, max_concurrent_requests=2).run(
                (asking_text(str(i)) for i in range(50)), rng
            )
        assert len(server.requests()) <= 2


def test_one_prompt_too_long_does_not_stop_the_others(rng):
    with serve(script=["400_long"]) as server:
        results = Chat("m", server.base_url, max_concurrent_requests=1).run(
            (asking_text(str(i)) for i in range(3)), rng
        )
    assert [answer.reason for [answer] in results] == [Reason.REQUEST_ERROR, None, None]


def test_log_probabilities_are_read_and_their_absence_is_told(rng):
    with serve(script=["logprobs", "ok"]) as server:
        with_them, without = one(server, rng), one(server, rng)
    assert with_them.logprobs[0].alternatives == (("0", -2.4),)
    assert without.logprobs is None


def reply(finish="stop", **message):
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish}
    return read_reply(json.dumps({"choices": [choice], "usage": usage}).encode(), Prices())


@pytest.mark.parametrize(
    "finish, message, text",
    [
        (
            "length",
            {
                "content": (
                    "<think>\nMy first idea:\n[interpretation]: DRAFT\nBut the third context has"
                    " none, so"
                )
            },
            None,
        ),
        ("length", {"content": None, "reasoning_content": "I weigh them. " * 9}, None),
        (
            "stop",
            {"content": "<think>maybe [1, 0, 1]</think>\nI cannot answer that."},
            "I cannot answer that.",
        ),
        ("stop", {"content": "maybe [1, 0, 1]</think>\n\n[0, 1]"}, "[0, 1]"),
        (
            "stop",
            {"content": None, "reasoning_content": '{"answers": [0, 1]}'},
            '{"answers": [0, 1]}',
        ),
        ("stop", {"content": None, "reasoning_content": "perhaps [0, 1]"}, None),
        ("stop", {"content": "[0, 1]", "reasoning": "perhaps [1, 1]"}, "[0, 1]"),
        (
            "stop",
            {"content": [{"type": "text", "text": "[0, "}, {"type": "output_text", "text": "1]"}]},
            "[0, 1]",
        ),
        (
            "stop",
            {
                "content": [
                    {"type": "reasoning", "text": "[1, 1]"},
                    {"type": "text", "text": "[0, 1]"},
                ]
            },
            "[0, 1]",
        ),
        ("stop", {"content": [{"text": "[1, 1]", "thought": True}, {"text": "[0, 1]"}]}, "[0, 1]"),
        (
            "stop",
            {
                "content": [
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "[0, 1]"},
                ]
            },
            "[0, 1]",
        ),
        (
            "stop",
            {
                "content": "[0, 1]",
                "reasoning_details": [{"type": "reasoning.text", "text": "[1, 1]"}],
            },
            "[0, 1]",
        ),
        ("stop", {"content": None, "reasoning": "perhaps [1, 1]</think>\n[0, 1]"}, "[0, 1]"),
    ],
)
def test_a_thought_is_no_answer_wherever_it_stands(finish, message, text):
    found = reply(finish, **message)
    assert found.text == text
    assert found.reason is (Reason.UNPARSABLE if text is None else None)
    assert found.thought or "text" in str(message["content"])


def calls(*arguments):
    return {
        "content": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "f", "arguments": one}} for one in arguments
        ],
    }


@pytest.mark.parametrize(
    "message, text",
    [
        ({"content": {"1": 0, "2": 1}}, '{"1": 0, "2": 1}'),
        ({"content": [0, 1]}, "[0, 1]"),
        ({"content": {"type": "text", "text": "[0, 1]"}}, "[0, 1]"),
        (calls('{"1": 0}'), '{"1": 0}'),
        (calls({"1": 0}), '{"1": 0}'),
        (calls("weather"), None),
        (calls('{"1": 0}', '{"1": 1}'), None),
        ({"content": None, "function_call": {"name": "f", "arguments": '{"1": 0}'}}, '{"1": 0}'),
    ],
)
def test_an_answer_is_found_wherever_a_server_puts_it(message, text):
    found = reply(**message)
    assert (found.text, found.thought) == (text, False)


def raw(**choice):
    usage = {"prompt_tokens": 10, "completion_tokens": 40}
    return read_reply(
        json.dumps(
            {"choices": [{"message": {"content": "four and"}} | choice], "usage": usage}
        ).encode(),
        Prices(),
        40,
    )


@pytest.mark.parametrize(
    "choice, cut",
    [
        ({"finish_reason": "MAX_TOKENS"}, True),
        ({"stop_reason": "max_tokens"}, True),
        ({"finish_reason": "stop", "native_finish_reason": "length"}, True),
        ({"finish_reason": None}, True),  # it has used up what it was allowed
        ({}, True),
        ({"finish_reason": "stop", "stop_reason": 128001}, False),
        ({"stop_reason": "end_turn"}, False),
    ],
)
def test_a_reply_that_was_cut_off_is_seen_by_whatever_says_so(choice, cut):
    found = raw(**choice)
    assert (found.text, found.cut) == ("four and", cut)


@pytest.mark.parametrize(
    "choice",
    [{"finish_reason": "error"}, {"finish_reason": "abort"}, {"error": {"message": "gone"}}],
)
def test_an_answer_that_broke_off_is_no_answer(choice):
    assert isinstance(raw(**choice), Fault)


@pytest.mark.parametrize(
    "problem, outcome",
    [
        ({"code": 502, "message": "fell over"}, Fault),
        ({"code": "429", "message": "slow down"}, Fault),
        ("model not loaded", Fault),
        ({"code": 401, "message": "No auth credentials found"}, BadSettings),
        ({"code": 404, "message": "No such model"}, BadSettings),
        (
            {"code": None, "type": "invalid_request_error", "message": "it is too long"},
            Reason.REQUEST_ERROR,
        ),
        ({"message": "input was flagged"}, Reason.REFUSED),
    ],
)
def test_an_error_in_a_reply_is_what_its_status_would_be(problem, outcome):
    found = read_reply(json.dumps({"error": problem}).encode(), Prices())
    if outcome is BadSettings:
        with pytest.raises(BadSettings, match=problem["message"]):
            read_refusal(found, proven=False, where="m", key="K")
        return
    found = (
        read_refusal(found, proven=False, where="m", key="K")
        if isinstance(found, Refusal)
        else found
    )
    assert outcome in (type(found), getattr(found, "reason", None))


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff\xfe{", b"7", b'{"detail": "Not Found"}', b'{"choices": [7]}']
)
def test_what_is_no_reply_is_a_fault_that_says_so(content):
    found = read_reply(content, Prices())
    assert isinstance(found, Fault)
    assert found.detail.startswith("the reply ")
    assert not found.foreign
    assert "Not Found" in found.detail or b"Not" not in content


def test_a_web_page_is_told_by_what_is_seen_of_it():
    page = (
        b"\n<!DOCTYPE html><html><head><style>b"
        b" {}</style></head><body><h1>Open</h1>\n<p>UI</p></body></html>"
    )
    found = read_reply(page, Prices())
    assert (found.foreign, found.detail) == (True, "the reply was a web page: Open UI")


@pytest.mark.parametrize(
    "content", [b'data: {"choices": []}', b": keep-alive\n\ndata: {}", b"event: message\ndata: {}"]
)
def test_a_stream_is_refused_however_it_begins(content):
    with pytest.raises(BadSettings, match="in streams alone"):
        read_reply(content, Prices())


def test_how_long_to_wait_may_be_said_in_words():
    assert wait_in_words("Please try again in 7.66s. Visit your billing page") == 7.66
    assert wait_in_words("retry after 20 seconds") == 20
    assert wait_in_words('{"retryDelay": "34s"}') == 34
    assert wait_in_words("Please try again in 250ms.") == 0.25
    assert wait_in_words("try again in 2m") == 120
    assert wait_in_words("try again later, as 3 others do") is None
    quota = Refusal(429, "You exceeded your current quota; please retry in 34.07s", {})
    assert read_refusal(quota, proven=True, where="m", key="K").retry_after_seconds == 34.07


def test_usage_that_is_none_is_no_usage():
    usage = {
        "prompt_tokens": "10",
        "completion_tokens": None,
        "total_tokens": float("nan"),
        "cost": float("inf"),
    }
    found = read_reply(
        json.dumps({"choices": [{"message": {"content": "four"}}], "usage": usage}).encode(),
        Prices(1.0, 1.0),
    )
    assert (found.text, found.prompt_tokens, found.completion_tokens, found.money) == (
        "four",
        0,
        0,
        None,
    )


def test_an_answer_that_was_cut_off_says_so_and_is_a_failure_for_who_wants_it_whole():
    found = reply("length", content="[interpretation]: The word")
    assert found.cut
    assert (cut_off_failure(found).text, cut_off_failure(found).reason) == (None, Reason.UNPARSABLE)


@pytest.mark.parametrize(("content", "hidden"), [(None, True), ("", True), ("\n\n\n", False)])
def test_what_is_cut_off_before_it_is_seen_was_a_thought_and_blanks_were_not(content, hidden):
    """Else a model that writes a few blank lines would be given room for thoughts, and would fill
    it.
    """
    assert reply("length", content=content).thought is hidden


def test_log_probabilities_of_a_thought_are_left_out():
    tokens = [
        {"token": token, "logprob": -0.5, "top_logprobs": []}
        for token in ("<think>", "1", "</think>", "\n", "0")
    ]
    content = {
        "choices": [
            {
                "message": {"content": "<think>1</think>\n0"},
                "logprobs": {"content": tokens},
                "finish_reason": "stop",
            }
        ]
    }
    found = read_reply(json.dumps(content).encode(), Prices())
    assert [one.token for one in found.logprobs] == ["0"]


def test_tokens_of_thoughts_are_paid_for_where_only_the_total_tells_of_them():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 9,
        "total_tokens": 119,
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    content = {
        "choices": [{"message": {"content": "four"}, "finish_reason": "stop"}],
        "usage": usage,
    }
    found = read_reply(json.dumps(content).encode(), Prices(1.0, 1000.0))
    assert (found.completion_tokens, found.thought) == (109, True)
    assert found.money == pytest.approx((10 + 109 * 1000) / 1e6)
