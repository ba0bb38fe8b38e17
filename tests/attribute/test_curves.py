"""Curves fall early along a true attribution, and along chance they do not."""

import numpy as np
import pytest
from known import game_of

from gloss.attribute.bases import Basis
from gloss.attribute.game import Evaluations
from gloss.attribute.methods.exact import Exact
from gloss.attribute.result.removal_curves import method_curves


def test_a_pair_that_acts_together_goes_together(rng):
    game = Evaluations(game_of({(2, 5): 4.0, (1,): 1.0}, 8, Basis.MOBIUS))
    own, chance = method_curves(game, [Exact().attribute(game, rng)], rng)
    assert own.name == "exact"
    assert own.counts == tuple(range(9))
    assert own.removal[:3] == pytest.approx([5, 1, 0])
    assert own.insertion[:4] == pytest.approx([0, 0, 4, 5])
    assert own.removal.mean() < chance.removal.mean()
    assert own.insertion.mean() > chance.insertion.mean()


def test_doubles_go_together(rng):
    """Either of two is enough: both have to go before the value falls, so both go first."""
    game = Evaluations(game_of({(2,): 4.0, (5,): 4.0, (2, 5): -4.0, (1,): 1.0}, 8, Basis.MOBIUS))
    own, _ = method_curves(game, [Exact().attribute(game, rng)], rng)
    assert own.removal[:4] == pytest.approx([5, 5, 1, 0])


def test_an_attribution_of_another_game_is_no_better_than_chance(rng):
    game = Evaluations(game_of({(player,): 1.0 for player in range(4)}, 12, Basis.MOBIUS))
    other = Exact().attribute(
        game_of({(player,): 1.0 for player in range(4, 12)}, 12, Basis.MOBIUS), rng
    )
    wrong, chance = method_curves(game, [other], rng)
    assert wrong.removal.mean() > chance.removal.mean()


def test_many_players_move_several_at_a_time(rng):
    from gloss.attribute.result.interactions import Faithfulness, Interactions
    from gloss.records import Estimate

    game = Evaluations(game_of({(0,): 1.0}, 100))
    found = Interactions(
        game.players,
        {(0,): 1.0},
        Basis.FOURIER,
        "known",
        Faithfulness(Estimate(1.0, 1.0, 1.0), 1),
        0,
    )
    [own, _] = method_curves(game, [found], rng)
    assert own.counts == tuple(range(0, 101, 10))
    assert own.removal[1] == pytest.approx(-1)
    assert np.isfinite(own.insertion).all()
