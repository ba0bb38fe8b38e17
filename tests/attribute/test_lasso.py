"""Sparse regression on small parities."""

import pytest
from known import game_of, names

from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.lasso import Lasso


@pytest.mark.parametrize("order", [1, 2, 3])
def test_it_finds_what_its_order_holds(order, rng):
    planted = {(3,): 1.0, (5, 8): -0.7, (1, 2, 9): 0.5}
    kept = {one: value for one, value in planted.items() if len(one) <= order}
    found = Lasso(budget=600, order=order).attribute(game_of(kept, 20), rng)
    assert {
        one: value for one, value in found.coefficients.items() if abs(value) > 1e-3
    } == pytest.approx(kept, abs=1e-3)
    assert found.faithfulness.r2.value > 0.99


def test_it_does_not_explain_larger_sets_and_says_so(rng):
    found = Lasso(budget=600, order=2).attribute(
        game_of({(0, 1, 2): 1.0, (3, 4, 5, 6): 1.0}, 20), rng
    )
    assert not found.faithfulness.explained
    assert "Not explained" in found.summary_sentence()


def test_dense_effects_are_shrunk(rng):
    weights = rng.normal(size=300)
    noise = 5 * rng.normal(size=5000)
    game = FunctionGame(names(300), lambda masks: masks @ weights + noise[: len(masks)])
    found = Lasso(budget=700, order=1).attribute(game, rng)
    masks = rng.random((3000, 300)) < 0.5
    truth = masks @ weights
    assert 1 - ((found.predict(masks) - truth) ** 2).mean() / truth.var() > 0.5


def test_pairs_of_a_thousand_players_are_screened(rng):
    planted = {(3,): 1.0, (500, 800): -0.7}
    found = Lasso(budget=800).attribute(game_of(planted, 1000), rng)
    assert found.coefficients[500, 800] == pytest.approx(-0.7, abs=0.05)


def test_orders_beyond_three_are_refused():
    with pytest.raises(ValueError, match="takes 1, 2 or 3"):
        Lasso(order=4)
