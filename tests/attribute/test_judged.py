"""Every method is judged near the whole as well, on masks that it did not see, and values that
players have by themselves are measured.
"""

import numpy as np
import pytest

from gloss.attribute.game import Evaluations, FunctionGame, TableGame
from gloss.attribute.judged import attribute_game, judge_near, unseen_near, with_measured
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.faithful import Faithful
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.methods.occlusion import Occlusion
from gloss.attribute.methods.proxy_spex import ProxySpex
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.methods.spex import Spex
from gloss.attribute.result.interaction_terms import player_terms, set_terms

NAMES = tuple("abcdefghijklmno")


def saturated(x: np.ndarray) -> np.ndarray:
    """Among half-empty masks nearly a sum; near the whole what counts is whether one is missing."""
    slope = np.linspace(0.5, 1.5, x.shape[1])
    return np.minimum(x @ slope, 9.0) + 6.0 * x[:, :4].all(axis=1)


def additive(x: np.ndarray) -> np.ndarray:
    """A sum."""
    return x @ np.arange(float(x.shape[1]))


@pytest.mark.parametrize(
    "attributor",
    [
        Lasso(budget=256, order=1),
        Shapley(budget=256),
        Shapley(budget=256, approach="permutations"),
        Banzhaf(budget=256),
        Faithful(budget=256, order=1),
        Occlusion(),
        ProxySpex(budget=256),
        Spex(budget=1000, order=2),
    ],
)
def test_every_method_is_judged_near_the_whole(attributor):
    game = FunctionGame(NAMES, saturated)
    found = attribute_game(attributor, game, np.random.default_rng(0))
    trust = found.faithfulness
    assert 16 <= trust.near_n <= 64
    masks = np.random.default_rng(1).random((4000, 15)) < 0.9
    values = saturated(masks)
    true = 1 - np.square(values - found.predict(masks)).mean() / values.var()
    assert trust.near.low - 0.2 * abs(true) <= true <= trust.near.high + 0.2 * abs(true)
    half = np.random.default_rng(2).random((4000, 15)) < 0.5
    if trust.r2.value > 0.6 and true < 0:
        assert not trust.explained
        assert "not near the whole" in found.summary_sentence()
    assert np.isfinite(found.predict(half)).all()


def test_an_account_that_holds_among_half_empty_masks_alone_is_not_explained():
    def either(x: np.ndarray) -> np.ndarray:
        return 3.0 * x.sum(axis=1) * (x.sum(axis=1) < 12) + 33.0 * (x.sum(axis=1) >= 12)

    game = FunctionGame(NAMES, either)
    found = Lasso(budget=300, order=1).attribute(game, np.random.default_rng(0))
    assert found.faithfulness.explained
    assert "near the whole none was asked about" in found.summary_sentence()
    judged = judge_near(Evaluations(game), found, np.random.default_rng(0))
    assert judged.faithfulness.r2 == found.faithfulness.r2
    assert judged.faithfulness.near.value < 0
    assert not judged.faithfulness.explained


def test_masks_that_judge_were_not_fitted_to():
    asked: list[np.ndarray] = []

    def value(x: np.ndarray) -> np.ndarray:
        asked.append(x)
        return additive(x)

    known = Evaluations(FunctionGame(tuple("abcdefgh"), value))
    every = known.near(60, 90, np.random.default_rng(0)).masks[:40]
    again = known.from_the_start()
    again.values(every)
    before = again.used().numbers
    some = unseen_near(again, 30, 90, np.random.default_rng(1))
    assert len(some.masks) == 30
    assert not {row.tobytes() for row in some.masks} & {row.tobytes() for row in every}
    assert again.used() == (before + 30, 0)


def test_a_game_that_is_known_whole_is_judged_near_the_whole_for_nothing():
    game = FunctionGame(tuple("abcdefgh"), saturated)
    known = Evaluations(game)
    found = attribute_game(Shapley(budget=5000), known, np.random.default_rng(0))
    assert found.faithfulness.whole
    assert len(known) == 256
    masks = np.random.default_rng(0).random((200_000, 8)) < 0.9
    values = saturated(masks)
    true = 1 - np.square(values - found.predict(masks)).mean() / values.var()
    near = found.faithfulness.near
    assert near.value == near.low == near.high == pytest.approx(true, abs=0.02)
    assert f"R2 {near.value:.2f} near the whole (90 % kept)" in found.summary_sentence()


def test_a_table_has_no_masks_near_the_whole():
    rng = np.random.default_rng(0)
    masks = rng.random((300, 15)) < 0.5
    found = attribute_game(Lasso(), TableGame(NAMES, masks, additive(masks)), rng)
    assert found.faithfulness.near_n == 0
    assert found.summary_sentence().startswith("Explained among masks that keep half: R2 1.00")


class Paid(FunctionGame):
    """A game whose values cost money."""

    costs_money = True


def test_where_values_cost_money_only_what_the_budget_leaves_judges():
    game = Paid(NAMES, additive)
    known = Evaluations(game)
    found = attribute_game(Lasso(budget=200), known, np.random.default_rng(0))
    assert found.faithfulness.near_n == 0
    assert len(known) == found.evaluations == 202


@pytest.mark.parametrize("attributor", [Lasso(budget=200), Occlusion(held_out=64)])
def test_other_methods_are_given_measured_values_of_their_strongest(attributor):
    wide = FunctionGame(
        tuple("abcdefghij"), lambda x: x @ np.arange(10.0) + 3.0 * x[:, 8] * x[:, 9]
    )
    known = Evaluations(wide)
    found = with_measured(known, attributor.attribute(known, np.random.default_rng(0)))
    assert found.measured is not None
    assert (found.measured.everybody, found.measured.nobody) == (48.0, 0.0)
    assert found.measured.lost[9,] == 12.0
    assert found.measured.alone[9,] == 9.0
    assert len(found.measured.lost) < 10
    assert with_measured(known, found) is found


def test_where_every_value_is_known_nothing_is_left_unmeasured():
    wide = FunctionGame(tuple("abcdef"), lambda x: x @ np.arange(6.0) + 2.0 * x[:, 0] * x[:, 1])
    known = Evaluations(wide)
    found = Auto().attribute(known, np.random.default_rng(0))
    paid = known.paid
    found = with_measured(known, found)
    terms = [*player_terms(found), *set_terms(found)]
    assert len(terms) == 7
    assert all(np.isfinite([term.lost, term.alone]).all() for term in terms)
    assert known.paid == paid
