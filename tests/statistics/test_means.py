"""Intervals of means."""

import math

import numpy as np
import pytest

from gloss.statistics.intervals import mean_with_interval, student_quantile


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)]
)
def test_quantiles_are_those_of_the_tables(freedom: int, quantile: float):
    assert student_quantile(freedom) == pytest.approx(quantile, abs=1e-3)


@pytest.mark.parametrize("prompts", [2, 4, 40])
def test_intervals_hold_the_truth_in_95_of_100_cases(prompts: int, rng: np.random.Generator):
    found = [mean_with_interval(rng.normal(3, 2, prompts)) for _ in range(4000)]
    assert np.mean([one.low <= 3 <= one.high for one in found]) == pytest.approx(0.95, abs=0.012)


def test_an_interval_ends_where_values_do():
    assert mean_with_interval(np.array([0.0, 0.1]), least=0.0).low == 0


def test_one_value_has_an_interval_without_end_and_what_is_no_number_has_none():
    assert mean_with_interval(np.array([2.0])).high == math.inf
    assert math.isnan(mean_with_interval(np.array([2.0, np.nan])).value)
