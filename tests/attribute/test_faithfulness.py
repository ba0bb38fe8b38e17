"""What is claimed of an attribution is measured on masks that it was not fitted to."""

import numpy as np
import pytest

from gloss.attribute.bases import all_masks
from gloss.attribute.game import FunctionGame, TableGame, ValuedMasks, as_evaluations
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.faithful import Faithful
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.methods.occlusion import Occlusion
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.result.faithfulness import hold_out_masks, judge_fits, split_masks
from gloss.attribute.result.prediction_r2 import r2
from gloss.attribute.solve.sparse_regression import AtomFit, fit_least_squares
from gloss.errors import BadInput

PLAYERS = tuple("abcdefghijkl")


def noise(seed: int, players: tuple[str, ...] = PLAYERS) -> FunctionGame:
    """A game whose values have nothing to do with its players: nothing predicts a new mask."""
    table = np.random.default_rng(seed).normal(size=2 ** len(players))
    return FunctionGame(players, lambda masks: table[masks @ (1 << np.arange(len(players)))])


def sixty_sets(masks: ValuedMasks) -> AtomFit:
    """Least squares on the players and 48 pairs."""
    pairs = [(i, j) for j in range(len(PLAYERS)) for i in range(j)][:48]
    atoms = [(i,) for i in range(len(PLAYERS))] + pairs
    return fit_least_squares(masks.masks, atoms, masks.values, parity=True)


def test_parts_that_fit_choose_and_judge_share_no_mask():
    known = as_evaluations(noise(0)).uniform(256, np.random.default_rng(0))
    coded = as_evaluations(noise(0)).uniform(40, np.random.default_rng(1))
    split = split_masks(known, others=coded)
    kinds = [
        {mask.tobytes() for mask in part.masks}
        for part in (split.train, split.validation, split.held_out)
    ]
    drawn = {mask.tobytes() for mask in known.masks}
    assert kinds[2] <= drawn
    assert not kinds[1] & kinds[2]
    assert not (kinds[0] & kinds[2]) - {mask.tobytes() for mask in coded.masks}
    assert len(split.fitted.values) + len(split.held_out.values) == len(split.everything.values)


def test_a_fit_is_judged_by_what_was_fitted_without_the_masks_that_judge():
    """Sixty coefficients for 80 masks of noise: the fit to all would be judged to explain it."""
    rng = np.random.default_rng(0)
    split = split_masks(as_evaluations(noise(1)).uniform(80, rng))
    before, after = sixty_sets(split.fitted), sixty_sets(split.everything)
    out = split.held_out
    assert r2(out.values, after.predict(out.masks), rng).value > 0.5
    found = judge_fits("fit", PLAYERS, split, [(1.0, before)], [(1.0, after)], rng)
    assert found.faithfulness.r2.value < 0
    assert found.faithfulness.n == len(out.values)
    assert not found.faithfulness.explained


def test_masks_near_the_whole_are_judged_by_what_was_fitted_without_them():
    rng = np.random.default_rng(0)
    known = as_evaluations(noise(1))
    split = split_masks(known.uniform(80, rng), known.near(60, 90, rng))
    before, after = sixty_sets(split.fitted), sixty_sets(split.everything)
    found = judge_fits("fit", PLAYERS, split, [(1.0, before)], [(1.0, after)], rng).faithfulness
    assert found.near_n == len(split.near.values) > 3
    wanted = r2(split.near.values, before.predict(split.near.masks), rng).value
    assert found.near.value == pytest.approx(wanted)
    fitted = r2(split.near.values, after.predict(split.near.masks), rng).value
    assert found.near.value < fitted - 0.1


@pytest.mark.parametrize(
    "method",
    [Auto(budget=80), Lasso(80, 2), Faithful(110), Banzhaf(60), Shapley(60)],
    ids=lambda method: type(method).__name__,
)
def test_no_method_claims_to_explain_noise(method):
    claims = [
        method.attribute(noise(seed), np.random.default_rng(seed)).faithfulness.r2.value
        for seed in range(3)
    ]
    assert np.median(claims) < 0.2


@pytest.mark.parametrize("method", [Banzhaf(), Faithful(), Shapley(), Occlusion()], ids=repr)
def test_a_small_game_is_judged_over_all_its_masks_and_says_so(method):
    """Where all masks were valued none is left that was not fitted to."""
    game = FunctionGame(tuple("abcde"), lambda m: 2.0 * m[:, 0] + m[:, 1] * m[:, 2])
    found = method.attribute(game, np.random.default_rng(0))
    everything = all_masks(5)
    values = game.values(everything)
    left = np.square(values - found.predict(everything)).sum()
    trust = found.faithfulness
    assert (trust.whole, trust.n, found.evaluations) == (True, 32, 32)
    assert trust.r2.value == pytest.approx(1 - left / np.square(values - values.mean()).sum())
    assert trust.r2.low == trust.r2.high == trust.r2.value
    assert "over all 32 masks" in found.summary_sentence() or trust.r2.value == 1


def test_masks_that_were_fitted_to_do_not_judge():
    """Occlusion is exact where one player is gone; only other masks say how far it carries."""
    game = noise(3, tuple("abcdefgh"))
    found = Occlusion(order=2, held_out=150).attribute(game, np.random.default_rng(0))
    drawn = as_evaluations(game).uniform(150, np.random.default_rng(0)).masks
    fitted = (drawn.sum(1) >= 6).sum()
    assert fitted > 0
    assert found.faithfulness.n == len(drawn) - fitted


def test_the_interval_of_r2_is_that_of_masks_drawn_again():
    """Held against a plain loop: the formula's width, and its factor."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=60)
    predicted = values + 0.6 * rng.normal(size=60)
    drawn = []
    for _ in range(4000):
        rows = rng.integers(0, 60, 60)
        spread = ((values[rows] - values[rows].mean()) ** 2).sum()
        drawn.append(1 - ((values[rows] - predicted[rows]) ** 2).sum() / spread)
    low, high = np.quantile(drawn, [0.0228, 0.9772])
    found = r2(values, predicted, rng)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)
    wide = r2(values, predicted, rng, wider=2.0)
    assert wide.value - wide.low == pytest.approx(2 * (found.value - found.low), rel=0.2)
    less = r2(values, predicted, rng, less=0.1)
    assert less.value == pytest.approx(found.value + 0.1 / values.var())


def test_two_masks_have_an_interval_though_draws_of_one_have_no_spread():
    rng = np.random.default_rng(2)
    found = r2(np.array([0.0, 1.0, 3.0]), np.array([0.1, 1.0, 2.5]), rng)
    assert np.isfinite([found.value, found.low, found.high]).all()


def test_no_mask_that_judges_is_learnt_from_though_it_is_of_two_kinds():
    """Of few players, those near the whole are also everybody but one."""
    rng = np.random.default_rng(0)
    known = as_evaluations(noise(0))
    without_one = ~np.eye(len(PLAYERS), dtype=bool)
    others = ValuedMasks(without_one, known.values(without_one))
    split = split_masks(known.uniform(300, rng), known.near(60, 90, rng), others)
    judges, fitted = (
        {mask.tobytes() for part in parts for mask in part.masks}
        for parts in ((split.held_out, split.near), (split.fitted,))
    )
    assert any(mask.tobytes() in judges | fitted for mask in without_one)
    assert not judges & fitted


def test_an_eighth_judges_unless_the_budget_pays_for_all(rng):
    known = as_evaluations(FunctionGame(PLAYERS, lambda masks: masks.sum(axis=1)))
    everything = 2 ** len(PLAYERS)
    for budget, judges, left, whole in (
        (everything, everything, everything, True),
        (everything + 1, everything, everything + 1, True),
        (everything - 1, everything // 8 - 1, everything - everything // 8, False),
        (64, 8, 56, False),
        (71, 8, 63, False),
    ):
        held_out = hold_out_masks(known.from_the_start(), budget, 8, rng)
        assert len(held_out.judges.values) == judges
        assert (held_out.left, held_out.whole) == (left, whole)


def test_a_budget_that_just_pays_for_what_is_spent_is_enough(rng):
    known = as_evaluations(FunctionGame(PLAYERS, lambda masks: masks.sum(axis=1)))
    assert hold_out_masks(known.from_the_start(), 64, 56, rng).left == 56
    with pytest.raises(BadInput, match="leaves 56 masks beside the held-out ones, and 57 are"):
        hold_out_masks(known.from_the_start(), 64, 57, rng)


def test_a_table_that_holds_every_mask_once_is_whole(rng):
    masks = all_masks(6)
    table = as_evaluations(TableGame(PLAYERS[:6], masks, masks.sum(axis=1) * 1.0))
    assert hold_out_masks(table, 64, 8, rng).whole
    longer = TableGame(PLAYERS[:6], np.repeat(masks, 2, axis=0), np.ones(128))
    assert not hold_out_masks(as_evaluations(longer), 128, 8, rng).whole
