"""Attributors of single players and small sets: against closed forms, and where they must fail."""

import numpy as np
import pytest
from known import game_of, names

from gloss.attribute.bases import Basis
from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.exact import Exact
from gloss.attribute.methods.faithful import Faithful
from gloss.attribute.methods.occlusion import Occlusion
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.result.indices import Index
from gloss.errors import BadInput, BadSettings

PLANTED = {(): 0.5, (0,): 1.0, (3,): -0.5, (1, 2): 0.8, (4, 5, 6): 1.2}
METHODS = [
    (Shapley(3000), Index.SHAPLEY),
    (Shapley(3000, "permutations"), Index.SHAPLEY),
    (Banzhaf(3000), Index.BANZHAF),
    (Banzhaf(3000, "sampling"), Index.BANZHAF),
]


@pytest.mark.parametrize(("method", "index"), METHODS)
def test_values_of_players_come_close_to_the_closed_form(method, index, rng):
    game = game_of(PLANTED, 14, Basis.MOBIUS)
    known = Exact().attribute(game, rng).index(index)
    found = method.attribute(game, rng)
    values = [found.coefficients[player,] for player in range(14)]
    assert values == pytest.approx([known.get((player,), 0.0) for player in range(14)], abs=0.1)
    inside = [
        found.stability[player,].low - 1e-9
        <= known.get((player,), 0.0)
        <= found.stability[player,].high + 1e-9
        for player in range(14)
    ]
    assert sum(inside) >= 11
    assert found.evaluations <= 3000


@pytest.mark.parametrize("method", [Shapley(), Shapley(approach="permutations")])
def test_shapley_values_add_up(method, rng):
    game = game_of(PLANTED, 14, Basis.MOBIUS)
    found = method.attribute(game, rng)
    assert sum(found.coefficients.values()) == pytest.approx(game.values(np.ones((1, 14), bool))[0])


@pytest.mark.parametrize(
    ("weighting", "index"), [("banzhaf", Index.FAITH_BANZHAF), ("shapley", Index.FAITH_SHAPLEY)]
)
def test_faithful_indices_come_close_to_the_closed_form(weighting, index, rng):
    game = game_of(PLANTED, 12, Basis.MOBIUS)
    known = Exact().attribute(game, rng).index(index, 2)
    found = Faithful(3000, 2, weighting).attribute(game, rng)
    assert found.coefficients == pytest.approx(
        {one: known.get(one, 0.0) for one in found.coefficients}, abs=0.12
    )


def test_faithful_is_exact_where_the_game_is_no_larger_than_its_order(rng):
    planted = {(): 0.5, (0,): 1.0, (1, 2): 0.8}
    for weighting in ("banzhaf", "shapley"):
        found = Faithful(400, 2, weighting).attribute(game_of(planted, 15, Basis.MOBIUS), rng)
        strong = {one: value for one, value in found.coefficients.items() if abs(value) > 1e-8}
        assert strong == pytest.approx(planted)
        assert found.faithfulness.r2.value == pytest.approx(1)


def test_occlusion_is_exact_near_everybody_and_says_where_it_lies(rng):
    redundant = FunctionGame(names(12), lambda masks: masks[:, 0] | masks[:, 1])
    alone = Occlusion().attribute(redundant, rng)
    assert alone.coefficients[0,] == alone.coefficients[1,] == 0
    assert not alone.faithfulness.explained
    pairs = Occlusion(order=2).attribute(redundant, rng)
    assert pairs.coefficients[0, 1] == -1
    assert pairs.faithfulness.r2.value == pytest.approx(1)


@pytest.mark.parametrize("method", [*(method for method, _ in METHODS), Faithful(), Occlusion()])
def test_parities_are_beyond_them_and_they_say_so(method, rng):
    found = method.attribute(game_of({(0, 1, 2, 3): 1.0}, 20), rng)
    assert not found.faithfulness.explained


@pytest.mark.parametrize(
    "method", [Shapley(20), Shapley(20, "permutations"), Banzhaf(20), Faithful(100)]
)
def test_budgets_that_cannot_do_are_refused(method, rng):
    with pytest.raises(BadInput, match="are needed"):
        method.attribute(game_of({(0,): 1.0}, 30), rng)


def test_values_that_are_no_number_are_counted(rng):
    broken = FunctionGame(
        names(12), lambda masks: np.where(masks[:, 0] & ~masks[:, 1], np.nan, masks[:, 2] * 1.0)
    )
    for method in (Banzhaf(400), Banzhaf(400, "sampling"), Shapley(400)):
        found = method.attribute(broken, rng)
        assert found.failed > 0
        assert found.coefficients[2,] == pytest.approx(1, abs=0.2)
    with pytest.raises(BadInput, match="pairs of orders"):
        Shapley(400, "permutations").attribute(broken, rng)


@pytest.mark.parametrize("kind", [Shapley, Banzhaf])
def test_approaches_that_are_not_there_are_refused(kind):
    with pytest.raises(BadSettings, match="approach is 'magic'"):
        kind(approach="magic")
