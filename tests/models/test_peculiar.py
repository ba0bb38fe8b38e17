"""Endpoints that want to be asked otherwise, think first, cut off, or give nothing that could be
read: real servers all.
"""

import base64
import html
import json
import sqlite3
import stat
from urllib.parse import quote

import numpy as np
import pytest
from former_ledger import make_former

from gloss.errors import BadSettings, Stopped, Unreachable
from gloss.models.chat_models.account import AT_FIRST, Capped
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.connection import hide_key, key_use_sentence
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.prices import Prices
from gloss.models.chat_models.prompts import Message, Prompt
from gloss.records import Reason
from models.peculiar import peculiar
from models.talks import asking


@pytest.fixture(scope="module")
def server():
    with peculiar() as running:
        yield running


def question(number, **settings):
    turns = (("system", "Be brief."), ("user", "one"), ("assistant", "1"), ("user", f"q{number}"))
    return Prompt(tuple(Message(*turn) for turn in turns), **{"max_tokens": 100} | settings)


def held(chat, number=3, capabilities=None, ledger=None, account=None, seen=None, **settings):
    talks = [asking(question(n, **settings)) for n in range(number)]
    told = (lambda usage: seen.append(usage)) if seen is not None else None
    options = {"capabilities": capabilities, "ledger": ledger, "account": account, "progress": told}
    return [answer for [answer] in chat.run(talks, np.random.default_rng(0), **options)]


@pytest.mark.parametrize(
    "who", ["newer", "strict", "silent", "no_system", "template", "low", "turncoat"]
)
def test_the_probe_finds_out_how_to_ask_and_nothing_is_refused_after_that(server, who):
    chat = Chat("m", server.url(who), max_concurrent_requests=1)
    found = chat.capabilities(np.random.default_rng(0))
    assert found.chat
    before = len(server.asked(who))
    answers = held(chat, 6, found, top_logprobs=5, max_tokens=110)
    assert [answer.text for answer in answers] == [f"echo q{n}" for n in range(6)]
    # which learns its lesson later, and once
    assert len(server.asked(who)) - before == 6 + (who == "turncoat")


@pytest.mark.parametrize("who", ["newer", "strict", "no_system", "template"])
def test_what_is_refused_in_mid_run_is_heeded_once(server, who):
    before = len(server.asked(who))
    answers = held(
        Chat("m", server.url(who), max_concurrent_requests=1, max_attempts=1), 6, top_logprobs=5
    )
    assert [answer.text for answer in answers] == [f"echo q{n}" for n in range(6)]
    assert len(server.asked(who)) - before <= 6 + 3


@pytest.mark.parametrize(
    "who", ["think", "magistral", "harmony", "field", "router", "hidden", "template_thinks"]
)
def test_a_model_that_thinks_is_recognised_and_given_room(server, who):
    chat = Chat("m", server.url(who))
    found = chat.capabilities(np.random.default_rng(0))
    assert found.manner.thinks
    answers = held(chat, 3, found)
    assert [answer.text for answer in answers] == [f"echo q{n}" for n in range(3)]
    assert {body["max_tokens"] for body in server.asked(who)} == {100 + 4096}


@pytest.mark.parametrize("who", ["think", "field", "hidden"])
def test_a_thought_that_was_not_foreseen_is_cut_off_once_and_asked_again_with_room(server, who):
    answers = held(Chat("m", server.url(who), max_concurrent_requests=1), 3)
    assert [answer.text for answer in answers] == [f"echo q{n}" for n in range(3)]


def test_settings_of_room_are_kept(server):
    chat = Chat("m", server.url("plain"), answer_tokens=70, thinking_tokens=5)
    held(chat, 1)
    assert server.asked("plain")[-1]["max_tokens"] == 75
    held(chat, 1, max_tokens=3, cut_short=True)
    assert server.asked("plain")[-1]["max_tokens"] == 8
    held(Chat("m", server.url("plain"), answer_tokens=70, extra={"max_completion_tokens": 9}), 1)
    assert "max_tokens" not in server.asked("plain")[-1]
    assert server.asked("plain")[-1]["max_completion_tokens"] == 9


@pytest.mark.parametrize(
    "who, reason, words",
    [
        ("cut", Reason.UNPARSABLE, "cut off after 5 tokens"),
        ("tool", Reason.UNPARSABLE, "it called a tool"),
        ("refuses", Reason.REFUSED, "I will not"),
    ],
)
def test_what_is_no_answer_is_a_failure_with_its_reason(server, who, reason, words):
    [answer] = held(Chat("m", server.url(who)), 1)
    assert (answer.text, answer.reason) == (None, reason)
    assert words in answer.detail


def test_what_the_method_cuts_short_itself_is_whole(server):
    [answer] = held(Chat("m", server.url("cut")), 1, cut_short=True)
    assert answer.text == "[interpretation]: echo q0 and"


def test_parts_that_are_thoughts_are_left_out(server):
    [answer] = held(Chat("m", server.url("parts")), 1)
    assert answer.text == "echo q0"


def test_an_answer_that_lands_in_the_field_of_thoughts_is_read_if_it_can_be_nothing_else(server):
    [answer] = held(Chat("m", server.url("swallowed")), 1)
    assert answer.reason is Reason.UNPARSABLE  # prose may be a thought


@pytest.mark.parametrize("who", ["stream", "events"])
def test_a_server_that_only_streams_is_refused_in_one_sentence(server, who):
    for ask in (lambda chat: held(chat), lambda chat: chat.capabilities(np.random.default_rng(0))):
        with pytest.raises(BadSettings, match="in streams alone"):
            ask(Chat("m", server.url(who)))
    with pytest.raises(BadSettings, match="leave stream out"):
        Chat("m", server.url(who), extra={"stream": True})


def test_a_server_that_says_nothing_is_refused_in_one_sentence(server):
    with pytest.raises(BadSettings, match=r"answers no chats \(the message was empty\)"):
        Chat("m", server.url("null")).capabilities(np.random.default_rng(0))
    with pytest.raises(
        Unreachable,
        match=r"gives no answers \(the message was empty\); look at what model and extra",
    ):
        held(Chat("m", server.url("null"), max_concurrent_requests=1), 9)


def test_a_server_that_answers_with_web_pages_is_told_at_once(server):
    chat = Chat("m", server.url("page"), max_concurrent_requests=1)
    with pytest.raises(
        BadSettings,
        match=(
            r"answers no chats \(the reply was a web page: Welcome\).*base_url, which often ends"
            r" in /v1"
        ),
    ):
        chat.capabilities(np.random.default_rng(0))
    with pytest.raises(
        Unreachable, match=r"the reply was a web page: Welcome\); .* often ends in /v1"
    ):
        held(chat, 9)
    assert len(server.asked("page")) <= 6  # three of them no chats


def test_requests_that_are_too_long_one_after_the_other_end_a_run(server, tmp_path):
    chat = Chat("m", server.url("too_long"), max_concurrent_requests=4)
    assert [answer.reason for answer in held(chat, 5)] == [Reason.REQUEST_ERROR] * 5
    with pytest.raises(
        Unreachable,
        match=r"refused \d+ requests in a row, the last one with status 400: the request exceeds",
    ):
        held(chat, 90)
    assert len(server.asked("too_long")) < 5 + 20 + 4


def test_the_key_is_told_where_it_goes_and_hidden_wherever_it_comes_back(
    server, monkeypatch, tmp_path
):
    key = 'sk-SECRET/"KEY"&12345'
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(BadSettings, match=r"wrong key: Bearer \[key\]") as problem:
        held(Chat("m", server.url("locked"), "MY_KEY"), 1)
    assert key not in str(problem.value)
    [answer] = held(Chat("m", server.url("parrot"), "MY_KEY"), 1, ledger=tmp_path / "l")
    assert answer.text == "I was sent Bearer [key] for: q0"
    assert not any(key.encode() in path.read_bytes() for path in tmp_path.iterdir())
    spellings = (
        key,
        json.dumps(key),
        json.dumps(key).replace("/", "\\/"),
        quote(key, safe=""),
        html.escape(key),
    )
    told = hide_key(f"{' '.join(spellings)} {base64.b64encode(key.encode()).decode()}", key)
    assert "SECRET" not in told
    assert told.count("[key]") == 6
    assert (
        key_use_sentence("https://api.example.org/v1", "MY_KEY")
        == "api.example.org is sent the key in the variable MY_KEY"
    )
    assert key_use_sentence("http://localhost:8000/v1", "NO_SUCH_KEY").endswith(
        "without a key: the variable NO_SUCH_KEY is not set"
    )


def test_answers_are_for_their_owner_alone(server, tmp_path):
    held(Chat("m", server.url("plain")), 1, ledger=tmp_path / "l")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_run_of_answers_that_cannot_be_read_stops_before_all_is_paid_for(server, tmp_path):
    chat = Chat("m", server.url("babbles"), max_concurrent_requests=2)
    for more in (True, False):
        before = len(server.asked("babbles"))
        with pytest.raises(
            Stopped,
            match=(
                r"8 of 8 answers of \S+ with .* could not be read, the last one:"
                r" 'Well.*thinking_tokens"
            ),
        ):
            held(chat, 40, ledger=tmp_path / "l", reads=lambda text: None)
        # the second time it has paid already
        assert len(server.asked("babbles")) - before <= (AT_FIRST + 1) * more
    patient = Chat("m", server.url("babbles"), most_unreadable=1.0)
    assert len(held(patient, 40, reads=lambda text: None)) == 40


def test_a_share_of_unreadable_answers_stops_a_run_too(server):
    def read(text):
        return text if text.startswith("echo") else None

    half = Chat("m", server.url("half"), max_concurrent_requests=1)
    assert len(held(half, 40, reads=read)) == 40
    with pytest.raises(Stopped, match="of 32 answers"):
        held(
            Chat("m", server.url("half"), max_concurrent_requests=1, most_unreadable=0.4),
            80,
            reads=read,
        )


def test_a_cut_off_answer_is_asked_again_when_it_gets_more_room_and_only_then(server, tmp_path):
    seen = []
    for tokens in (50, 50, 500):
        chat = Chat("m", server.url("think"), thinking_tokens=tokens)
        answers = held(chat, 2, ledger=tmp_path / "l", seen=seen)
    assert [answer.text for answer in answers] == ["echo q0", "echo q1"]
    assert [(usage.answered, usage.reused) for usage in seen[1::2]] == [(2, 0), (0, 2), (2, 0)]
    held(Chat("m", server.url("think"), thinking_tokens=60), 2, ledger=tmp_path / "l", seen=seen)
    # an answer that was read needs no more room
    assert (seen[-1].answered, seen[-1].reused) == (0, 2)
    with Ledger(tmp_path / "l") as ledger:
        # both tries were paid for
        assert [
            (spent.requests, spent.completion_tokens) for spent in ledger.spending_by_model()
        ] == [(2, 20)]


def test_answers_of_former_versions_that_may_have_been_cut_off_are_asked_again(server, tmp_path):
    chat = Chat("m", server.url("plain"))
    held(chat, 2, ledger=tmp_path / "l")
    make_former(tmp_path / "l")
    with sqlite3.connect(tmp_path / "l") as connection:
        connection.execute("UPDATE answers SET completion_tokens = 100 WHERE text = 'echo q1'")
    seen = []
    held(chat, 2, ledger=tmp_path / "l", seen=seen)
    assert (seen[-1].answered, seen[-1].reused) == (1, 1)


def test_no_more_requests_are_sent_than_allowed_and_a_higher_cap_goes_on(server, tmp_path):
    for most, sent in ((5, 5), (5, 5), (12, 12)):
        with pytest.raises(
            Capped, match=rf"max_requests = {most} of \[chat\] is reached: {most} sent"
        ):
            held(
                Chat("m", server.url("capped"), max_requests=most, max_concurrent_requests=4),
                20,
                ledger=tmp_path / "l",
            )
        assert len(server.asked("capped")) == sent
        with Ledger(tmp_path / "l") as ledger:
            assert len(ledger) == sent  # what was in flight was kept
    assert (
        len(held(Chat("m", server.url("capped"), max_requests=20), 20, ledger=tmp_path / "l")) == 20
    )
    assert len(server.asked("capped")) == 20


@pytest.mark.parametrize("at_once", [1, 8])
def test_no_more_money_is_spent_than_allowed(server, tmp_path, at_once):
    # .02 for an answer, .31 at most for one with 100 tokens and 44 bytes
    prices = Prices(1000.0, 2000.0)
    who = f"dear{at_once}"
    chat = Chat("m", server.url(who), max_concurrent_requests=at_once, prices=prices, max_cost=0.5)
    with pytest.raises(
        Capped,
        match=r"max_cost = 0.5 of \[chat\] is reached: 0\.\d+ spent on \d+ requests, 0\.\d+ left",
    ):
        held(chat, 40, ledger=tmp_path / "l")
    with Ledger(tmp_path / "l") as ledger:
        requests, spent = ledger.spending()
        assert spent <= 0.5
        assert requests == len(ledger) == len(server.asked(who)) >= 8
        assert spent == pytest.approx(ledger.spent())


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"timeout_seconds": float("nan")}, "timeout_seconds is nan"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds is inf"),
        ({"api_key_env": ""}, "api_key_env is ''"),
        ({"api_key_env": "A=B"}, "api_key_env is 'A=B'"),
        ({"base_url": "https://me:secret@host/v1"}, "holds a password"),
        (
            {"base_url": "https://host/v1?key=secret"},
            r"from \? or # on, which requests cannot carry",
        ),
        (
            {"base_url": "https://host/v1/chat/completions/"},
            "leave /chat/completions or /completions out",
        ),
        ({"max_requests": -1}, "max_requests is -1"),
        ({"max_cost": float("nan")}, "max_cost is nan"),
        ({"max_cost": 5.0}, "set both prices"),
        ({"answer_tokens": -5}, "answer_tokens is -5"),
        ({"most_unreadable": 0.0}, "most_unreadable is 0.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(BadSettings, match=words):
        Chat("m", **settings)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_prices_that_cannot_be_are_refused(price):
    with pytest.raises(BadSettings, match="completion_per_million is"):
        Prices(1.0, price)
