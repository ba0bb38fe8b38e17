"""Intervals cover what they promise."""

import math

import numpy as np
import pytest

from gloss.records import Estimate
from gloss.statistics.intervals import (
    bootstrap,
    bootstrap_difference,
    draw_rates,
    estimate_from_draws,
    quantile_of_sorted,
    ratio_with_interval,
    student_interval,
    student_quantile,
    welch_interval,
    wilson_interval,
)


def mean(x):
    return x.mean(axis=-1)


def test_the_value_is_the_statistic_of_the_data_itself(rng):
    estimate = bootstrap(mean, np.array([1.0, 2.0, 6.0]), rng=rng)
    assert estimate.value == 3.0
    assert 1.0 <= estimate.low < 3.0 < estimate.high <= 6.0


def test_bootstrap_covers_the_true_mean_in_93_to_97_of_100_samples(rng):
    samples = rng.normal(size=(1500, 100))
    estimates = [bootstrap(mean, sample, rng=rng, resamples=400) for sample in samples]
    covered = np.mean([estimate.low <= 0 <= estimate.high for estimate in estimates])
    assert 0.93 <= covered <= 0.97


def test_wilson_covers_the_true_share_in_93_to_97_of_100_samples(rng):
    estimates = [wilson_interval(int(k), 100) for k in rng.binomial(100, 0.3, size=4000)]
    assert 0.93 <= np.mean([estimate.low <= 0.3 <= estimate.high for estimate in estimates]) <= 0.97


def test_rates_cover_the_true_share_in_93_to_97_of_100_samples(rng):
    counts = rng.binomial(100, 0.7, size=2000)
    estimates = [estimate_from_draws(k / 100, draw_rates(int(k), 100, rng=rng)) for k in counts]
    assert 0.93 <= np.mean([estimate.low <= 0.7 <= estimate.high for estimate in estimates]) <= 0.97


def test_bootstrap_covers_the_true_mean_of_ten_items_too(rng):
    estimates = [
        bootstrap(mean, sample, rng=rng, resamples=400) for sample in rng.normal(size=(1500, 10))
    ]
    assert 0.92 <= np.mean([estimate.low <= 0 <= estimate.high for estimate in estimates]) <= 0.97


def test_pairs_are_resampled_together(rng):
    x = rng.normal(size=200)

    def correlation(x, y):
        x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
        return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))

    estimate = bootstrap(correlation, x, 2 * x + 1, rng=rng)
    assert estimate.low == pytest.approx(1)
    assert estimate.value == pytest.approx(1)
    assert bootstrap(correlation, x, rng.permutation(x), rng=rng).low < 0.2


def test_blocks_do_not_change_the_kind_of_interval(rng):
    data = rng.normal(size=100_000)
    estimate = bootstrap(mean, data, rng=rng, resamples=100)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 / math.sqrt(100_000), rel=0.3)


def test_many_items_are_drawn_in_blocks_as_they_are_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = np.arange(40.0) ** 1.5, np.arange(30.0)

    def drawn() -> list[Estimate]:
        return [
            bootstrap(median, one, rng=np.random.default_rng(0)),
            bootstrap_difference(median, one, other, rng=np.random.default_rng(0)),
            ratio_with_interval(one, one + 1, np.random.default_rng(0)),
        ]

    at_once = drawn()
    monkeypatch.setattr("gloss.statistics.intervals.MOST_DRAWN_AT_ONCE", 700)
    assert drawn() == at_once


def median(x: np.ndarray) -> np.ndarray:
    return np.median(x, axis=-1)


def test_resamples_without_a_number_are_left_out(rng):
    def precision(right, claimed):
        return (right & claimed).sum(-1) / claimed.sum(-1)

    estimate = bootstrap(
        precision, np.array([True, True, False]), np.array([True, False, False]), rng=rng
    )
    assert (estimate.low, estimate.value, estimate.high) == (1, 1, 1)


def test_an_estimate_that_cannot_be_made_is_missing(rng):
    assert math.isnan(bootstrap(mean, np.array([1.0]), rng=rng).value)
    assert math.isnan(bootstrap(mean, np.array([np.nan, 1.0]), rng=rng).value)
    assert math.isnan(wilson_interval(0, 0).low)


def test_arrays_of_unlike_length_are_refused(rng):
    with pytest.raises(Exception, match=r"lengths \[2, 3\]|item"):
        bootstrap(mean, np.zeros(2), np.zeros(3), rng=rng)


def test_certainty_is_never_claimed_from_20_trials():
    assert wilson_interval(20, 20).low == pytest.approx(0.8389, abs=1e-4)
    assert wilson_interval(20, 20).high == 1
    assert wilson_interval(0, 20).low == 0


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1.0, 12.7062), (2.0, 4.30265), (4.0, 2.77645), (1e4, 1.96020)]
)
def test_students_quantile_is_the_tables(freedom, expected):
    assert student_quantile(freedom) == pytest.approx(expected, rel=2e-4)


def test_intervals_of_few_runs_cover(rng):
    hits = 0
    for _ in range(400):
        one, other = rng.normal(0.5, 0.1, 3), rng.normal(0.3, 0.02, 2)
        found = welch_interval(one, other)
        hits += found.low <= 0.2 <= found.high
    assert hits >= 370
    assert math.isnan(student_interval(np.array([0.3])).value)
    assert math.isnan(welch_interval(np.array([0.3]), np.array([0.1, 0.2])).value)


def test_quantiles_of_sorted_values_are_numpys_to_the_last_bit(rng):
    for number in (*range(1, 30), 500, 2000):
        values = np.sort(rng.normal(size=number))
        for share in (0.0, 0.025, 0.3, 0.975, 1.0, rng.random()):
            assert quantile_of_sorted(values, share) == np.quantile(values, share)
