"""Recipes of attribution in small: planted pairs are found, the best heads are kept."""

from itertools import combinations

import numpy as np
import pytest
import torch

from benchmarks.attribute import agreement, comments, datamodels, planted_examples, pruning
from benchmarks.attribute.heads import embedded
from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.players.example_file import Example
from gloss.attribute.players.model_components import Sublayers
from gloss.models.subject import Subject


def heads(masks: np.ndarray) -> np.ndarray:
    """Six heads: 0 and 1 do most, but together.

    Either of 2 and 3 is enough; 4 helps a little; 5 harms.
    """
    x = masks.astype(float)
    return 3 * x[:, 0] * x[:, 1] + 2 * np.maximum(x[:, 2], x[:, 3]) + 0.5 * x[:, 4] - x[:, 5]


@pytest.fixture
def game() -> FunctionGame:
    return FunctionGame(tuple(f"head 0.{number}" for number in range(6)), heads)


@pytest.mark.parametrize("size", range(1, 6))
def test_the_heads_that_auto_names_are_the_best_there_are(game, rng, size):
    best = max(heads(np.isin(np.arange(6), kept)[None])[0] for kept in combinations(range(6), size))
    for kept in (pruning.exhaustive(game, size), pruning.named(Auto(), game, size, rng)):
        assert kept.sum() == size
        assert heads(kept[None])[0] == best


def test_first_order_lasso_keeps_both_of_two_that_stand_in_for_each_other(rng):
    """Either of the first two is enough, so the best pair is one of them and the third, whose slope
    is smaller.
    """
    either = FunctionGame(
        tuple("abcdef"),
        lambda masks: 2.0 * (masks[:, 0] | masks[:, 1]) + masks[:, 2:] @ [0.8, 0.1, 0.1, 0.1],
    )
    assert pruning.named(Lasso(64, 1), either, 2, rng).nonzero()[0].tolist() == [0, 1]
    assert pruning.named(Auto(), either, 2, rng)[2]


def test_greedy_removal_asks_for_each_set_that_is_one_smaller(game):
    counted = Evaluations(game)
    assert pruning.greedy(counted, 3).sum() == 3
    assert counted.paid == 6 + 5 + 4


def test_best_of_random_keeps_as_many_as_it_shall(game, rng):
    assert pruning.best_of_random(game, 4, 20, rng).sum() == 4


COMMENTS = [
    Example(f"{how} {what}", label)
    for label, hows in (
        ("happy", ("glad of the", "what a lovely")),
        ("sad", ("lost my", "no more")),
    )
    for how in hows
    for what in ("day", "friend", "song")
]


def test_planted_copies_take_from_each_other_and_company_adds(rng):
    game = planted_examples.planted(COMMENTS, "the cake was so good", "happy")
    n = len(COMMENTS)
    found = planted_examples.told_pairs(game, 256, rng, ((n, n + 1), (n + 2, n + 3)))
    copies, company = found.pairs
    assert copies.kind == "redundancy"
    assert company.hand > 0
    assert copies.told == pytest.approx(copies.hand, rel=0.2)
    assert company.told == pytest.approx(company.hand, rel=0.2)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return embedded()


def test_a_gradient_score_is_how_far_a_small_step_raises_the_value(subject):
    game = datamodels.fine_tuning_game(subject, COMMENTS[4:8], "so long")
    scores = datamodels.gradient_scores([game], np.ones(4, bool), 1)[0]
    weights = list(subject.model.parameters())
    step, wanted = 1e-4, []
    for text in game.texts:
        loss = datamodels.learning_loss(subject, [text])[0]
        slopes = torch.autograd.grad(loss, weights)
        values = []
        for sign in (1, -1):
            for each, slope in zip(weights, slopes, strict=True):
                each.data -= sign * step * slope
            values += game.values(np.zeros((1, 4), bool)).tolist()
            for each, slope in zip(weights, slopes, strict=True):
                each.data += sign * step * slope
        wanted.append((values[0] - values[1]) / (2 * step))
    assert scores == pytest.approx(wanted, rel=0.05, abs=0.05 * np.abs(wanted).max())


def test_trainings_for_many_points_are_those_of_each(subject):
    learner = datamodels.FineTune(epochs=1, weights="last_layer")
    games = [
        datamodels.fine_tuning_game(subject, COMMENTS[5:7], prompt, learner)
        for prompt in ("so long", "hello")
    ]
    trainings, masks = datamodels.Trainings(games), np.array([[True, False], [True, True]])
    for point, game in enumerate(games):
        own = datamodels.PointGame(trainings, point)
        assert own.values(masks).tolist() == game.values(masks).tolist()
        assert own.values_again(masks, 1).tolist() == game.values_again(masks, 1).tolist()
    assert len(trainings.known) == 4


def test_words_that_decide_are_classified_and_attributed(rng):
    texts = [(["it", "was", word], word == "good") for word in ("good", "bad")] * 200
    model = comments.trained(texts, rng, epochs=40)
    assert all(comments.right(model, texts[:2]))
    found = Auto().attribute(comments.game(model, ["it", "was", "good", "not"]), rng)
    assert found.strongest(1)[0][0] == (2,)


@pytest.mark.data
def test_twins_differ_in_the_number_of_their_subject(data_folder):
    subject = Subject.load(data_folder / "tinystories-656k", device="cpu")
    every = agreement.twins(subject, data_folder / "circuit-prompts", "simple")
    assert every
    assert all(one.tokens != other.tokens for one, other in every)
    game = agreement.game(
        subject, [one for both in every[:2] for one in both], Sublayers.layers(subject)
    )
    assert np.isfinite(game.values(np.ones((1, 2), bool))).all()
