"""Slopes of games that are known, and of the embedded subject against differences."""

import numpy as np
import pytest

from gloss.attribute.game import FunctionGame
from gloss.attribute.measures import FeatureActivation, LogitDifference, LogProbability
from gloss.attribute.methods.gradient import Gradient
from gloss.attribute.players.fading_tokens import FadingTokens
from gloss.errors import BadInput, BadSettings


class Smooth:
    """f = 3 a + 2 b c, for masks of any size."""

    players = ("a", "b", "c")

    def values(self, masks):
        m = masks.astype(float)
        return 3 * m[:, 0] + 2 * m[:, 1] * m[:, 2]

    def gradients(self, masks):
        m = masks.astype(float)
        return np.stack([np.full(len(m), 3.0), 2 * m[:, 2], 2 * m[:, 1]], axis=1)


def parts(found) -> list[float]:
    return [found.coefficients[player,] for player in range(3)]


def test_integrated_gradients_share_a_product_and_add_up(rng):
    found = Gradient().attribute(Smooth(), rng)
    assert parts(found) == pytest.approx([3, 1, 1])
    assert found.predict(np.ones((1, 3), bool)) == pytest.approx([5])


def test_the_slope_at_the_whole_counts_a_product_twice(rng):
    assert parts(Gradient(steps=1).attribute(Smooth(), rng)) == pytest.approx([3, 2, 2])


def test_a_product_alone_is_not_explained_by_parts(rng):
    game = Smooth()
    game.values = lambda masks: np.prod(2.0 * masks - 1, axis=1)
    assert not Gradient().attribute(game, rng).faithfulness.explained


@pytest.mark.parametrize("feature", [False, True])
def test_slopes_of_the_subject_are_differences_of_its_values(subject, dictionary, feature):
    tokens = tuple(subject.encode("import os\nimport sys\n")[:6])
    codes = dictionary.encode(
        subject.run(row(subject, tokens), read=[dictionary.reads]).activations[dictionary.reads][
            0, -1:
        ]
    )
    target = (
        FeatureActivation(dictionary, int(codes.indices[0, codes.values[0].argmax()]))
        if feature
        else LogitDifference(((5,),), ((9,),))
    )
    game = FadingTokens(subject, tokens, target)
    middle = np.full((1, len(tokens)), 0.9, np.float32)
    slopes = game.gradients(middle)[0]
    steps = middle + 0.01 * np.vstack([np.eye(len(tokens)), -np.eye(len(tokens))]).astype(
        np.float32
    )
    values = game._in_parts(steps.astype(np.float32), grad=False)[0]
    assert slopes == pytest.approx(
        (values[: len(tokens)] - values[len(tokens) :]) / 0.02, rel=0.05, abs=0.05
    )


def test_a_prompt_as_it_is_has_the_value_of_its_clean_run(subject):
    tokens = tuple(subject.encode("for i in"))
    logits = subject.next_logits(row(subject, tokens))[0]
    value = FadingTokens(subject, tokens, LogProbability(((7,),))).values(
        np.ones((1, len(tokens)), bool)
    )
    assert value == pytest.approx([float(logits.log_softmax(0)[7])], abs=1e-4)


def test_it_refuses_games_without_slopes(subject, rng):
    with pytest.raises(BadInput, match="needs a game with slopes"):
        Gradient().attribute(FunctionGame(("a",), lambda masks: masks[:, 0] * 1.0), rng)
    with pytest.raises(BadInput, match="no tokens"):
        FadingTokens(subject, (), LogProbability(((1,),)))
    with pytest.raises(BadSettings, match="steps=0"):
        Gradient(steps=0)


def row(subject, tokens):
    import torch

    return torch.tensor([[subject.start_token, *tokens]])
