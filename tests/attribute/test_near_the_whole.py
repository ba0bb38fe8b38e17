"""Claims hold near the whole prompt, too, and what is measured is what the game says."""

from functools import partial

import numpy as np
import pytest
from known import game_of, names

from gloss.attribute.game import Evaluations, FunctionGame, ValuedMasks, packed_masks
from gloss.attribute.mask_budget import MaskBudget
from gloss.attribute.methods.auto import Auto, is_as_good
from gloss.attribute.result.faithfulness import split_masks
from gloss.attribute.solve.cross_fit import CrossFit, able_decoders
from gloss.attribute.solve.sparse_regression import fit_least_squares
from gloss.errors import BadSettings


def saturating(rng: np.random.Generator, players: int) -> FunctionGame:
    """Many words push one way, so that a word more adds little to a long text."""
    weights = rng.normal(0.4, 1, players)
    return FunctionGame(names(players), lambda masks: np.tanh(masks @ weights / 3 - 0.5))


def looked_up(everything, masks):
    return everything[masks @ (1 << np.arange(masks.shape[1]))]


def r2(found, game, rng, kept: float) -> float:
    masks = rng.random((4000, len(game.players))) < kept
    values = game.values(masks)
    return 1 - ((values - found.predict(masks)) ** 2).mean() / values.var()


def test_a_game_that_saturates_is_predicted_at_both_ends(rng):
    game = saturating(rng, 24)
    found = Auto(budget=800).attribute(game, rng)
    trust = found.faithfulness
    assert r2(found, game, rng, 0.5) > 0.9
    assert r2(found, game, rng, 0.9) > 0.85
    assert trust.near.low - 0.05 < r2(found, game, rng, 0.9) < trust.near.high + 0.05
    assert trust.near_n > 8
    assert "near the whole (90 % kept)" in found.summary_sentence()


def test_an_account_that_fails_near_the_whole_does_not_explain(rng):
    """Only where nearly all are kept does a random function take the place of a sum."""
    values = rng.normal(size=2**20)
    codes = 1 << np.arange(20)
    game = FunctionGame(
        names(20),
        lambda masks: np.where(
            masks.sum(axis=1) >= 16, 10 + values[masks @ codes], masks[:, 0] + masks[:, 1] * 1.0
        ),
    )
    found = Auto(budget=500).attribute(game, rng)
    assert found.faithfulness.fails_near
    assert not found.faithfulness.explained
    assert found.summary_sentence().startswith("Not explained")


def test_what_is_lost_without_each_of_many_players_is_measured_and_fitted_to():
    rng = np.random.default_rng(3)
    game = saturating(rng, 48)
    known = Evaluations(game)
    found = Auto(budget=400).attribute(known, rng)
    assert known.paid <= 400
    without = ~np.eye(49, 48, k=-1, dtype=np.bool_)
    everybody, *others = game.values(without)
    lost = [found.measured.lost[player,] for player in range(48)]
    assert lost == pytest.approx(everybody - np.array(others))
    assert 0 < sum(len(one) == 1 for one in found.measured.alone) < 48
    for budget, fitted in ((400, True), (376, False)):
        masks = MaskBudget(Evaluations(game), 90, budget)
        masks.draw(masks.left, rng)
        learnt = packed_masks(masks.split(None).everything.masks)
        assert (set(packed_masks(without[1:])) <= set(learnt)) is fitted


@pytest.mark.parametrize(("off", "kept"), [(0.0, True), (0.02, True), (1.0, False)])
def test_a_single_fit_stays_only_where_it_is_clearly_better(off, kept):
    rng = np.random.default_rng(0)
    game = saturating(rng, 12)
    masks = np.unique(rng.random((400, 12)) < 0.5, axis=0)
    valued = ValuedMasks(masks, game.values(masks) + 0.1 * rng.normal(size=len(masks)))
    split = split_masks(valued)
    single = fit_least_squares(masks, [], valued.values, parity=True)
    constant = single.predict(masks)
    crossed = CrossFit((), constant + off * rng.normal(size=len(masks)), {})
    assert is_as_good(crossed, split, [(1.0, single)]) is kept


@pytest.mark.parametrize(
    ("masks", "players", "smooth"), [(40, 6, True), (2049, 6, False), (40, 201, False)]
)
def test_trees_and_parities_stand_in_for_a_process_that_costs_too_much(masks, players, smooth):
    names_of_all = set(able_decoders(np.zeros((masks, players), np.bool_)))
    assert ("process" in names_of_all) is smooth
    assert ({"trees", "parities"} <= names_of_all) is not smooth
    assert {"conjunctions", "lasso"} <= names_of_all


def test_what_is_measured_is_what_the_game_says(rng):
    game = saturating(rng, 12)
    found = Auto(budget=600).attribute(game, rng)
    everyone, nobody = np.ones((1, 12), bool), np.zeros((1, 12), bool)
    full, empty = float(game.values(everyone)[0]), float(game.values(nobody)[0])
    assert found.measured.everybody == pytest.approx(full)
    assert found.measured.nobody == pytest.approx(empty)
    assert len(found.measured.lost) >= 12
    for one, lost in found.measured.lost.items():
        without, alone = everyone.copy(), nobody.copy()
        without[0, list(one)], alone[0, list(one)] = False, True
        assert lost == pytest.approx(full - float(game.values(without)[0]))
        assert found.measured.alone[one] == pytest.approx(float(game.values(alone)[0]) - empty)


def test_averages_cover_the_truth_however_poor_the_fit(rng):
    """Random functions cannot be predicted; their averages have intervals all the same."""
    inside = []
    for _ in range(6):
        planted = {(player,): float(rng.normal()) for player in range(18)}
        clean, noise = game_of(planted, 18), rng.normal(size=2**18)
        signs = (np.arange(2**18)[:, None] >> np.arange(18) & 1) * 2.0 - 1
        everything = clean.values(signs > 0) + 3 * noise
        both = FunctionGame(names(18), partial(looked_up, everything))
        found = Auto(budget=150).attribute(both, rng)
        true = 2 * (signs.T @ everything) / 2**18
        inside += [
            found.averages[player,].low < true[player] < found.averages[player,].high
            for player in range(18)
        ]
    assert 0.88 < np.mean(inside) <= 1


@pytest.mark.parametrize("near", [0.5, 1.0, 90.0])
def test_what_near_means_is_checked(near):
    with pytest.raises(BadSettings, match=r"above 0\.5 and below 1"):
        Auto(near=near)
