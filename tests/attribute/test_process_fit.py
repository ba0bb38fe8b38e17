"""A process as a decoder: its coefficients, what is left beside them, and where it helps."""

import numpy as np
import pytest

from gloss.attribute.bases import Basis, all_masks, evaluate_coefficients
from gloss.attribute.game import FunctionGame, ValuedMasks
from gloss.attribute.methods.auto import Auto
from gloss.attribute.result.interaction_terms import share_of_rest, variation_shares
from gloss.attribute.solve.process_fit import ProcessFit, smooth_rest


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
