"""Areas under curves against pairs and steps counted by hand, and intervals against a truth that is
drawn again and again.
"""

from math import nan
from statistics import NormalDist

import numpy as np
import pytest

from gloss.statistics.ranking import ranking_estimates


def rank(firing, inactive, share=0.5, *, hard=0):
    """The estimates; the last `hard` of the inactive contexts are hard ones."""
    inactive = np.array(inactive, dtype=np.float64)
    aside = np.arange(len(inactive)) >= len(inactive) - hard
    return ranking_estimates(
        np.array(firing, dtype=np.float64), inactive, aside, share, np.random.default_rng(0)
    )


def values(*sides, **settings):
    return {name: estimate.value for name, estimate in rank(*sides, **settings).items()}


def test_areas_are_those_of_pairs_and_steps():
    found = values([3, 2, 1], [2, 0])
    assert found["auroc"] == pytest.approx((2 + 1.5 + 1) / 6)
    assert found["auprc"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_precision_is_weighed_to_the_share_that_fires():
    found = values([1], [1, 0], share=0.01)
    assert found["auprc"] == pytest.approx(1 / 2)
    assert found["auprc_at_base_rate"] == pytest.approx(0.01 / (0.01 + 0.99 / 2))


def test_hard_contexts_do_not_enter_at_the_true_rate():
    found = values([3, 2, 1], [0, 0, 0, 9], share=0.001, hard=1)
    assert found["auprc_at_base_rate"] == 1
    assert found["auprc"] < 1
    assert np.isnan(values([1], [0], hard=1)["auprc_at_base_rate"])


def test_numbers_that_tell_nothing_get_the_share_that_fires():
    found = values(np.zeros(40), np.zeros(60), share=0.001)
    assert found["auroc"] == 0.5
    assert found["auprc"] == pytest.approx(0.4)
    assert found["auprc_at_base_rate"] == pytest.approx(0.001)


def test_a_failed_value_loses_every_pair_and_claims_nothing():
    assert values([nan, 2, 1], [0, 0, 0, 0])["auroc"] == pytest.approx(8 / 12)
    assert values([3, 2, 1], [nan, 0, 0, 0])["auroc"] == pytest.approx(9 / 12)
    assert values([3, 2, 1], [nan, 0, 0, 0])["auprc"] == 1
    assert values([nan] * 3, [nan] * 4)["auroc"] == 0


def test_a_perfect_ranking_of_few_is_not_certain():
    found = rank(np.arange(50.0) + 100, np.arange(50.0), share=0.001)
    assert found["auroc"].value == found["auprc_at_base_rate"].value == 1
    assert 0.9 < found["auroc"].low < 0.995
    assert (
        found["auprc_at_base_rate"].low < 0.2
    )  # of 50 inactive contexts none was wrong: one in 100 may be, ten times what fires


def test_an_empty_side_has_no_ranking():
    assert np.isnan(list(values([], np.ones(3)).values())).all()


@pytest.mark.parametrize("distance", [0.0, 1.5, 3.5])
def test_intervals_hold_the_truth_as_often_as_they_say(distance, rng):
    truth = NormalDist().cdf(distance / 2**0.5)
    held = 0
    for _ in range(150):
        found = ranking_estimates(
            rng.normal(distance, 1, 40), rng.normal(0, 1, 40), np.zeros(40, bool), 0.5, rng
        )["auroc"]
        held += found.low <= truth <= found.high
    assert 0.9 <= held / 150 <= 0.99
