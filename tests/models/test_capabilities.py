"""Endpoints that give, drop, refuse or shift log-probabilities of a prompt, each a real server
around real weights.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from gloss.errors import BadSettings, Unreachable
from gloss.models.bundled import embedded_folder
from gloss.models.chat_models.capabilities import (
    Capabilities,
    OwnText,
    logprob_agreement,
    probe_endpoint,
)
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.completions import OwnTextForm, align_tokens
from gloss.models.chat_models.prompts import Answer, Message, Prompt, PromptToken
from gloss.models.in_process import InProcess
from gloss.models.subject import Subject
from gloss.records import Reason
from models.talks import asking
from models.text_server import serve_texts

TEXT = 'def names(ships):\n    """Wörter — 中文."""\n    return [ship.name for ship in ships]\n'


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject.load(embedded_folder("subject"))


@pytest.fixture(scope="module")
def address(subject: Subject) -> Iterator[str]:
    with serve_texts(
        "subject", folder=embedded_folder("subject"), start=subject.start_token
    ) as address:
        yield address


def own(text: str, alternatives: int = 3) -> Prompt:
    return Prompt((Message("plain", text),), max_tokens=1, prompt_logprobs=alternatives)


def told(prompt: Prompt):
    [answer] = yield [prompt]
    return answer


def answered(address: str, form: str, prompt: Prompt) -> Answer:
    chat = Chat("m", f"{address}/{form}/v1", max_attempts=2)
    return chat.run([told(prompt)], np.random.default_rng(0))[0]


def forward(subject: Subject, text: str) -> list[float]:
    """The log-probabilities of a text's tokens, from one forward pass and nothing else."""
    ids = torch.tensor([[subject.start_token, *subject.encode(text)]])
    with torch.no_grad():
        table = subject.model(input_ids=ids).logits[0].double().log_softmax(-1)
    return table[torch.arange(ids.shape[1] - 1), ids[0, 1:]].tolist()


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ("vllm", OwnTextForm.PROMPT_LOGPROBS),
        ("echo", OwnTextForm.ECHO),
        ("both", OwnTextForm.PROMPT_LOGPROBS),
    ],
)
def test_what_a_server_says_of_a_prompt_is_what_a_forward_pass_says(address, subject, form, named):
    answer = answered(address, form, own(TEXT))
    assert {place for one in answer.prompt_logprobs for place in range(one.start, one.end)} == set(
        range(len(TEXT))
    )
    assert [one.logprob for one in answer.prompt_logprobs] == pytest.approx(
        forward(subject, TEXT), abs=1e-4
    )
    assert all(one.alternatives for one in answer.prompt_logprobs)
    found = Chat("m", f"{address}/{form}/v1").capabilities(np.random.default_rng(0))
    assert (found.own_text.form, found.own_text.aligned, found.logprobs, found.json_schema) == (
        named,
        True,
        False,
        False,
    )


def test_a_model_in_this_process_says_the_same(address, subject):
    [here] = InProcess(subject).run([told(own(TEXT))], np.random.default_rng(0))
    there = answered(address, "vllm", own(TEXT))
    assert [one.logprob for one in here.prompt_logprobs] == pytest.approx(
        forward(subject, TEXT), abs=1e-4
    )
    for mine, theirs in zip(here.prompt_logprobs, there.prompt_logprobs, strict=True):
        if mine.token == theirs.token and mine.token.isascii():
            assert (mine.start, mine.end) == (theirs.start, theirs.end)
        others = sorted((value for _, value in theirs.alternatives), reverse=True)
        assert [value for _, value in mine.alternatives] == pytest.approx(others[:3], abs=1e-4)


def test_characters_that_a_tokenizer_does_not_know_are_read_where_they_stand(data_folder):
    """Its vocabulary is of stories: it has no parenthesis, and so no prompt that holds one."""
    model = Subject.load(data_folder / "tinystories-656k")
    text = "she said (no, no) and (ran"
    [answer] = InProcess(model).run([told(own(text))], np.random.default_rng(0))
    found = answer.prompt_logprobs
    assert [text[one.start : one.end] for one in found if one.token == "("] == ["(", "("]
    assert found[-1].end == len(text)
    assert [one.logprob for one in found] == pytest.approx(forward(model, text), abs=1e-4)


def test_batches_change_nothing(subject):
    texts = [TEXT, TEXT[:30], "x = 1\n", TEXT * 2, TEXT]
    answers = InProcess(subject, tokens_at_once=64).run(
        [asking(*map(own, texts))], np.random.default_rng(0)
    )[0]
    for text, answer in zip(texts, answers, strict=True):
        assert [one.logprob for one in answer.prompt_logprobs] == pytest.approx(
            forward(subject, text), abs=1e-4
        )


@pytest.mark.parametrize("form", ["dropped", "refused", "silent"])
def test_a_server_without_them_is_refused_in_one_sentence(address, form):
    with pytest.raises(
        BadSettings,
        match=r"gives no log-probabilities of a prompt's own text.*; use a server that does",
    ):
        answered(address, form, own(TEXT))


def test_a_server_that_is_off_by_one_is_refused(address):
    with pytest.raises(BadSettings, match="gives wrong log-probabilities of a prompt's own text"):
        answered(address, "shifted", own(TEXT))


def test_a_server_that_is_not_there_is_unreachable():
    with pytest.raises(Unreachable):
        answered("http://127.0.0.1:9", "vllm", own(TEXT))


def test_everything_about_an_endpoint(rng):
    with serve_texts("simulator") as address:
        full = Chat("m", f"{address}/both/v1").capabilities(rng)
        bare = Chat("m", f"{address}/silent/v1").capabilities(rng)
    assert full == Capabilities(True, True, OwnText(OwnTextForm.PROMPT_LOGPROBS, True), True)
    assert bare == Capabilities(True, False, OwnText(None, None), False)


def rooms(
    chatting: Callable[[int], Answer | None], thoughts: int = -1
) -> tuple[list[int], Capabilities]:
    """How many tokens each of a probe's chats is allowed, of an endpoint that answers them so and
    nothing else.
    """
    asked: list[int] = []
    talk = probe_endpoint("m", None, thoughts)
    body = next(talk)
    while True:
        try:
            if "messages" in body:
                asked.append(body["max_tokens"])
            body = talk.send(chatting(body["max_tokens"]) if "messages" in body else None)
        except StopIteration as over:
            return asked, over.value


def test_room_for_thoughts_is_given_only_where_a_thought_may_need_it():
    def writing(tokens: int, **thought: bool) -> Callable[[int], Answer]:
        return lambda room: Answer("Hello", cut=room < tokens, **thought)

    assert rooms(writing(15))[0] == [20, 200]
    assert rooms(writing(90))[0] == [20, 200, 200]
    assert rooms(writing(900))[0] == [20, 200, 2048, 200]
    assert rooms(writing(90, thought=True))[0] == [20, 2048, 2048]
    assert rooms(writing(900), thoughts=0)[0] == [20, 200, 200]
    # it would never end
    assert rooms(lambda room: Answer("I am designed to be helpful. " * room, cut=True))[0] == [
        20,
        200,
    ]
    # blanks alone
    assert rooms(lambda room: Answer(None, Reason.UNPARSABLE, cut=True))[0] == [20, 200]
    asked, found = rooms(lambda room: Answer("Hello", cut=True) if room < 2048 else None)
    # too long for it, and no less an answer
    assert (asked, found.chat) == ([20, 200, 2048, 200], True)


def test_a_chat_without_log_probabilities_is_refused_where_they_are_needed(rng):
    asked = Prompt((Message("user", "Say hello"),), top_logprobs=2, needs_logprobs=True)
    with serve_texts("simulator") as address:
        chat = Chat("m", f"{address}/dropped/v1")
        with pytest.raises(BadSettings, match="of what it generates, which this score needs"):
            chat.run([told(asked)], rng)


def test_answers_come_back_from_the_ledger_with_their_places(address, tmp_path):
    chat = Chat("m", f"{address}/vllm/v1")
    [first] = chat.run([told(own(TEXT))], np.random.default_rng(0), ledger=tmp_path / "l")
    gone = Chat("m", "http://127.0.0.1:9/v1")
    assert gone.run([told(own(TEXT))], np.random.default_rng(0), ledger=tmp_path / "l") == [first]


def test_a_model_in_this_process_continues_a_text(subject, rng):
    prompt = Prompt((Message("plain", "for i in"),), max_tokens=3, top_logprobs=2)
    [answer] = InProcess(subject).run([told(prompt)], rng)
    assert [one.logprob for one in answer.logprobs] == pytest.approx(
        forward(subject, "for i in" + answer.text)[-3:], abs=1e-4
    )
    assert answer.completion_tokens == 3


def test_a_prompt_that_is_too_long_is_a_failure_with_its_length(subject, rng):
    [answer] = InProcess(subject).run([told(own("x = 1\n" * 200))], rng)
    assert answer.reason is Reason.REQUEST_ERROR
    assert "the model takes 256" in answer.detail


def test_a_model_in_this_process_refuses_a_chat(subject, rng):
    with pytest.raises(BadSettings, match="no chat template"):
        InProcess(subject).run([told(Prompt((Message("user", "hello"),)))], rng)


def test_only_a_plain_text_has_log_probabilities_of_its_own():
    for roles in (("user",), ("plain", "plain"), ("system", "plain")):
        with pytest.raises(ValueError, match="plain text stands alone"):
            Prompt(tuple(Message(role, "x") for role in roles), prompt_logprobs=1)


def places(text, *tokens):
    found = align_tokens(text, [(token, -1.0, ()) for token in tokens])
    return found and [(one.start, one.end, one.logprob) for one in found]


def test_tokens_are_found_in_their_text():
    assert places("ab c", "ab", " c") == [(0, 2, -1), (2, 4, -1)]
    assert places("ab c", "<s>", "ab", " c", "more") == [(0, 2, -1), (2, 4, -1)]
    assert places("ab c", " ab", " c") == [(0, 2, -1), (2, 4, -1)]  # sentencepiece's space
    assert places("ab c", " c") == [(0, 2, None), (2, 4, -1)]  # nothing said of the first
    assert places("a中b", "a", "\ufffd", "\ufffd", "b") == [
        (0, 1, -1),
        (1, 2, -1),
        (1, 2, -1),
        (2, 3, -1),
    ]
    assert places("a中", "a", "bytes:\\xe4", "bytes:\\xb8\\xad") == [
        (0, 1, -1),
        (1, 2, -1),
        (1, 2, -1),
    ]
    assert places("a中b", "a", "", "中", "b") == [(0, 1, -1), (1, 1, -1), (1, 2, -1), (2, 3, -1)]
    assert places("ab c", "ab", " d") is None
    assert places("ab c", "ab") is None
    assert places("ab c") is None


def test_too_few_tokens_in_common_say_nothing():
    assert logprob_agreement([], [PromptToken(0, 1, "x", -1.0)]) is None
