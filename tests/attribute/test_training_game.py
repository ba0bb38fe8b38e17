"""Games of training examples are what fitting each subset by itself gives."""

import numpy as np
import pytest

from gloss.attribute.bases import Basis
from gloss.attribute.methods.exact import Exact
from gloss.attribute.methods.gradient import Gradient
from gloss.attribute.players.training_examples import (
    LogisticGame,
    NearestNeighbourGame,
    RetrainingGame,
    RidgeGame,
    TrainingExamples,
)
from gloss.errors import BadInput


def examples(
    rng: np.random.Generator, number: int = 30, d: int = 4, *, labels: bool = False
) -> TrainingExamples:
    x = rng.normal(size=(number, d))
    y = x @ np.arange(1.0, d + 1) + rng.normal(size=number)
    return TrainingExamples(x, np.where(y > 0, 1.0, -1.0) if labels else y, rng.normal(size=d), 1.0)


def test_ridge_is_the_closed_form(rng):
    data = examples(rng)
    masks = rng.random((40, 30)) < 0.5
    for mask, value in zip(masks, RidgeGame(data, 0.3).values(masks), strict=True):
        x, y = data.x[mask], data.y[mask]
        weights = np.linalg.solve(x.T @ x + 0.3 * np.eye(4), x.T @ y)
        assert value == pytest.approx(-((weights @ data.test_x - data.test_y) ** 2))


def test_logistic_regression_is_at_its_optimum(rng):
    data = examples(rng, labels=True)
    game = LogisticGame(data, 0.5)
    masks = rng.random((25, 30)) < 0.5
    for mask, weights in zip(masks, game.fitted(masks, np.zeros(4)), strict=True):
        x, y = data.x[mask], data.y[mask]
        slope = x.T @ (y / (1 + np.exp(y * (x @ weights)))) - 0.5 * weights
        assert np.abs(slope).max() < 1e-6
    cold = game.fitted(masks, np.zeros(4)) @ data.test_x * data.test_y
    assert game.values(masks) == pytest.approx(cold, abs=1e-6)


def test_nearest_neighbours_vote(rng):
    data = examples(rng, labels=True)
    masks = np.vstack([rng.random((20, 30)) < 0.5, np.zeros((1, 30), bool)])
    for mask, value in zip(masks, NearestNeighbourGame(data, 3).values(masks), strict=True):
        kept = np.flatnonzero(mask)
        near = kept[np.argsort(((data.x[kept] - data.test_x) ** 2).sum(1))][:3]
        assert value == pytest.approx((data.y[near] == 1).mean() if len(near) else 0)


def test_duplicates_are_redundant_and_a_parity_needs_both_of_its_points():
    """Two copies of the one example that says the truth: either is enough, so their interaction
    takes away what one adds.
    """
    copies = TrainingExamples(
        np.array([[1.0], [1.0], [30.0]]), np.array([1.0, 1.0, -1.0]), np.array([1.0]), 1.0
    )
    found = (
        Exact()
        .attribute(NearestNeighbourGame(copies, 1), np.random.default_rng(0))
        .into(Basis.MOBIUS)
    )
    assert found.coefficients[0, 1] == pytest.approx(-1)
    rounds = RetrainingGame(("a", "b", "c"), lambda kept: float({0, 1} <= set(kept.tolist())))
    assert Exact().attribute(rounds, np.random.default_rng(0)).into(
        Basis.MOBIUS
    ).coefficients == pytest.approx({(0, 1): 1.0})


def test_it_refuses_shapes_that_do_not_fit(rng):
    with pytest.raises(BadInput, match="do not fit"):
        TrainingExamples(np.zeros((3, 2)), np.zeros(3), np.zeros(2), 0.0, ("a", "b"))


def test_parts_do_not_change_values(rng, monkeypatch):
    data = examples(rng)
    masks = rng.random((50, 30)) < 0.5
    whole = RidgeGame(data).values(masks)
    monkeypatch.setattr("gloss.attribute.players.training_examples.AT_ONCE", 100)
    assert RidgeGame(data).values(masks) == pytest.approx(whole)


def fitted_game(kind, rng, number=12) -> RidgeGame | LogisticGame:
    return kind(examples(rng, number, labels=kind is LogisticGame), 0.5)


@pytest.mark.parametrize("kind", [RidgeGame, LogisticGame])
def test_slopes_on_the_way_out_of_an_example_add_up_to_what_is_lost_without_it(kind, rng):
    game = fitted_game(kind, rng)
    n = len(game.players)
    chances, weights = np.polynomial.legendre.leggauss(24)
    every = np.ones((1, n), np.bool_)
    for out in (0, 5):
        masks = np.ones((24, n), np.float32)
        masks[:, out] = (chances + 1) / 2
        lost = (game.values(every) - game.values(every & (np.arange(n) != out)))[0]
        added = weights / 2 @ game.gradients(masks)[:, out]
        assert added == pytest.approx(lost, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", [RidgeGame, LogisticGame])
def test_gradients_of_examples_rank_them_as_leaving_them_out(kind, rng):
    game = fitted_game(kind, rng, 120)
    n = len(game.players)
    whole, *lost = game.values(~np.eye(n + 1, n, k=-1, dtype=np.bool_))
    near = Gradient(steps=1, held_out=0).attribute(game, rng).coefficients
    parts = [near[player,] for player in range(n)]
    assert np.corrcoef(parts, whole - np.array(lost))[0, 1] > 0.95


@pytest.mark.parametrize("kind", [RidgeGame, LogisticGame])
def test_slopes_from_nothing_to_the_whole_add_up(kind, rng):
    game = fitted_game(kind, rng)
    n = len(game.players)
    nothing, whole = game.values(np.array([[False] * n, [True] * n]))
    chances, weights = np.polynomial.legendre.leggauss(40)
    root = (chances + 1) / 2
    way = np.repeat(root[:, None] ** 3, n, axis=1).astype(np.float32)  # close near nothing
    added = (weights / 2 * 3 * root**2) @ game.gradients(way)
    assert added.sum() == pytest.approx(whole - nothing, rel=1e-4)
