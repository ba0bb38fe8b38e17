"""A model in this process as a partner: chats through its own template, answers kept, no server
anywhere.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gloss.errors import BadInput, BadSettings
from gloss.models.bundled import embedded_folder
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.prices import Usage
from gloss.models.chat_models.prompts import Message, Prompt
from gloss.models.local_chat import LocalChat, load_in_process
from gloss.records import Reason
from models.talks import asking, question

TEMPLATE = (
    "{% for m in messages %}# {{ m.role }}: {{ m.content }}\n{% endfor %}{% if"
    " add_generation_prompt %}def {% endif %}"
)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    load_in_process.cache_clear()


@pytest.fixture
def chatty(tmp_path: Path) -> Path:
    """The embedded subject with a chat template."""
    shutil.copytree(embedded_folder("subject"), tmp_path / "chatty")
    (tmp_path / "chatty" / "chat_template.jinja").write_text(TEMPLATE)
    return tmp_path / "chatty"


def test_a_chat_goes_through_the_models_own_template(chatty, rng):
    local = LocalChat(str(chatty))
    chat = Prompt(
        (Message("system", "Code."), Message("user", "sort")),
        max_tokens=8,
        top_logprobs=2,
        cut_short=True,
    )
    plain = Prompt(
        (Message("plain", "# system: Code.\n# user: sort\ndef "),), max_tokens=8, top_logprobs=2
    )
    [[answer, same]] = local.run([asking(chat, plain)], rng)
    subject = load_in_process(local).subject
    ids = subject.encode("# system: Code.\n# user: sort\ndef ")
    greedy = subject.generate(torch.tensor([ids]), max_new_tokens=8)[0, len(ids) :].tolist()
    assert answer.text == subject.vocabulary().text(greedy)
    assert answer.completion_tokens == len(answer.logprobs) == 8
    table = subject.run(torch.tensor([[*ids, *greedy]]), logits=True).logits[0].log_softmax(-1)
    wanted = [float(table[len(ids) - 1 + at, token]) for at, token in enumerate(greedy)]
    assert [one.logprob for one in answer.logprobs] == pytest.approx(wanted, abs=1e-4)
    # a plain text begins with the start token, a chat as its template says
    assert same.prompt_tokens == answer.prompt_tokens + 1


def test_turns_that_the_template_refuses_are_told(chatty, rng):
    (chatty / "chat_template.jinja").write_text("{{ raise_exception('no system turns') }}")
    with pytest.raises(
        BadSettings, match=r"refuses such turns \(no system turns\); use another model"
    ):
        LocalChat(str(chatty)).run([asking(question("hello"))], rng)


SYSTEM_REFUSED = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{%"
    " endif %}"
)


def test_what_the_system_says_goes_to_the_user_where_the_template_refuses_it(chatty, rng):
    prompt = Prompt(
        (Message("system", "Code."), Message("user", "sort")), max_tokens=4, cut_short=True
    )
    as_one = Prompt((Message("user", "Code.\n\nsort"),), max_tokens=4, cut_short=True)
    (chatty / "chat_template.jinja").write_text(SYSTEM_REFUSED + TEMPLATE)
    [[folded, same]] = LocalChat(str(chatty)).run([asking(prompt, as_one)], rng)
    assert folded.text
    assert folded == same


def test_an_answer_that_is_cut_off_is_a_failure_and_is_asked_again_with_more_room(
    chatty, rng, tmp_path
):
    prompt, seen = question("hello", max_tokens=4), []
    for tokens in (0, 6, 6):
        load_in_process.cache_clear()
        local = LocalChat(str(chatty), answer_tokens=tokens)
        [[answer]] = local.run([asking(prompt)], rng, ledger=tmp_path / "l", progress=seen.append)
        assert (answer.text, answer.reason) == (None, Reason.UNPARSABLE)
    assert [(usage.answered, usage.reused, usage.completion_tokens) for usage in seen] == [
        (1, 0, 4),
        (1, 0, 6),
        (0, 1, 0),
    ]


def test_a_thought_that_the_template_opens_is_no_answer(chatty, rng):
    (chatty / "chat_template.jinja").write_text(TEMPLATE.replace("def ", "<think>"))
    prompt = question("hello", max_tokens=4, cut_short=True)
    local = LocalChat(str(chatty), thinking_tokens=3)
    [[answer]] = local.run([asking(prompt)], rng)
    assert (answer.text, answer.reason, answer.completion_tokens) == (None, Reason.UNPARSABLE, 7)


def test_answers_are_drawn_by_the_generator_alone(chatty):
    local, prompt = (
        LocalChat(str(chatty)),
        question("hello", temperature=1.0, max_tokens=12, cut_short=True),
    )
    said = [
        local.run([asking(prompt)], np.random.default_rng(seed))[0][0].text for seed in (1, 1, 2)
    ]
    assert said[0] == said[1] != said[2]


def test_an_end_token_ends_an_answer_and_is_not_part_of_it(chatty, rng):
    prompt = question("hello", max_tokens=6, cut_short=True)
    [[whole]] = LocalChat(str(chatty)).run([asking(prompt)], rng)
    subject = load_in_process(LocalChat(str(chatty))).subject
    third = subject.generate(
        torch.tensor([subject.encode("# user: hello\ndef ")]), max_new_tokens=3
    )[0, -1]
    subject.model.generation_config.eos_token_id = int(third)
    [[cut]] = LocalChat(str(chatty)).run([asking(prompt)], rng)
    assert whole.text.startswith(cut.text)
    assert cut.completion_tokens < 3


def test_what_was_answered_is_not_computed_again_unless_the_weights_change(chatty, rng, tmp_path):
    prompts = [Prompt((Message("plain", f"x = {n}"),), prompt_logprobs=1) for n in range(3)]
    seen: list[Usage] = []

    def held(model: Path) -> list:
        load_in_process.cache_clear()
        return LocalChat(str(model)).run(
            [asking(*prompts)], rng, ledger=tmp_path / "answers", progress=seen.append
        )[0]

    first = held(chatty)
    assert held(chatty) == first
    moved = shutil.move(chatty, tmp_path / "moved")
    assert held(moved) == first
    assert [(usage.answered, usage.reused) for usage in seen] == [(3, 0), (0, 3), (0, 3)]
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    assert held(moved) != first
    with Ledger(tmp_path / "answers") as ledger:
        assert (len(ledger), ledger.spent()) == (6, 0)


def test_a_model_that_is_not_there_is_told(rng):
    with pytest.raises(BadInput, match="/no/such/model does not exist"):
        LocalChat("/no/such/model").run([asking(question("hello"))], rng)
    with pytest.raises(BadSettings, match="none named: set model of chat"):
        LocalChat()
