"""The whole truth about a small game."""

import numpy as np
import pytest
from known import game_of, names

from gloss.attribute.bases import Basis, all_masks
from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.exact import Exact
from gloss.attribute.result.indices import Index
from gloss.errors import BadInput


def test_it_finds_what_was_planted(rng):
    planted = {(): 1.0, (2,): -0.5, (0, 3): 2.0, (1, 4, 7): 0.25}
    found = Exact().attribute(game_of(planted, 8), rng)
    assert dict(found.coefficients) == pytest.approx(planted)
    assert found.evaluations == 256
    assert found.faithfulness.explained


def test_the_glove_game_has_its_shapley_values(rng):
    gloves = FunctionGame(
        ("left", "right 1", "right 2"), lambda masks: masks[:, 0] & (masks[:, 1] | masks[:, 2])
    )
    found = Exact().attribute(gloves, rng)
    assert found.index(Index.SHAPLEY) == pytest.approx({(0,): 2 / 3, (1,): 1 / 6, (2,): 1 / 6})
    assert found.into(Basis.MOBIUS).coefficients == pytest.approx(
        {(0, 1): 1.0, (0, 2): 1.0, (0, 1, 2): -1.0}
    )


def test_sixteen_players(rng):
    values = rng.normal(size=2**16)
    game = FunctionGame(names(16), lambda masks: values[masks @ (1 << np.arange(16))])
    found = Exact().attribute(game, rng)
    rows = rng.choice(2**16, 5)
    direct = [
        (values * (2 * all_masks(16)[:, list(one)] - 1.0).prod(axis=1)).mean()
        for one in [(3,), (0, 15), (1, 2, 3)]
    ]
    assert [found.coefficients[one] for one in [(3,), (0, 15), (1, 2, 3)]] == pytest.approx(direct)
    assert len(found.coefficients) == 2**16
    assert len(rows) == 5


def test_it_says_when_there_is_nothing_to_explain(rng):
    found = Exact().attribute(FunctionGame(names(4), lambda masks: np.ones(len(masks))), rng)
    said = "Nothing to explain: the value is the same for all 16 masks."
    assert found.summary_sentence() == said


def test_it_refuses_what_it_cannot_know(rng):
    with pytest.raises(BadInput, match="this game has 17"):
        Exact().attribute(game_of({}, 17), rng)
    with pytest.raises(BadInput, match="no number for 8 of 16"):
        Exact().attribute(
            FunctionGame(names(4), lambda masks: np.where(masks[:, 0], np.nan, 0.0)), rng
        )


def test_the_best_account_by_small_sets_is_the_faithful_banzhaf_index(rng):
    found = Exact().attribute(game_of({(): 1.0, (0, 1): 1.0, (0, 1, 2): 2.0}, 4, Basis.MOBIUS), rng)
    truncated, share = found.truncate(2)
    assert dict(truncated.coefficients) == pytest.approx(found.index(Index.FAITH_BANZHAF, 2))
    values, best = found.predict(all_masks(4)), truncated.predict(all_masks(4))
    assert share == pytest.approx(
        1 - ((values - best) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    )
    assert found.truncate(3)[1] == pytest.approx(1)
