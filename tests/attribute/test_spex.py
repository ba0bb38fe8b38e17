"""SPEX reads sparse functions exactly when it has masks enough, and says so when it has not."""

import numpy as np
import pytest
from known import game_of, names

from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.methods.spex import Spex
from gloss.errors import BadInput, BadSettings


def parities(players: int, number: int, rng: np.random.Generator) -> dict:
    drawn = (rng.choice(players, int(rng.integers(1, 6)), replace=False) for _ in range(number))
    return {
        tuple(sorted(int(player) for player in one)): float(
            rng.uniform(0.5, 1) * rng.choice([-1, 1])
        )
        for one in drawn
    }


@pytest.mark.parametrize(("players", "budget"), [(20, 700), (100, 1300), (1000, 2600)])
def test_sparse_parities_are_read_exactly(players, budget, rng):
    planted = parities(players, 12, rng)
    found = Spex(budget).attribute(game_of(planted, players), rng)
    assert found.faithfulness.r2.low > 0.999
    assert {
        one: value for one, value in found.coefficients.items() if abs(value) > 1e-3
    } == pytest.approx(planted, abs=1e-3)


def test_hard_decoding_reads_them_too_where_nothing_is_doubtful(rng):
    planted = {(0, 1, 2): 1.0, (5,): -1.0}
    found = Spex(600, doubted=0).attribute(game_of(planted, 12), rng)
    assert found.faithfulness.r2.value > 0.999


def test_noise_is_survived(rng):
    planted = parities(64, 8, rng)
    clean = game_of(planted, 64)
    deviation = sum(value**2 for value in planted.values()) ** 0.5
    noisy = FunctionGame(
        clean.players,
        lambda masks: clean.values(masks) + 0.1 * deviation * rng.normal(size=len(masks)),
    )
    found = Spex(2000).attribute(noisy, rng)
    assert found.faithfulness.r2.value > 0.95


def test_too_many_interactions_are_not_explained_and_it_says_so(rng):
    found = Spex(500).attribute(game_of(parities(64, 300, rng), 64), rng)
    assert not found.faithfulness.explained
    assert found.summary_sentence().startswith("Not explained")


def test_the_budget_is_used_and_kept_to(rng):
    known = Evaluations(game_of(parities(20, 3, rng), 20))
    found = Spex(1000, held_out=100).attribute(known, rng)
    assert known.paid == len(known)
    assert 1000 <= found.evaluations <= 1100


def test_it_refuses_what_it_cannot_do(rng):
    with pytest.raises(BadInput, match="needs 216 masks for 64 players, the budget is 100"):
        Spex(100).attribute(game_of({}, 64), rng)
    with pytest.raises(BadInput, match="no number"):
        Spex(300).attribute(FunctionGame(names(10), lambda masks: np.full(len(masks), np.nan)), rng)
    with pytest.raises(BadSettings, match="doubted"):
        Spex(doubted=11)
