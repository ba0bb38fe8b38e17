"""The default attributor: what it must find, and what it must not claim."""

import numpy as np
import pytest
from known import game_of, names

from gloss.attribute.bases import Basis, all_masks, conjunction_coefficients
from gloss.attribute.game import Evaluations, FunctionGame, TableGame
from gloss.attribute.judged import attribute_game
from gloss.attribute.methods.auto import Auto, doubling_budgets
from gloss.attribute.methods.lasso import Lasso
from gloss.errors import BadInput


def drawn(rng: np.random.Generator, players: int, order: int) -> tuple[int, ...]:
    return tuple(sorted(rng.choice(players, order, replace=False).tolist()))


def r2(found, game, rng) -> float:
    masks = rng.random((4000, len(game.players))) < 0.5
    values = game.values(masks)
    return 1 - ((values - found.predict(masks)) ** 2).mean() / values.var()


def test_sparse_parities_are_recovered_exactly(rng):
    planted = {
        drawn(rng, 30, int(order)): float(rng.uniform(0.3, 1)) for order in rng.integers(1, 6, 20)
    }
    found = Auto(budget=1000).attribute(game_of(planted, 30), rng)
    strong = {one: value for one, value in found.coefficients.items() if abs(value) > 1e-3}
    assert strong == pytest.approx(planted, abs=1e-3)
    assert found.faithfulness.explained


@pytest.mark.parametrize(("players", "budget"), [(128, 984), (1000, 1344)])
def test_parities_without_parts_among_many_players_are_read_from_coded_masks(players, budget, rng):
    planted = {
        drawn(rng, players, int(order)): float(rng.choice([-1, 1]) * rng.uniform(0.5, 1))
        for order in rng.integers(3, 6, 8)
    }
    found = Auto(budget=budget).attribute(game_of(planted, players), rng)
    strong = {one: value for one, value in found.coefficients.items() if abs(value) > 1e-3}
    assert strong == pytest.approx(planted, abs=1e-3)
    assert found.faithfulness.r2.low > 0.999
    assert found.evaluations == budget


def test_coded_masks_without_a_value_are_learnt_from_but_not_folded(rng):
    planted = {drawn(rng, 200, 4): 1.0 for _ in range(6)}
    clean = game_of(planted, 200)
    broken = FunctionGame(
        clean.players, lambda masks: np.where(masks[:, :4].all(axis=1), np.nan, clean.values(masks))
    )
    found = Auto(budget=700).attribute(broken, rng)
    assert found.failed > 15
    assert found.failed + found.evaluations == 700


def test_signed_conjunctions_are_recovered(rng):
    planted = {}
    for order in rng.integers(2, 6, 12):
        chosen = rng.choice(40, order, replace=False).tolist()
        kept, removed = tuple(sorted(chosen[::2])), tuple(sorted(chosen[1::2]))
        for one, value in conjunction_coefficients(
            kept, removed, float(rng.uniform(0.5, 1))
        ).items():
            planted[one] = planted.get(one, 0.0) + value
    game = game_of(planted, 40)
    assert r2(Auto(budget=1200).attribute(game, rng), game, rng) > 0.95


def test_many_small_effects_are_left_to_the_lasso(rng):
    weights = rng.normal(size=(30, 30)) / 20
    linear = rng.normal(size=30)
    game = FunctionGame(
        names(30),
        lambda masks: np.tanh((masks @ linear + ((masks @ weights) * masks).sum(axis=1)) / 4),
    )
    plain = r2(Lasso(budget=500).attribute(game, rng), game, rng)
    assert r2(Auto(budget=500).attribute(game, rng), game, rng) > plain - 0.02 > 0.8


def test_a_random_function_is_flagged_and_not_explained(rng):
    values = rng.normal(size=2**20)
    game = FunctionGame(names(20), lambda masks: values[masks @ (1 << np.arange(20))])
    found = Auto(budget=1000).attribute(game, rng)
    assert found.faithfulness.r2.low <= 0
    assert not found.faithfulness.explained
    assert found.summary_sentence().startswith("Not explained: R2 ")


def test_a_constant_game_has_nothing_to_explain(rng):
    found = Auto(budget=300).attribute(
        FunctionGame(names(20), lambda masks: np.full(len(masks), 3.0)), rng
    )
    assert "Nothing to explain" in found.summary_sentence()
    assert found.coefficients[()] == pytest.approx(3)


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.2])
def test_noise_costs_what_it_must_and_the_interval_covers_what_is_left(noise, rng):
    planted = {
        drawn(rng, 25, int(order)): float(rng.uniform(0.3, 1)) for order in rng.integers(1, 4, 15)
    }
    clean = game_of(planted, 25)
    deviation = noise * np.sqrt(sum(value**2 for value in planted.values()))
    noisy = FunctionGame(
        names(25), lambda masks: clean.values(masks) + deviation * rng.normal(size=len(masks))
    )
    found = Auto(budget=800).attribute(noisy, rng)
    best = 1 - noise**2 / (1 + noise**2)
    assert r2(found, clean, rng) > best - 0.01
    assert found.faithfulness.r2.low <= best + 0.003
    assert found.faithfulness.r2.high >= best - 0.02


def test_intervals_of_coefficients_cover_what_was_planted(rng):
    planted = {
        drawn(rng, 25, int(order)): float(rng.uniform(0.5, 1)) for order in rng.integers(1, 4, 20)
    }
    clean = game_of(planted, 25)
    noisy = FunctionGame(names(25), lambda masks: clean.values(masks) + rng.normal(size=len(masks)))
    found = Auto(budget=600).attribute(noisy, rng)
    inside = [
        found.averages[one].low <= 2 ** len(one) * value <= found.averages[one].high
        for one, value in planted.items()
        if one in found.averages
    ]
    assert np.mean(inside) >= 0.8


def test_what_is_explained_early_costs_no_more(rng):
    planted = {(3,): 1.0, (7, 9): -2.0}
    found = Auto(budget=4096).attribute(game_of(planted, 100), rng)
    assert found.evaluations < 800  # of the first round, and what is measured of 100 players
    assert {
        one: value for one, value in found.coefficients.items() if abs(value) > 1e-5
    } == pytest.approx(planted)


def test_a_small_game_is_known_whole(rng):
    found = Auto().attribute(game_of({(0,): 1.0, (0, 1, 2): 0.5}, 6), rng)
    assert dict(found.coefficients) == pytest.approx({(0,): 1.0, (0, 1, 2): 0.5})
    assert found.evaluations == 64


def test_a_table_is_attributed_as_it_is(rng):
    masks = np.unique(rng.random((600, 30)) < 0.5, axis=0)
    table = TableGame(names(30), masks, 2.0 * masks[:, 4] + (masks[:, 5] ^ masks[:, 6]))
    found = Auto().attribute(table, rng)
    assert found.evaluations <= 600
    assert found.coefficients[(5, 6)] == pytest.approx(-0.5, abs=1e-4)


def test_masks_without_a_value_are_counted_and_left_out(rng):
    clean = game_of({(1,): 1.0, (2, 3): 1.0}, 30)
    broken = FunctionGame(
        names(30), lambda masks: np.where(masks[:, :3].all(axis=1), np.nan, clean.values(masks))
    )
    known = Evaluations(broken)
    found = attribute_game(Auto(budget=256), known, rng)
    assert 240 <= found.failed + found.evaluations == len(known) <= 256
    assert found.failed > 15
    assert found.faithfulness.explained


def test_too_few_values_are_refused_in_a_sentence(rng):
    with pytest.raises(BadInput, match="gave 14 values"):
        Auto(budget=20).attribute(game_of({(1,): 1.0}, 30), rng)


def test_a_second_run_pays_for_nothing(tmp_path):
    game = game_of({(1, 2, 3): 1.0, (4,): 1.0, (5, 6): 0.5}, 40, Basis.MOBIUS)
    first = Auto(budget=512).attribute(
        Evaluations(game, tmp_path / "values"), np.random.default_rng(5)
    )
    again = Evaluations(game, tmp_path / "values")
    assert Auto(budget=512).attribute(again, np.random.default_rng(5)) == first
    assert again.paid == 0


def test_the_budget_doubles_up_to_its_last_mask():
    assert doubling_budgets(864) == [432, 864]
    assert doubling_budgets(3456) == [432, 864, 1728, 3456]
    assert doubling_budgets(200) == [200]
    assert len(all_masks(3)) == 8
