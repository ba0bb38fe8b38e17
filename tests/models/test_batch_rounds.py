"""Rounds of requests as files: what is written, and what may come back."""

import json
from pathlib import Path

import pytest

from gloss.errors import BadInput, BadSettings, GlossError, Stopped
from gloss.models.chat_models.account import Capped
from gloss.models.chat_models.batch_rounds import BatchRounds
from gloss.models.chat_models.batch_session import AwaitsBatch, batch_pool
from gloss.models.chat_models.capabilities import Capabilities, OwnText
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.manner import Manner
from gloss.models.chat_models.prices import Prices
from gloss.records import Reason
from gloss.run.batch_desk import BatchDesk
from models.batch_server import answer_offline, batches, serve_batches
from models.servers import completion
from models.talks import asking, question

FILES = Chat("m", batch="files")


class Asker:
    """Asks the same again and again, as a run that is started anew after every round."""

    def __init__(self, folder: Path, rng, chat: Chat = FILES):
        self.folder, self.rng, self.chat = folder, rng, chat
        self.manner = Manner()

    def ask(self, *prompts):
        """The answers; None where a round is awaited."""
        desk, account = BatchDesk(self.folder), self.chat.account
        known = Capabilities(True, True, OwnText(None, None), True, manner=self.manner)
        rounds = desk.rounds("", self.chat)
        self.notes = rounds.notes
        with batch_pool(self.chat, self.rng, desk.ledger, None, known, account, rounds) as pool:
            try:
                found = pool.run([asking(prompt) for prompt in prompts])
            except AwaitsBatch:
                found = None
        self.manner = account.manner
        if found is None:
            desk.send()
            return None
        desk.close()
        return [answer for [answer] in found]

    def round(self, *prompts) -> str:
        """What is said of the next round, which files are to answer."""
        with pytest.raises(Stopped) as said:
            self.ask(*prompts)
        return str(said.value)

    def file(self, number: int) -> Path:
        return self.folder / "batches" / f"round-{number}.jsonl"

    def lines(self, number: int) -> list[dict]:
        return [json.loads(line) for line in self.file(number).read_text().split("\n") if line]

    def reply(self, number: int, *rows: dict | str) -> None:
        """Put lines where the answers to a round belong."""
        text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
        self.file(number).with_suffix(".output.jsonl").write_text(text + "\n")


def said(asked: dict, text: str = "yes", **changes) -> dict:
    """A line with an answer."""
    body = completion(text, **changes)
    return {
        "id": "vllm-1",
        "custom_id": asked["custom_id"],
        "response": {"status_code": 200, "request_id": "r", "body": body},
        "error": None,
    }


def refused(asked: dict, status: int, words: str) -> dict:
    """A line with an error, as vLLM writes it."""
    response = {"status_code": status, "request_id": "r", "body": None}
    return {"id": "vllm-1", "custom_id": asked["custom_id"], "response": response, "error": words}


@pytest.fixture
def asker(tmp_path, rng) -> Asker:
    return Asker(tmp_path, rng)


def test_a_round_is_written_in_openais_form_and_told_with_the_command_that_answers_it(asker):
    one, two = question("one", max_tokens=9), question("two")
    told = asker.round(one, two, one)
    assert told == (
        f"round 1 waits for answers to 2 requests in {asker.file(1)}; answer them, as by `vllm"
        f" run-batch -i {asker.file(1)} -o {asker.folder}/batches/round-1.output.jsonl --model m`,"
        " and the same command goes on"
    )
    first, second = asker.lines(1)
    key = FILES.key(one, schemas=True)
    assert first["custom_id"].startswith(f"{key[:32]}-9-")
    assert (first["method"], first["url"]) == ("POST", "/v1/chat/completions")
    assert first["body"] == FILES.body(one)
    assert second["body"]["messages"][0]["content"] == "two"
    # asked again before there are answers: the same, and nothing is written anew
    assert asker.round(two) == told
    assert not asker.file(2).exists()


def test_lines_come_in_any_order_torn_strange_and_missing_ones_are_told_and_asked_again(asker):
    asked = [question(text) for text in ("a", "b", "c")]
    asker.round(*asked)
    a, b, c = asker.lines(1)
    torn = json.dumps(said(c))[:40]
    asker.reply(1, said(b, "B"), "", said(a, "A"), said({"custom_id": "nobody"}), torn)
    assert "round 2 waits for answers to 1 requests" in asker.round(*asked)
    assert asker.notes == [
        "round-1.output.jsonl: 1 lines are torn, or no lines of a batch; passed over",
        "round-1.output.jsonl: 1 lines answer nothing that was asked, as 'nobody'",
        "round-1.output.jsonl: 1 of 3 requests have no line; asked again",
    ]
    asker.reply(2, said(asker.lines(2)[0], "C"))
    assert [answer.text for answer in asker.ask(*asked)] == ["A", "B", "C"]
    # the ledger has them, and the rounds are closed
    shut = BatchRounds(asker.folder / "batches")
    assert shut.open == []
    assert shut.next_round == 3
    assert [answer.text for answer in asker.ask(*asked)] == ["A", "B", "C"]


def test_answers_to_another_file_are_refused(asker):
    asker.round(question("a"))
    asker.reply(1, said({"custom_id": "request-1"}))
    with pytest.raises(BadInput, match=r"answers nothing that round-1.jsonl asks .*'request-1'"):
        asker.ask(question("a"))


def test_files_hold_no_more_requests_than_they_may(tmp_path, rng):
    asker = Asker(tmp_path, rng, Chat("m", batch="files", batch_requests=2))
    asked = [question(str(number)) for number in range(5)]
    assert "answers to 5 requests in" in (told := asker.round(*asked))
    assert "and 2 more files" in told
    parts = [asker.file(1), *(asker.file(1).with_stem(f"round-1-part-{n}") for n in (2, 3))]
    assert [len(part.read_text().splitlines()) for part in parts] == [2, 2, 1]
    for part in parts[:2]:
        answer_offline(part, part.with_suffix(".output.jsonl"))
    assert "answers to 1 requests" in asker.round(*asked)
    answer_offline(parts[2], parts[2].with_suffix(".output.jsonl"))
    assert len(asker.ask(*asked)) == 5


def test_what_an_engine_refuses_is_asked_otherwise_and_what_it_answered_is_not_asked_again(asker):
    asked = [question(text, top_logprobs=5) for text in ("a", "b")]
    asker.round(*asked)
    a, b = asker.lines(1)
    asker.reply(1, refused(a, 400, "logprobs are not supported by this model"), said(b, "B"))
    asker.round(*asked)
    [again] = asker.lines(2)
    assert "logprobs" not in again["body"]
    assert again["custom_id"][:32] == a["custom_id"][:32]
    asker.reply(2, said(again, "A"))
    assert [answer.text for answer in asker.ask(*asked)] == ["A", "B"]


def test_a_model_that_is_seen_to_think_gets_more_room_in_the_next_round(asker):
    asker.round(question("a", max_tokens=9))
    thinking = completion("<think>well", choice={"finish_reason": "length"})
    row = said(asker.lines(1)[0])
    row["response"]["body"] = thinking
    asker.reply(1, row)
    asker.round(question("a", max_tokens=9))
    assert asker.lines(2)[0]["body"]["max_tokens"] == 9 + 4096
    asker.reply(2, said(asker.lines(2)[0], "<think>well</think>A"))
    assert [answer.text for answer in asker.ask(question("a", max_tokens=9))] == ["A"]


def test_what_comes_back_without_an_answer_round_after_round_is_a_failure_of_its_own(asker):
    asked = [question("a"), question("b")]
    for number in (1, 2, 3):
        asker.round(*asked)
        rows = [refused(each, 500, "engine died") for each in asker.lines(number)]
        if number == 1:
            rows[1] = said(asker.lines(1)[1], "B")
        asker.reply(number, *rows)
    lost, kept = asker.ask(*asked)
    assert (lost.reason, kept.text) == (Reason.REQUEST_ERROR, "B")
    assert lost.detail == "3 rounds brought no answer; the last: status 500: engine died"
    assert "round 4" in asker.round(*asked)  # another run tries it again


def test_an_engine_that_has_another_model_is_told_once_and_a_new_round_can_be_made(asker):
    asker.round(question("a"), question("b"))
    words = "The model `m` does not exist"
    asker.reply(1, *(refused(each, 404, words) for each in asker.lines(1)))
    with pytest.raises(BadInput, match=r"round-1.output.jsonl: .*`m` does not exist.*a new round"):
        asker.ask(question("a"), question("b"))
    assert "round 2 waits for answers to 2 requests" in asker.round(question("a"), question("b"))


def test_a_cap_bounds_what_is_written(tmp_path, rng):
    asker = Asker(tmp_path, rng, Chat("m", batch="files", max_requests=3))
    asked = [question(str(number)) for number in range(5)]
    assert "answers to 3 requests" in asker.round(*asked)
    answer_offline(asker.file(1), asker.file(1).with_suffix(".output.jsonl"))
    with pytest.raises(Capped, match=r"max_requests = 3 of .* 3 sent, none left"):
        asker.ask(*asked)
    asker.chat = FILES
    assert "answers to 2 requests" in asker.round(*asked)


def test_a_round_costs_no_more_than_it_may_by_the_price_of_batches(tmp_path, rng):
    prices = Prices(1.0, 1.0, batch=0.5)
    dear = FILES.body(question("0", max_tokens=1000))
    worst = 0.5 * (len(dear["messages"][0]["content"]) + 16 + 1000) / 1e6
    chat = Chat("m", batch="files", prices=prices, max_cost=2.5 * worst)
    asker = Asker(tmp_path, rng, chat)
    asked = [question(str(number), max_tokens=1000) for number in range(5)]
    assert "answers to 2 requests" in asker.round(*asked)
    asker.reply(1, *(said(each) for each in asker.lines(1)))
    assert "answers to 2 requests" in asker.round(*asked)  # 10 and 5 tokens were used
    with Ledger(tmp_path / "answers.sqlite") as ledger:
        assert ledger.spent() == pytest.approx(2 * 0.5 * 15 / 1e6)


def test_half_a_character_does_not_cost_the_file(asker):
    asker.round(question("a \ud83d b"), question("line\u2028end"))
    half, ends = asker.file(1).read_bytes().decode().splitlines()  # str: splits at U+2028, too
    assert json.loads(half)["body"]["messages"][0]["content"] == "a ? b"
    assert json.loads(ends)["body"]["messages"][0]["content"] == "line\u2028end"


def test_plain_text_is_refused_by_files_in_one_sentence(asker):
    from gloss.models.chat_models.prompts import Message, Prompt

    with pytest.raises(BadSettings, match="batches hold chats alone; leave batch out"):
        asker.ask(Prompt((Message("plain", "Once"),)))


def openai(server, **settings) -> Chat:
    return Chat("m", server.base_url, batch="openai", max_attempts=2, **settings)


def answered(asker: Asker, *prompts):
    """Every round, until there are answers."""
    for _ in range(9):
        if (found := asker.ask(*prompts)) is not None:
            return found
    raise AssertionError("no end")


def test_an_endpoint_answers_its_own_batches_and_files_that_wait_for_room(tmp_path, rng):
    full = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached for m"}
    with serve_batches(scripts=[{}, full]) as server:
        asker = Asker(tmp_path, rng, openai(server, batch_requests=2))
        asked = [question(str(number)) for number in range(4)]
        assert all(answer.text for answer in answered(asker, *asked))
        begun = batches(server)
    assert [each["requests"] for each in begun] == [2, 2, 2]
    assert begun[1]["ids"] == begun[2]["ids"]


@pytest.mark.parametrize(
    ("script", "words", "then"),
    [
        (
            {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"},
            "does not take .*: line 1: Enqueued token limit reached; set batch_requests lower",
            2,
        ),
        ({"code": "invalid_json_line", "message": "not JSON"}, "line 1: not JSON; mend that", 2),
        ({"end": "cancelled", "answers": 1}, "was cancelled; what it answered is kept", 1),
        ({"gone": True}, "has the file file-2, .* no more .*; the same command asks", 2),
    ],
)
def test_a_batch_that_ends_badly_is_told_in_one_sentence_and_the_next_command_goes_on(
    tmp_path, rng, script, words, then
):
    with serve_batches(scripts=[script]) as server:
        asker = Asker(tmp_path, rng, openai(server))
        with pytest.raises(Stopped, match=words):
            answered(asker, question("a"), question("b"))
        assert all(answer.text for answer in answered(asker, question("a"), question("b")))
        assert [each["requests"] for each in batches(server)] == [2, then]


def test_an_endpoint_without_batches_is_told(tmp_path, rng):
    with serve_batches(without=True) as server, pytest.raises(BadSettings, match="no batches"):
        Asker(tmp_path, rng, openai(server)).ask(question("a"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch": "file"}, "batch is 'file'; give '' or 'files' or 'openai'"),
        ({"batch": "files", "serve": "s --port {port}"}, "leave one of them out"),
        ({"batch_requests": 0}, "batch_requests is 0, wants more than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(GlossError, match=words):
        Chat("m", **settings)
