"""Whether what comes to stand first drives a game's values, and what people are told of it."""

from dataclasses import dataclass

import pytest
import torch

from gloss.attribute.measures import LogProbability, Pass
from gloss.attribute.players.first_position import first_position_check, front_note
from gloss.attribute.players.prompt_games import PromptGame
from gloss.attribute.players.prompt_parts import PromptUnit
from gloss.attribute.players.subject_games import cut_prompt
from gloss.models.pretrained.special_tokens import SpecialTokens
from gloss.models.pretrained.tokenizer import PlainTokenizer
from gloss.models.subject import Subject

TEXT = "for i in range(10): print("


@dataclass(frozen=True)
class Planted:
    """How many tokens are left, and `first` more where one of these stands right behind the front,
    as a model that reads it as a role, or parks its attention there, might have it.
    """

    tokens: tuple[int, ...]
    first: float

    def of(self, rows: Pass) -> torch.Tensor:
        stands = torch.isin(rows.tokens[:, 1], torch.tensor(self.tokens))
        return rows.lengths.double() + self.first * stands.double()


@pytest.mark.parametrize(("first", "drives"), [(0.0, False), (0.5, False), (8.0, True)])
def test_a_planted_first_position_is_found(subject, rng, first, drives):
    measure = Planted(tuple(subject.encode(" in range(10):")), first)
    game = PromptGame(subject, cut_prompt(subject, TEXT, PromptUnit.WORDS), measure)
    found = first_position_check(game, rng)
    assert found.drives is drives
    assert found.note.startswith("The first position drives this")


def test_a_real_model_behind_its_start_token_is_left_in_peace(subject, rng):
    measure = LogProbability((tuple(subject.encode("i")),))
    game = PromptGame(subject, cut_prompt(subject, TEXT, PromptUnit.WORDS), measure)
    assert not first_position_check(game, rng).drives


def test_a_front_that_is_not_the_start_token_is_told(subject):
    def behind(start: int | None, *around: int) -> Subject:
        marked = frozenset(around)
        special = SpecialTokens(marked, within=marked, around_turns=marked)
        tokens = PlainTokenizer(subject.tokens.tokenizer, start, special)
        return Subject(subject.model, tokens, layout=subject.anatomy.layout)

    assert front_note(subject) == ""
    assert "the model has no start token" in front_note(
        Subject(subject.model, subject.tokens, None)
    )
    assert "is read as a role" in front_note(behind(7, 7))
