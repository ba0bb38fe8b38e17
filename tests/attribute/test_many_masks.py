"""What is done in parts, or on a part of the masks, where there are many."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from known import game_of, names

from gloss.attribute.bases import Basis
from gloss.attribute.game import FunctionGame, ValuedMasks
from gloss.attribute.methods.auto import Auto, DecoderSearch
from gloss.attribute.result.faithfulness import split_masks
from gloss.attribute.solve import lasso_path, sparse_regression
from gloss.attribute.solve.boosted_trees import BoostingSettings, boost_trees
from gloss.attribute.solve.cross_fit import pursue
from gloss.attribute.solve.sparse_regression import (
    Pursuit,
    fit_least_squares,
    make_literals,
    pair_products,
    spread_rows,
)


def noisy(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A player and two sets, with noise."""
    planted = masks[:, 1] * 2.0 + masks[:, [0, 3]].all(1) - 3 * masks[:, [4, 5, 6]].all(1)
    return planted + 0.5 * rng.normal(size=len(masks))


@pytest.mark.parametrize("parity", [True, False])
def test_a_fit_is_that_of_least_squares_in_whatever_parts(parity, rng, monkeypatch):
    masks = rng.random((700, 12)) < 0.5
    values = noisy(masks, rng)
    atoms = [(1,), (0, 3), (4, 5, 6), (2, 7)]
    rows = make_literals(masks, parity=parity).products(atoms).astype(float)
    wanted, *_ = np.linalg.lstsq(np.vstack([rows, np.ones(700)]).T, values)
    whole = fit_least_squares(masks, atoms, values, parity=parity)
    monkeypatch.setattr(sparse_regression, "BLOCK_CELLS", 1000)
    parts = fit_least_squares(masks, atoms, values, parity=parity)
    for fit in (whole, parts):
        assert [*fit.weights, fit.constant] == pytest.approx(wanted, abs=1e-8)
        assert fit.predict(masks) == pytest.approx(wanted[:-1] @ rows + wanted[-1], abs=1e-8)


@pytest.mark.parametrize("parity", [True, False])
def test_pairs_are_screened_by_the_sums_of_their_products(parity, rng):
    literals = make_literals(rng.random((90, 7)) < 0.4, parity=parity)
    left = rng.normal(size=90).astype(np.float32)
    found = pair_products(literals, left)
    for first, second in combinations(range(len(literals)), 2):
        wanted = float((literals.rows[first] * literals.rows[second]) @ left)
        assert found[first, second] == pytest.approx(wanted, abs=1e-4)


def test_a_search_over_some_masks_is_fitted_to_all(rng, monkeypatch):
    masks = rng.random((4000, 30)) < 0.5
    valued = ValuedMasks(masks, noisy(masks, rng))
    monkeypatch.setattr(sparse_regression, "MOST_CELLS", 30 * 500)
    assert Pursuit.over(masks, valued.values, 5, parity=False).literals.rows.shape == (60, 500)
    found = pursue(valued, 5, 0.0, parity=False)
    whole = fit_least_squares(masks, found.atoms, valued.values, parity=False)
    assert found.weights == pytest.approx(whole.weights)
    for planted in ((1,), (0, 3), (4, 5, 6)):
        assert planted in found.fourier()


def test_masks_of_a_part_lie_evenly_among_all():
    assert spread_rows(7, 10).tolist() == list(range(7))
    assert spread_rows(10, 4).tolist() == [0, 2, 5, 7]


def test_masks_near_the_whole_may_have_another_mean(rng):
    masks = np.concatenate([rng.random((300, 20)) < 0.5, rng.random((60, 20)) < 0.9])
    apart = np.arange(360) >= 300
    pursuit = Pursuit.over(masks, noisy(masks, rng) + 50.0 * apart, 3, parity=False, apart=apart)
    rows = pursuit.literals.centred_products([(1,), (4, 5, 6)])
    for own in (apart, ~apart):
        assert rows[:, own].mean(axis=1) == pytest.approx([0, 0], abs=1e-6)
        assert pursuit.values[own].mean() == pytest.approx(0, abs=1e-5)
    pursuit.run(0.0)
    assert {(1,), (4, 5, 6)} <= set(pursuit.atoms)


def test_a_path_over_products_of_pairs_is_that_over_rows(rng):
    masks = rng.random((900, 10)) < 0.5
    valued = ValuedMasks(masks, noisy(masks, rng))
    whole = lasso_path.LassoProblem.of(valued, 2)
    assert whole.moments is not None
    literals = make_literals(masks, parity=True)
    rows = literals.centred_products(whole.atoms)
    left = (valued.values - valued.values.mean()).astype(np.float32)
    by_rows = lasso_path.LassoProblem(valued, whole.atoms, None, rows, rows @ left / 900)
    paths = [lasso_path.lasso_path(each) for each in (whole, by_rows)]
    assert np.array(paths[0]) == pytest.approx(np.array(paths[1]), abs=1e-5)
    for again in (True, False):
        fits = [
            each.fit(path[12], again=again)
            for each, path in zip((whole, by_rows), paths, strict=True)
        ]
        assert fits[0].predict(masks) == pytest.approx(fits[1].predict(masks), abs=1e-4)


def test_a_path_chooses_from_fewer_parities_the_more_masks_there_are():
    assert lasso_path.most_atoms(100, 3000) == lasso_path.MOST_ATOMS
    fewer = lasso_path.most_atoms(100, 50_000)
    assert 1000 < fewer < 2000
    assert fewer**2 * 50_000 <= lasso_path.MOST_PRODUCTS
    assert lasso_path.most_atoms(5000, 50_000) == 5000  # each player by itself, always


def test_what_is_held_at_once_does_not_grow_with_masks(rng):
    masks = rng.random((20_000, 1000)) < 0.5
    values = noisy(masks, rng)
    pursuit = Pursuit.over(masks, values, 5, parity=False)
    assert pursuit.literals.rows.nbytes <= 8 * sparse_regression.MOST_CELLS
    assert pursuit.basis.nbytes <= 4 * sparse_regression.MOST_CELLS
    del pursuit
    tracemalloc.start()
    fit = fit_least_squares(masks, [(1,), (0, 3), (4, 5, 6)], values, parity=False)
    fit.predict(masks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * sparse_regression.BLOCK_CELLS < 8 * masks.size


def test_trees_are_grown_on_few_of_many_masks(rng, monkeypatch):
    masks = rng.random((2000, 10)) < 0.5
    values = noisy(masks, rng)
    monkeypatch.setattr("gloss.attribute.solve.boosted_trees.MOST_GROWN", 10 * 200)
    forest, error = boost_trees(
        masks, values, np.arange(2000) % 7 == 0, BoostingSettings(rows=0.5), rng
    )
    assert error < 0.5 * values.var()
    assert len(forest.leaves) > 10


def test_few_conjunctions_that_give_every_value_are_taken_as_they_are(rng):
    sets = {tuple(sorted(rng.choice(40, 3, replace=False).tolist())): 1.0 for _ in range(10)}
    game = game_of(sets, 40, Basis.MOBIUS)
    masks = np.concatenate([rng.random((200, 40)) < 0.5, rng.random((30, 40)) < 0.9])
    uniform, near = (ValuedMasks(each, game.values(each)) for each in (masks[:200], masks[200:]))
    found = DecoderSearch(5).solve(split_masks(uniform, near), {False}, 1e9)
    assert found is not None
    fresh = rng.random((500, 40)) < 0.7
    for fits in found:
        assert fits[0][1].predict(fresh) == pytest.approx(game.values(fresh), abs=1e-5)
    values = uniform.values + 0.1 * rng.normal(size=200)
    noisy_split = split_masks(ValuedMasks(uniform.masks, values))
    assert DecoderSearch(5).solve(noisy_split, {True, False}, 1e9) is None


def test_many_masks_are_cut_into_fewer_parts(rng, monkeypatch):
    monkeypatch.setattr("gloss.attribute.methods.auto.MOST_CELLS", 12 * 300)
    game = FunctionGame(names(12), lambda masks: noisy(masks, rng))
    trust = Auto(budget=700).attribute(game, rng).faithfulness
    assert trust.r2.low < trust.most < 1
    assert trust.n > 500  # every mask judges


def test_dense_parities_are_found_from_a_path_over_all_sets(rng):
    drawn = {tuple(sorted(rng.choice(14, int(k), replace=False))) for k in rng.integers(1, 6, 55)}
    sets = {tuple(map(int, one)): float(rng.uniform(-1, 1)) for one in sorted(drawn)}
    game = game_of(sets, 14)
    found = Auto(budget=400).attribute(game, rng)
    fresh = rng.random((1000, 14)) < 0.7
    values = game.values(fresh)
    assert np.square(values - found.predict(fresh)).mean() < 1e-5 * values.var()
    assert found.faithfulness.r2.low > 0.999
    assert found.evaluations <= 400


def test_a_path_over_all_sets_holds_few_and_only_where_they_fit(rng):
    masks = rng.random((80, 10)) < 0.5
    begun = lasso_path.sets_on_a_path(ValuedMasks(masks, noisy(masks, rng)), 4)
    assert begun[0] == (1,)
    assert len(begun) <= 20
    wide = ValuedMasks(rng.random((40, 40)) < 0.5, rng.normal(size=40))
    assert lasso_path.sets_on_a_path(wide, 5) == []
