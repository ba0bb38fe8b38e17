"""Closed forms against the definitions, by brute force."""

from functools import partial

import numpy as np
import pytest
from known import Brute, sets_up_to

from gloss.attribute.bases import Basis, convert_basis, walsh_hadamard_coefficients
from gloss.attribute.result.indices import Index, compute_index
from gloss.errors import BadSettings


@pytest.fixture(params=[3, 7, 9])
def brute(request: pytest.FixtureRequest, rng: np.random.Generator) -> Brute:
    return Brute(rng.normal(size=2**request.param), request.param)


def mobius(brute: Brute) -> dict[tuple[int, ...], float]:
    return convert_basis(
        walsh_hadamard_coefficients(brute.values, brute.n), Basis.FOURIER, Basis.MOBIUS
    )


def same(found: dict, known: dict) -> None:
    assert found.keys() == known.keys()
    assert found == pytest.approx(known, abs=1e-9)


def test_players_alone(brute: Brute):
    singles = sets_up_to(brute.n, 1)[1:]
    same(
        compute_index(mobius(brute), Index.SHAPLEY),
        {one: brute.shapley_interaction(one) for one in singles},
    )
    same(
        compute_index(mobius(brute), Index.BANZHAF),
        {one: brute.banzhaf_interaction(one) for one in singles},
    )


@pytest.mark.parametrize("order", [1, 2, 3])
def test_interactions(brute: Brute, order: int):
    sets = sets_up_to(brute.n, order)[1:]
    same(
        compute_index(mobius(brute), Index.SHAPLEY_INTERACTION, order),
        {one: brute.shapley_interaction(one) for one in sets},
    )
    same(
        compute_index(mobius(brute), Index.BANZHAF_INTERACTION, order),
        {one: brute.banzhaf_interaction(one) for one in sets},
    )
    same(
        compute_index(mobius(brute), Index.SHAPLEY_TAYLOR, order),
        {one: brute.shapley_taylor(one, order) for one in sets},
    )


@pytest.mark.parametrize("order", [1, 2, 3])
def test_faithful_indices_are_their_least_squares(brute: Brute, order: int):
    same(
        compute_index(mobius(brute), Index.FAITH_BANZHAF, order),
        brute.faithful(order, shapley=False),
    )
    same(
        compute_index(mobius(brute), Index.FAITH_SHAPLEY, order),
        brute.faithful(order, shapley=True),
    )


def test_twelve_players(rng: np.random.Generator):
    brute = Brute(rng.normal(size=2**12), 12)
    everything, close = mobius(brute), partial(pytest.approx, abs=1e-9)
    for one in [(3,), (0, 11), (2, 5, 7)]:
        assert compute_index(everything, Index.SHAPLEY_INTERACTION, 3)[one] == pytest.approx(
            brute.shapley_interaction(one), abs=1e-9
        )
        assert compute_index(everything, Index.BANZHAF_INTERACTION, 3)[one] == pytest.approx(
            brute.banzhaf_interaction(one), abs=1e-9
        )
        assert compute_index(everything, Index.SHAPLEY_TAYLOR, 3)[one] == close(
            brute.shapley_taylor(one, 3)
        )
    same(compute_index(everything, Index.FAITH_BANZHAF, 2), brute.faithful(2, shapley=False))
    same(compute_index(everything, Index.FAITH_SHAPLEY, 2), brute.faithful(2, shapley=True))


def test_a_pair_that_acts_together_by_hand():
    pair = {(1, 4): 6.0}
    assert compute_index(pair, Index.SHAPLEY) == {(1,): 3.0, (4,): 3.0}
    assert compute_index(pair, Index.SHAPLEY_TAYLOR, 2) == {(1, 4): 6.0}


def test_an_index_of_nobody_is_refused():
    with pytest.raises(BadSettings, match="at least 1 player"):
        compute_index({(0,): 1.0}, Index.SHAPLEY_TAYLOR, 0)
