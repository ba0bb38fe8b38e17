"""A process as a decoder: its coefficients, what is left beside them, and where it helps."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from gloss.attribute.bases import (
    Basis,
    all_masks,
    convert_basis,
    evaluate_coefficients,
    walsh_hadamard_coefficients,
)
from gloss.attribute.game import FunctionGame, ValuedMasks
from gloss.attribute.methods.auto import Auto
from gloss.attribute.result import rest_index
from gloss.attribute.result.indices import Index, compute_index
from gloss.attribute.result.interaction_terms import share_of_rest, variation_shares
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.solve.process_fit import ProcessFit, smooth_rest
from gloss.errors import BadInput
from gloss.records import Estimate


def smooth(weights):
    """A game without small sets: the log-odds of a mean over the words that are kept."""

    def values(masks):
        mean = (masks @ weights) / (masks.sum(axis=1) + 1)
        return np.tanh(3 * mean) + mean

    return FunctionGame(tuple(f"w{i}" for i in range(len(weights))), values)


def fitted(rng, players=8, number=60):
    game = smooth(rng.normal(size=players))
    masks = np.unique(rng.random((number, players)) < 0.5, axis=0)
    fit = ProcessFit.of(ValuedMasks(masks, game.values(masks)), rng)
    assert fit is not None
    return fit


def test_coefficients_are_those_of_what_is_predicted(rng):
    fit = fitted(rng)
    masks = all_masks(8)
    values = fit.predict(masks)
    signs = 2.0 * masks - 1
    told = fit.fourier(0.5)
    for one, value in told.items():
        assert value == pytest.approx(0.5 * (values * signs[:, list(one)].prod(axis=1)).mean())
    sets = [(0, 3, 5), (1, 2, 4, 7)]
    for one, value in zip(sets, fit.coefficients(sets).tolist(), strict=True):
        assert value == pytest.approx((values * signs[:, list(one)].prod(axis=1)).mean())


def test_the_rest_is_what_the_told_sets_lack(rng):
    fits = [(0.25, fitted(rng)), (0.5, fitted(rng))]
    masks = all_masks(8)
    rest = smooth_rest(fits, [(0, 1, 2)], masks)
    whole = sum(share * fit.predict(masks) for share, fit in fits)
    told = evaluate_coefficients(rest.listed, Basis.FOURIER, masks)
    left = rest.predict(masks)
    np.testing.assert_allclose(told + left, whole, atol=1e-9)
    assert rest.variance == pytest.approx(np.square(left).mean())
    for one in ((), (3,), (2, 6), (0, 1, 2)):
        signs = (2.0 * masks[:, list(one)] - 1).prod(axis=1)
        assert (left * signs).mean() == pytest.approx(0, abs=1e-9)


def test_values_that_are_all_the_same_have_no_process(rng):
    masks = rng.random((40, 6)) < 0.5
    assert ProcessFit.of(ValuedMasks(masks, np.full(40, 2.0)), rng) is None


def test_a_smooth_game_is_predicted_near_the_whole_beside_its_sets(rng):
    weights = np.random.default_rng(4).normal(size=24)
    game = smooth(weights)
    found = Auto(budget=400, enough=1.0).attribute(game, rng)
    assert found.rest is not None
    near = np.random.default_rng(5).random((2000, 24)) < 0.9
    values = game.values(near)
    told = evaluate_coefficients(dict(found.coefficients), found.basis, near)
    of_all, of_sets = (
        1 - ((values - each) ** 2).mean() / values.var() for each in (found.predict(near), told)
    )
    assert of_all > 0.97
    assert of_all > of_sets
    assert found.faithfulness.near.low <= of_all <= found.faithfulness.near.high
    assert sum(variation_shares(found).values()) + share_of_rest(found) == pytest.approx(1)
    changes = found.changes(np.ones(24, np.bool_))
    without = ~np.eye(24, dtype=np.bool_)
    whole = found.predict(np.ones((1, 24), np.bool_))
    np.testing.assert_allclose(changes, found.predict(without) - whole, atol=1e-9)


@pytest.fixture(scope="module")
def account_with_rest():
    """Of 10 players, from 200 of the 1,024 masks."""
    weights = np.random.default_rng(4).normal(size=10)
    found = Auto(budget=200, enough=1.0).attribute(smooth(weights), np.random.default_rng(0))
    assert found.rest is not None
    assert share_of_rest(found) > 0
    return found


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("index", list(Index))
def test_an_index_counts_the_rest(account_with_rest, index, order):
    values = account_with_rest.predict(all_masks(10))
    series = walsh_hadamard_coefficients(values, 10)
    known = compute_index(convert_basis(series, Basis.FOURIER, Basis.MOBIUS), index, order)
    found = account_with_rest.index(index, order)
    size = max(map(abs, known.values()))
    assert set(known) == set(found)
    assert found == pytest.approx(known, abs=1e-9 * size)


def test_the_rest_moves_shapley_values(account_with_rest):
    told = convert_basis(dict(account_with_rest.coefficients), Basis.FOURIER, Basis.MOBIUS)
    without = compute_index(told, Index.SHAPLEY)
    found = account_with_rest.index(Index.SHAPLEY)
    assert max(abs(without[one] - found[one]) for one in found) > 1e-3 * max(found.values())


def test_truncation_counts_the_rest(account_with_rest):
    masks = all_masks(10)
    values = account_with_rest.predict(masks)
    for order in (1, 3):
        small, share = account_with_rest.truncate(order)
        known = account_with_rest.index(Index.FAITH_BANZHAF, order)
        assert small.coefficients == pytest.approx(
            {one: known.get(one, 0.0) for one in small.coefficients}
        )
        kept = 1 - ((values - small.predict(masks)) ** 2).mean() / values.var()
        assert share == pytest.approx(kept, abs=0.01)


@dataclass(frozen=True)
class Conjunctions:
    """1/2 · [0 and 1 kept] · 4, and 16 where 1 and 2 are kept and 3 is not."""

    fits = property(lambda self: [(1.0, self)])
    listed = property(lambda self: {(): 0.5 + 2.0})
    variance = 1.0

    def products(self):
        slopes = [[1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, -1.0, 0.0]]
        yield np.array([0.5, 2.0]), np.array(slopes)

    def predict(self, masks):
        both, unless = masks[:, :2].all(axis=1), masks[:, 1:3].all(axis=1) & ~masks[:, 3]
        return 2.0 * both + 16.0 * unless - 2.5


@pytest.mark.parametrize("index", list(Index))
def test_products_that_vanish_have_exact_indices(index):
    trust = Faithfulness(Estimate(1.0, 1.0, 1.0), 32)
    found = Interactions(tuple("abcde"), {(): 2.5}, Basis.FOURIER, "made", trust, 32)
    found = replace(found, rest=Conjunctions())
    mobius = {(0, 1): 2.0, (1, 2): 16.0, (1, 2, 3): -16.0}
    for order in (1, 2, 3):
        known = compute_index(mobius, index, order)
        said = found.index(index, order)
        for one in {*known, *said}:
            assert said.get(one, 0.0) == pytest.approx(known.get(one, 0.0), abs=1e-11)


def test_sets_beyond_what_can_be_worked_out_are_refused(account_with_rest, monkeypatch):
    monkeypatch.setattr(rest_index, "MOST_PRODUCTS", 10**4)
    with pytest.raises(BadInput, match="give a lower order"):
        account_with_rest.index(Index.SHAPLEY_INTERACTION, 3)
