"""gloss against a server that it did not write: llama.cpp's, around the embedded subject's own
weights.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gloss.errors import BadSettings
from gloss.models.bundled import embedded_folder
from gloss.models.chat_models.capabilities import Capabilities
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Message, Prompt
from gloss.models.local_chat import LocalChat
from gloss.models.subject import Subject
from gloss.records import Ability
from gloss.score.detection import Detection
from gloss.score.fuzzing import Fuzzing
from gloss.score.simulation import Simulation, SimulationByToken
from gloss.score.surprisal import Surprisal
from models.llama_cpp import post, serve_llama
from models.talks import asking
from score.one_word import evidence, explained

TEXTS = (
    'def names(ships):\n    """Wörter — 中文."""\n    return [ship.name for ship in ships]\n',
    " 123 4567  \t\n\n  x'll don't I'VE  e\u0301 🙂",
    "a\r\nb \xa0 c",
    *(Path(__file__).read_text()[start : start + 300] for start in range(0, 2400, 300)),
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve_llama(embedded_folder("subject")) as address:
        yield address


@pytest.fixture(scope="module")
def chat(address) -> Chat:
    return Chat("m", f"{address}/v1", max_attempts=2)


@pytest.fixture(scope="module")
def found(chat) -> Capabilities:
    return chat.capabilities(
        np.random.default_rng(0), LocalChat(str(embedded_folder("subject"))).own_text
    )


def test_its_tokens_are_the_subjects(address):
    subject = Subject.load(embedded_folder("subject"))
    for text in TEXTS:
        theirs = post(f"{address}/tokenize", {"content": text, "add_special": True})["tokens"]
        assert theirs == [subject.start_token, *subject.encode(text)]


def test_what_it_generates_is_as_likely_as_a_forward_pass_says(chat, rng):
    subject = Subject.load(embedded_folder("subject"))
    prompts = [
        Prompt((Message("plain", text),), max_tokens=8, top_logprobs=3) for text in TEXTS[3:]
    ]
    [answers] = chat.run([asking(*prompts)], rng)
    for text, answer in zip(TEXTS[3:], answers, strict=True):
        ids = [subject.start_token, *subject.encode(text)]
        greedy = subject.generate(torch.tensor([ids]), max_new_tokens=8)
        assert answer.text == subject.vocabulary().text(greedy[0, len(ids) :].tolist())
        table = subject.run(greedy, logits=True).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        assert [one.logprob for one in answer.logprobs] == pytest.approx(
            table.max(dim=1).values.tolist(), abs=1e-3
        )


def test_what_it_can_do_is_seen(found):
    assert (found.chat, found.logprobs, found.json_schema) == (True, True, True)
    assert "asked by prompt_logprobs and by echo" in found.own_text.lacking
    assert found.weights.agrees
    assert found.weights.median < 1e-3
    assert 'a model in this process ([chat] backend = "transformers")' in found.lacking(
        Ability.OWN_TEXT
    )


@pytest.mark.parametrize(
    "scorer", [Detection(contexts_per_question=5), Fuzzing(contexts_per_question=5)]
)
def test_answers_held_to_a_schema_can_all_be_read(chat, found, rng, scorer):
    """The model knows nothing of questions, so without a schema it gives no answer that can be
    read.
    """
    material = evidence(rng, firing=5, inactive=5)
    held, free = (
        chat.run([scorer.score(explained(5), material, rng)], rng, capabilities=known)[0]
        for known in (found, None)
    )
    assert held.n == free.n == 10
    assert (held.failed, free.failed) == (0, 10)


@pytest.mark.parametrize("scorer", [Simulation(), Surprisal()])
def test_scores_by_the_prompts_own_text_are_refused(chat, rng, scorer):
    with pytest.raises(
        BadSettings,
        match=r"gives no log-probabilities of a prompt's own text.*, which this score needs; use a",
    ):
        chat.run([scorer.score(explained(5), evidence(rng), rng)], rng)


def test_simulation_token_by_token_gets_its_log_probabilities(chat, rng):
    [score] = chat.run([SimulationByToken(contexts=2).score(explained(5), evidence(rng), rng)], rng)
    assert score.n > 0
