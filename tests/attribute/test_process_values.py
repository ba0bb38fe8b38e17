"""Values by a Gaussian process: against exact ones, where it must win, and where it cannot."""

from itertools import combinations

import numpy as np
import pytest
from known import Brute, game_of, names

from gloss.attribute.bases import Basis, all_masks
from gloss.attribute.game import Evaluations, FunctionGame, TableGame, as_evaluations
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.faithful import Faithful
from gloss.attribute.methods.paired_values import draw_uniform_pairs
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.result.indices import Index
from gloss.attribute.solve.index_weights import SetIndex
from gloss.attribute.solve.mask_process import (
    PARTS,
    MaskProcess,
    fit_process,
    negative_log_likelihood,
)
from gloss.attribute.solve.paired_masks import draw_paired_masks, shapley_sizes
from gloss.errors import BadInput, BadSettings


def saturated(players: int) -> FunctionGame:
    """A model of a mean over words: a squashed sum of what the kept ones weigh, by their number."""
    weights = np.random.default_rng(3).normal(size=(players, 3))

    def values(masks: np.ndarray) -> np.ndarray:
        mean = masks @ weights / np.maximum(1, masks.sum(axis=1))[:, None]
        return np.maximum(mean, 0) @ np.array([3.0, -2.0, 1.0])

    return FunctionGame(names(players), values)


def error(found: dict, known: dict) -> float:
    """Squared error over the mean square of what is known, over its sets."""
    left = sum((found.get(one, 0.0) - value) ** 2 for one, value in known.items())
    return left / sum(value**2 for value in known.values())


@pytest.fixture(scope="module")
def exact() -> Brute:
    return Brute(saturated(10).values(all_masks(10)), 10)


def a_process(players: int) -> MaskProcess:
    rng = np.random.default_rng(1)
    return MaskProcess(
        rng.uniform(0.1, 0.8, players),
        np.array([0.5, -0.3, -1.0, -2.0]),
        np.array([0.0, 0.2, -0.7, 0.9]),
        np.array([0.1, 1.0, 0.7, 1.3]),
        0.05,
        -0.2,
    )


@pytest.mark.parametrize("shapley", [True, False])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_indices_of_a_process_are_sums_over_all_masks(shapley, size):
    n, process, everywhere = 5, a_process(5), all_masks(5)
    index = SetIndex(n, size, shapley)
    weights = index.of_masks(everywhere)
    covariance = process.covariance(everywhere, everywhere)
    assert np.allclose(index.of_process(process, everywhere), covariance @ weights)
    assert np.allclose(
        index.variance(process), np.einsum("ms,mk,ks->s", weights, covariance, weights)
    )
    sizes = everywhere.sum(axis=1)
    inner = (sizes > 0) & (sizes < n) if shapley else sizes >= 0
    own = (process.own_variance(everywhere)[:, None] * weights**2)[inner].sum(axis=0)
    assert np.allclose(index.own_variance(process), own, rtol=1e-4)


@pytest.mark.parametrize("shapley", [True, False])
@pytest.mark.parametrize("size", [1, 2])
def test_weights_of_masks_give_the_indices_by_their_definition(exact, shapley, size):
    index = SetIndex(10, size, shapley)
    by_definition = exact.shapley_interaction if shapley else exact.banzhaf_interaction
    found = exact.values @ index.of_masks(all_masks(10))
    some = [0, len(index.sets) // 2, len(index.sets) - 1]
    assert found[some] == pytest.approx([by_definition(index.sets[one]) for one in some])


@pytest.mark.parametrize("reaches", [1, 6])
def test_slopes_of_the_likelihood_are_slopes(reaches):
    rng = np.random.default_rng(2)
    masks, values = all_masks(6)[::2], rng.normal(size=32)
    settings = np.concatenate(
        [rng.normal(-1, 0.3, reaches), rng.normal(0, 0.5, 3 * PARTS), [-3.0, 0.2]]
    )
    _, slopes = negative_log_likelihood(settings, masks, values, reaches)
    steps = 1e-5 * np.eye(len(settings))
    measured = [
        (
            negative_log_likelihood(settings + step, masks, values, reaches)[0]
            - negative_log_likelihood(settings - step, masks, values, reaches)[0]
        )
        / 2e-5
        for step in steps
    ]
    assert slopes == pytest.approx(measured, abs=1e-4)


@pytest.mark.parametrize(("players", "count"), [(6, 40), (9, 100), (10, 700), (40, 200)])
def test_masks_are_different_and_come_with_their_complements(players, count, rng):
    masks = draw_paired_masks(count, shapley_sizes(players), rng)
    assert count - 2 < len(masks) <= count
    assert len(np.unique(masks, axis=0)) == len(masks)
    assert (masks[::2] == ~masks[1::2]).all()
    assert (masks.any(axis=1) & ~masks.all(axis=1)).all()
    if players == 40:
        assert (masks.sum(axis=1) == 1).sum() == (masks.sum(axis=1) == 2).sum()
    if players == 6:
        assert (masks.sum(axis=1) == 1).sum() == 6


def test_it_has_a_fraction_of_the_error_of_regression(exact):
    """What words of a mean do depends smoothly on what else is kept, which regression on players
    takes for noise.
    """
    known = {(player,): exact.shapley_interaction((player,)) for player in range(10)}
    game = saturated(10)
    errors = {
        approach: [
            error(
                dict(
                    Shapley(200, approach).attribute(game, np.random.default_rng(seed)).coefficients
                ),
                known,
            )
            for seed in range(3)
        ]
        for approach in ("process", "regression")
    }
    assert np.mean(errors["process"]) < 0.25 * np.mean(errors["regression"])


def test_pairs_are_found_and_all_adds_up(exact, rng):
    game = saturated(10)
    found = Shapley(256, order=2).attribute(game, rng)
    known = {one: exact.shapley_interaction(one) for one in combinations(range(10), 2)}
    assert error(found.index(Index.SHAPLEY_INTERACTION), known) < 0.1
    assert sum(found.coefficients.values()) == pytest.approx(exact.values[-1])
    single = {(player,): exact.shapley_interaction((player,)) for player in range(10)}
    assert error(found.index(Index.SHAPLEY), single) < 0.05
    pairs = Banzhaf(256, order=2).attribute(game, rng)
    known = {one: exact.banzhaf_interaction(one) for one in combinations(range(10), 2)}
    assert error(pairs.index(Index.BANZHAF_INTERACTION), known) < 0.3


def test_budgets_are_spent_on_different_masks(rng):
    for method in (Shapley(201), Banzhaf(200), Faithful(200), Faithful(200, 2, "shapley")):
        game = Evaluations(saturated(12))
        found = method.attribute(game, rng)
        assert found.evaluations == len(game) == game.paid == 200


def test_values_that_follow_no_rule_stay_unknown_and_their_intervals_say_so(rng):
    """Nothing is to be learnt of the masks that were not valued."""
    table = np.random.default_rng(4).normal(size=2**10)
    known = Brute(table, 10)
    game = FunctionGame(names(10), lambda masks: table[masks @ (1 << np.arange(10))])
    found = Shapley(128).attribute(game, rng)
    exactly = {(player,): known.shapley_interaction((player,)) for player in range(10)}
    assert error(dict(found.coefficients), exactly) > 0.02
    assert not found.faithfulness.explained
    inside = [
        found.stability[one].low <= value <= found.stability[one].high
        for one, value in exactly.items()
    ]
    assert sum(inside) >= 8


@pytest.mark.parametrize("method", [Shapley(128), Banzhaf(128)])
def test_what_players_do_only_together_is_not_told_of_players(method, rng):
    found = method.attribute(game_of({(0, 1, 2, 3): 1.0}, 12), rng)
    assert not found.faithfulness.explained


def test_what_is_additive_is_exact(rng):
    planted = {(): 0.5, (0,): 1.0, (3,): -0.5}
    for method in (Shapley(100), Banzhaf(100), Shapley(100, order=2)):
        found = method.attribute(game_of(planted, 12, Basis.MOBIUS), rng)
        strong = {one: value for one, value in found.coefficients.items() if abs(value) > 1e-3}
        assert strong == pytest.approx(planted, abs=1e-3)
        assert found.faithfulness.r2.value == pytest.approx(1, abs=1e-3)


def test_all_masks_give_exact_values_without_error(rng):
    game = saturated(6)
    brute = Brute(game.values(all_masks(6)), 6)
    for method, one in ((Shapley(64, order=2), (0, 3)), (Banzhaf(64, order=2), (0, 3))):
        found = method.attribute(game, rng)
        known = (
            brute.shapley_interaction(one)
            if isinstance(method, Shapley)
            else brute.banzhaf_interaction(one)
        )
        assert found.coefficients[one] == pytest.approx(known)
        assert found.stability[one].low == found.stability[one].high
        assert found.faithfulness.whole


def test_many_masks_are_split_among_processes(exact, monkeypatch, rng):
    monkeypatch.setattr("gloss.attribute.methods.process_values.MOST_TOGETHER", 100)
    known = {(player,): exact.shapley_interaction((player,)) for player in range(10)}
    found = Shapley(256).attribute(saturated(10), rng)
    assert error(dict(found.coefficients), known) < 0.05
    assert sum(found.coefficients.values()) == pytest.approx(exact.values[-1])


def test_values_all_alike_are_nothing_to_explain(rng):
    for method in (Shapley(60), Banzhaf(60)):
        found = method.attribute(
            FunctionGame(names(8), lambda masks: np.full(len(masks), 2.0)), rng
        )
        assert np.isnan(found.faithfulness.r2.value)
        assert max(abs(found.coefficients[player,]) for player in range(8)) < 1e-6


def test_masks_of_a_table_are_taken_as_they_come(rng):
    game = saturated(10)
    masks = np.unique(rng.random((300, 10)) < 0.5, axis=0)
    found = Banzhaf(1000).attribute(TableGame(names(10), masks, game.values(masks)), rng)
    assert found.evaluations == len(masks)


def test_a_game_that_gives_no_number_ends(rng):
    never = FunctionGame(names(20), lambda masks: np.full(len(masks), np.nan))
    assert draw_uniform_pairs(as_evaluations(never), 64, rng).failed >= 64
    with pytest.raises(BadInput):
        Banzhaf(64).attribute(never, rng)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(BadSettings, match="approach 'process'"):
        Shapley(approach="regression", order=2)
    with pytest.raises(BadSettings, match="approach 'process'"):
        Banzhaf(order=3)


def test_equal_seeds_give_equal_values():
    once, again = (
        Shapley(200).attribute(saturated(10), np.random.default_rng(5)) for _ in range(2)
    )
    assert dict(once.coefficients) == dict(again.coefficients)


def test_more_masks_than_the_likelihood_is_judged_by_are_learnt_from(monkeypatch, rng):
    monkeypatch.setattr("gloss.attribute.solve.mask_process.MOST_LEARNT", 100)
    masks = all_masks(10)
    values = saturated(10).values(masks)
    process = fit_process(masks, (values - values.mean()) / values.std(), rng)
    assert process.reach.shape == (10,)
