"""Games that answer differently when they are asked again, and what may be claimed of them."""

import numpy as np
import pytest
from known import game_of, names

from gloss.attribute.bases import Basis, all_masks
from gloss.attribute.game import Evaluations, FunctionGame, TableGame
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.exact import Exact


def sampled_replies(seed: int, draws: int = 8) -> FunctionGame:
    """The share of sampled replies that hold an answer, which two of eight players make likely."""
    rng = np.random.default_rng(seed)
    return FunctionGame(
        names(8), lambda masks: rng.binomial(draws, likely(masks), len(masks)) / draws
    )


def likely(masks):
    return 1 / (1 + np.exp(1 - 2.0 * (masks[:, 0] & masks[:, 1])))


@pytest.mark.parametrize("method", [Auto(), Exact()])
def test_a_noisy_game_is_never_known_whole(method, rng):
    found = method.attribute(sampled_replies(3), rng)
    trust = found.faithfulness
    assert trust.noise.deviation == pytest.approx(0.16, abs=0.04)
    assert not trust.whole
    assert trust.r2.value < 0.75
    assert trust.r2.low < trust.most + 0.05
    assert "Values are noisy" in found.summary_sentence()
    assert "Known whole" not in found.summary_sentence()


def test_the_noise_is_left_out_of_what_is_found(rng):
    truth = likely(all_masks(8))
    found = Auto().attribute(sampled_replies(4), rng)
    error = found.predict(all_masks(8)) - truth
    assert 1 - np.square(error).mean() / truth.var() > 0.8
    pair = found.averages[0, 1]
    assert pair.low < 1 / (1 + np.exp(-1)) - 1 / (1 + np.exp(1)) < pair.high


def test_a_game_that_repeats_itself_is_known_whole(rng):
    found = Auto().attribute(game_of({(0,): 1.0, (1, 2): 2.0}, 8), rng)
    assert found.faithfulness.noise.deviation == 0
    assert found.summary_sentence().startswith("Known whole")


def test_every_row_of_a_table_counts(rng):
    """Least squares on 3,000 rows finds what 64 of them do not."""
    masks = rng.random((3000, 6)) < 0.5
    values = 2.0 * masks[:, 0] + 2.0 * (masks[:, 1] & masks[:, 2]) + 3 * rng.normal(size=3000)
    found = Auto().attribute(TableGame(names(6), masks, values), rng)
    trust = found.faithfulness
    assert found.evaluations == trust.n == 3000
    assert trust.noise.deviation == pytest.approx(3, rel=0.05)
    assert trust.r2.value < trust.most + 0.05
    mobius = found.into(Basis.MOBIUS).coefficients
    assert mobius[0,] == pytest.approx(2, abs=0.4)
    assert mobius[1, 2] == pytest.approx(2, abs=0.9)
    for one in ((0,), (1, 2)):
        assert found.averages[one].low < 2 < found.averages[one].high


def test_another_value_of_a_mask_is_paid_for_once(tmp_path):
    first = Evaluations(sampled_replies(1), tmp_path / "values")
    found = Auto(budget=1000).attribute(first, np.random.default_rng(0))
    again = Evaluations(sampled_replies(2), tmp_path / "values")
    assert Auto(budget=1000).attribute(again, np.random.default_rng(0)) == found
    assert (again.paid, again.noise()) == (0, first.noise())
