"""ProxySPEX finds interactions by way of their subsets, and only so."""

from itertools import combinations

import numpy as np
import pytest
from known import game_of

from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.proxy_spex import ProxySpex
from gloss.errors import BadInput, BadSettings


def hierarchy(whole: tuple[int, ...], rng: np.random.Generator) -> dict:
    return {
        part: float(rng.uniform(0.5, 1))
        for size in range(1, len(whole) + 1)
        for part in combinations(whole, size)
    }


def test_a_hierarchy_is_found(rng):
    planted = hierarchy((3, 11, 20), rng) | hierarchy((5, 25), rng)
    found = ProxySpex(600).attribute(game_of(planted, 30), rng)
    assert found.faithfulness.r2.value > 0.97
    assert found.coefficients[3, 11, 20] == pytest.approx(planted[3, 11, 20], abs=0.1)


def test_a_conjunction_is_found(rng):
    game = FunctionGame(
        tuple("abcdefghijkl"), lambda masks: masks[:, [1, 4]].all(axis=1) + 2.0 * masks[:, 7]
    )
    assert ProxySpex(400).attribute(game, rng).faithfulness.r2.value > 0.95


def test_a_parity_none_of_whose_subsets_matters_is_not_found(rng):
    found = ProxySpex(400).attribute(game_of({(1, 6, 13, 17, 22): 1.0}, 30), rng)
    assert not found.faithfulness.explained


def test_without_held_out_masks_nothing_is_claimed(rng):
    found = ProxySpex(100, held_out=0).attribute(game_of({(1,): 1.0}, 10), rng)
    assert np.isnan(found.faithfulness.r2.value)
    assert found.evaluations == 100


def test_it_refuses_what_it_cannot_do(rng):
    with pytest.raises(BadSettings, match="at least 40"):
        ProxySpex(budget=10)
    with pytest.raises(BadInput, match="gave 16"):
        ProxySpex(100).attribute(game_of({(1,): 1.0}, 4), rng)
