"""Games that an endpoint values: real servers on loopback, one with the subject's own weights, one
that repeats what it hears.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from conftest import EMBEDDED
from gloss.attribute.bases import Basis, all_masks
from gloss.attribute.measures import LogProbability
from gloss.attribute.methods.exact import Exact
from gloss.attribute.players.endpoint_game import (
    EndpointGame,
    ValueSource,
    first_token_log_probability,
)
from gloss.attribute.players.prompt_games import PromptGame
from gloss.attribute.players.prompt_parts import PromptUnit
from gloss.attribute.players.subject_games import cut_prompt
from gloss.attribute.values import AttributedValue
from gloss.errors import BadInput
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer, TokenLogprob
from models.servers import serve
from models.text_server import serve_texts


@dataclass(frozen=True)
class Through:
    """A chat with its ledger."""

    chat: Chat
    ledger: Path

    def run(self, conversations):
        return self.chat.run(conversations, np.random.default_rng(0), ledger=self.ledger)


class Unasked:
    """A client that nobody should ask."""

    def run(self, conversations):
        raise AssertionError(conversations)


def test_an_endpoint_gives_the_values_of_the_subject_behind_it(subject, tmp_path):
    text, answer = "for i in range", "(10):"
    with serve_texts(
        "subject", folder=str(EMBEDDED / "subject"), start=subject.start_token
    ) as address:
        client = Through(Chat("m", f"{address}/vllm/v1"), tmp_path / "answers.sqlite")
        asked = EndpointGame(client, text, answer, value_source=ValueSource.OWN_TEXT)
        masks = all_masks(4)[1:]
        values = asked.values(masks)
    here = PromptGame(
        subject,
        cut_prompt(subject, text, PromptUnit.WORDS),
        LogProbability((tuple(subject.encode(answer)),)),
    )
    assert values == pytest.approx(here.values(masks), abs=1e-3)


def test_what_lies_around_the_players_is_asked_as_it_stands():
    text = "\n def f(x):\n    return x\n\n"
    game = EndpointGame(Unasked(), text, "y", PromptUnit.LINES)
    assert game.remaining(np.array([True, True])) == text
    assert game.remaining(np.array([False, True])) == "\n    return x\n\n"
    assert game.remaining(np.array([False, False])) == "."


def test_agreement_over_samples_finds_the_word_that_the_answer_comes_from(tmp_path):
    """The server says what it was asked, so that the answer is given exactly where the word is
    left.
    """
    with serve(answer="parrot") as server:
        client = Through(Chat("m", server.base_url), tmp_path / "answers.sqlite")
        game = EndpointGame(client, "the red fox ran", "fox", samples=2)
        found = Exact().attribute(game, np.random.default_rng(0)).into(Basis.MOBIUS)
        assert found.strongest(1) == [((2,), pytest.approx(1.0))]
        asked = len(server.after(32))
        Exact().attribute(game, np.random.default_rng(0))
        assert len(server.requests()) == asked


def test_what_could_not_be_had_is_no_number(tmp_path):
    with serve(always="refusal") as server:
        client = Through(Chat("m", server.base_url, max_attempts=1), tmp_path / "answers.sqlite")
        assert np.isnan(
            EndpointGame(client, "a b", "x", samples=1).values(np.ones((1, 2), bool))
        ).all()


def test_the_first_token_may_be_a_part_of_the_answer():
    said = TokenLogprob(
        " Par",
        np.log(0.5),
        ((" Par", np.log(0.5)), (" Paris", np.log(0.25)), (" Rome", np.log(0.2))),
    )
    assert np.exp(
        first_token_log_probability(Answer("", logprobs=(said,)), "Paris")
    ) == pytest.approx(0.75)
    assert np.exp(
        first_token_log_probability(Answer("", logprobs=(said,)), "London")
    ) == pytest.approx(0.2)
    assert np.isnan(first_token_log_probability(Answer(""), "Paris"))


@pytest.mark.parametrize(
    ("answer", "other", "value"),
    [
        ("Paris", "Rome", np.log(0.5 / 0.2)),
        ("Paris", "London", np.nan),
        ("Oslo", "London", np.nan),
        ("New York", "New Jersey", np.nan),
    ],
)
def test_a_difference_that_the_first_token_does_not_tell_is_no_number(answer, other, value):
    offered = ((" Paris", np.log(0.5)), (" Rome", np.log(0.2)), (" New", np.log(0.1)))
    game = EndpointGame(
        Unasked(),
        "The capital is",
        answer,
        value=AttributedValue.DIFFERENCE,
        other=other,
        value_source=ValueSource.LOGPROBS,
    )
    asked = game.ask("The capital is")
    next(asked)
    with pytest.raises(StopIteration) as done:
        asked.send([Answer("", logprobs=(TokenLogprob(*offered[0], offered),))])
    assert done.value.value == pytest.approx(value, nan_ok=True)


def test_it_refuses_an_empty_answer(tmp_path):
    with pytest.raises(BadInput, match="answer is empty"):
        EndpointGame(Through(Chat("m", "http://127.0.0.1:1/v1"), tmp_path / "a"), "a b", " ")
