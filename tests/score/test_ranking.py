"""Areas under curves against pairs and steps counted by hand, and intervals against a truth that is drawn again and again."""

from statistics import NormalDist

import numpy as np
import pytest

from gloss.score.ranking import ranked


def test_areas_are_those_of_pairs_and_steps(rng):
    found = ranked(np.array([3.0, 2.0, 1.0]), np.array([2.0, 0.0]), 0.6, rng)
    assert found["auroc"].value == pytest.approx((2 + 1.5 + 1) / 6)
    assert found["auprc"].value == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_precision_is_weighed_to_the_share_that_fires(rng):
    found = ranked(np.array([1.0]), np.array([1.0, 0.0]), 0.01, rng)
    assert found["auprc"].value == pytest.approx(0.01 / (0.01 + 0.99 / 2))


def test_numbers_that_tell_nothing_get_the_share_that_fires(rng):
    found = ranked(np.zeros(40), np.zeros(60), 0.001, rng)
    assert found["auroc"].value == pytest.approx(0.5)
    assert found["auprc"].value == pytest.approx(0.001)


def test_a_perfect_ranking_of_few_is_not_certain(rng):
    found = ranked(np.arange(50.0) + 100, np.arange(50.0), 0.001, rng)
    assert found["auroc"].value == found["auprc"].value == 1
    assert 0.9 < found["auroc"].low < 0.995
    assert found["auprc"].low < 0.2  # of 50 silent contexts none was wrong: one in 100 may be, ten times as many as fire


def test_an_empty_side_has_no_ranking(rng):
    assert np.isnan(ranked(np.empty(0), np.ones(3), 0.5, rng)["auroc"].value)


@pytest.mark.parametrize("distance", [0.0, 1.5, 3.5])
def test_intervals_hold_the_truth_as_often_as_they_say(distance, rng):
    truth = NormalDist().cdf(distance / 2**0.5)
    held = 0
    for _ in range(150):
        found = ranked(rng.normal(distance, 1, 40), rng.normal(0, 1, 40), 0.5, rng)["auroc"]
        held += found.low <= truth <= found.high
    assert 0.9 <= held / 150 <= 0.99
