"""Correlations against scipy's, their intervals' coverage, and groups that are drawn together."""

import math

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from gloss.statistics.correlation import correlations, weighted_ranks


def test_values_are_those_of_scipy_ties_included(rng):
    x = rng.integers(0, 5, 200).astype(float)
    y = x + rng.integers(0, 6, 200)
    spearman, pearson = correlations(x, y, np.arange(200), rng)
    assert spearman.value == pytest.approx(spearmanr(x, y).statistic)
    assert pearson.value == pytest.approx(pearsonr(x, y).statistic)


def test_ranks_are_those_of_the_copies_that_were_drawn():
    values, weights = np.array([3.0, 1.0, 1.0, 2.0]), np.array([[1.0, 2.0, 0.0, 1.0]])
    # drawn: 1, 1, 2, 3, whose mean ranks are .5 below scipy's 1.5, 1.5, 3, 4
    assert weighted_ranks(values, weights).tolist() == [[3.5, 1.0, 1.0, 2.5]]


def test_intervals_cover_the_true_correlation_in_93_to_97_of_100_samples(rng):
    covered = []
    for _ in range(400):
        x = rng.normal(size=80)
        y = 0.6 * x + 0.8 * rng.normal(size=80)
        covered.append(
            [
                e.low <= truth <= e.high
                for e, truth in zip(
                    correlations(x, y, np.arange(80), rng), (0.5825, 0.6), strict=True
                )
            ]
        )
    assert (np.mean(covered, axis=0) >= 0.92).all()
    assert (np.mean(covered, axis=0) <= 0.98).all()


def test_independent_numbers_have_an_interval_that_holds_0(rng):
    held = [
        all(e.low < 0 < e.high for e in correlations(*rng.normal(size=(2, 60)), np.arange(60), rng))
        for _ in range(100)
    ]
    assert np.mean(held) >= 0.88


def test_items_of_one_group_count_once(rng):
    x, y = rng.normal(size=(2, 40))
    alone, _ = correlations(x, y, np.arange(40), rng)
    copied, _ = correlations(np.tile(x, 5), np.tile(y, 5), np.tile(np.arange(40), 5), rng)
    assert copied.value == pytest.approx(alone.value)
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.15)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_unit_does_not_matter_and_what_is_constant_has_none(rng, scale):
    x = rng.normal(size=30)
    spearman, pearson = correlations(scale * x, x, np.arange(30), rng)
    assert spearman.value == pytest.approx(1) == pearson.low
    assert all(math.isnan(e.value) for e in correlations(x, np.full(30, 2.0), np.arange(30), rng))
    assert all(math.isnan(e.value) for e in correlations(x, x, np.zeros(30, np.int64), rng))
