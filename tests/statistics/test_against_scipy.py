"""Intervals, rankings and calibrations against scipy's, or against what is counted by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from gloss.statistics.intervals import (
    bootstrap,
    draw_rates,
    estimate_from_draws,
    mean_with_interval,
    ratio_with_interval,
    resample_by_side,
    small_sample_tail,
    student_interval,
    welch_interval,
    wilson_interval,
)
from gloss.statistics.ranking import ranking_estimates, ranking_headline
from gloss.statistics.scale_calibration import apply_scale, fit_scale


def ends(estimate):
    return estimate.low, estimate.high


@pytest.mark.parametrize("n", [2, 3, 7, 40])
def test_students_intervals_are_scipys(n, rng):
    values = rng.normal(3, 2, n)
    there = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    for found in (student_interval(values), mean_with_interval(values)):
        assert found.value == pytest.approx(values.mean())
        assert ends(found) == pytest.approx((there.low, there.high))


@pytest.mark.parametrize("sizes", [(2, 2), (2, 3), (9, 2), (30, 40)])
def test_welchs_interval_is_scipys(sizes, rng):
    one, other = (rng.normal(number, 1 + number, n) for number, n in enumerate(sizes))
    there = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    found = welch_interval(one, other)
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert ends(found) == pytest.approx((there.low, there.high))


def test_runs_that_do_not_vary_leave_no_interval():
    found = welch_interval(np.array([2.0, 2.0]), np.array([0.5, 0.5, 0.5]))
    assert (found.low, found.value, found.high) == (1.5, 1.5, 1.5)
    short = welch_interval(np.array([0.1, 0.2]), np.array([0.3]))
    assert math.isnan(short.value)
    assert math.isnan(student_interval(np.empty(0)).value)


@pytest.mark.parametrize("trials", [1, 2, 5, 20, 300])
def test_wilsons_interval_is_scipys_for_every_count(trials):
    for successes in range(trials + 1):
        there = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        found = wilson_interval(successes, trials)
        assert found.value == successes / trials
        assert ends(found) == pytest.approx((there.low, there.high), abs=1e-12)


def test_a_mean_has_the_bound_of_its_values_where_its_interval_would_pass_it():
    one = mean_with_interval(np.array([2.0]), least=0.5)
    assert (one.low, one.value, one.high) == (0.5, 2.0, math.inf)
    assert mean_with_interval(np.array([2.0])).low == -math.inf
    wide = mean_with_interval(np.array([0.0, 4.0]), least=-1.0)
    assert wide.low == -1
    assert wide.high == pytest.approx(2 + 12.706204736 * 2)


def test_rates_are_drawn_from_jeffreys_posterior(rng):
    drawn = draw_rates(3, 10, rng=rng, draws=20_000)
    assert len(drawn) == 20_000
    assert stats.kstest(drawn, stats.beta(3.5, 7.5).cdf).pvalue > 0.001


@pytest.mark.parametrize("items", [3, 5, 30, 1000])
def test_the_tail_that_is_cut_off_undoes_what_resampling_makes_too_narrow(items):
    spread = math.sqrt((items - 1) / items)  # of resampled means, by the standard error
    widened = -stats.norm.ppf(small_sample_tail(items)) * spread
    assert widened == pytest.approx(stats.t.ppf(0.975, items - 1))
    assert small_sample_tail(2) == 0  # all that two items can give


def test_every_resample_is_drawn_once_also_where_they_come_in_blocks(rng):
    rows = []

    def counted(x):
        rows.append(x.shape[:-1])
        return x.mean(axis=-1)

    bootstrap(counted, np.zeros(100_000), rng=rng, resamples=100)
    assert rows[0] == ()  # the data themselves
    assert sum(row[0] for row in rows[1:]) == 100
    assert len(rows) > 2
    rows.clear()
    bootstrap(counted, np.zeros(5), rng=rng)
    assert rows == [(), (1000,)]
    rows.clear()
    bootstrap(counted, np.zeros(5), rng=rng, resamples=1)
    assert rows == [(), (1,)]


def test_resamples_in_which_something_is_divided_by_nothing_are_left_out(rng):
    found = bootstrap(
        lambda above, below: above.sum(-1) / below.sum(-1), np.ones(3), np.array([1, 0, 0]), rng=rng
    )
    assert found.value == 3
    assert math.isfinite(found.high)


def test_draws_that_are_no_numbers_are_left_out_and_the_value_stays_inside():
    draws = np.array([*np.linspace(0, 1, 41), np.nan, np.inf])
    found = estimate_from_draws(0.5, draws)
    assert ends(found) == pytest.approx((0.025, 0.975))
    assert ends(estimate_from_draws(0.5, draws, outside=0.25)) == pytest.approx((0.25, 0.75))
    assert ends(estimate_from_draws(2.0, draws)) == pytest.approx((0.025, 2.0))
    assert ends(estimate_from_draws(-1.0, draws)) == pytest.approx((-1.0, 0.975))
    assert math.isnan(estimate_from_draws(np.nan, draws).low)
    assert math.isnan(estimate_from_draws(0.5, np.array([np.nan])).value)


def test_each_side_is_drawn_as_often_as_it_is_there(rng):
    firing = np.array([True, False, True, False, False])
    drawn = resample_by_side(firing, rng, 500)
    assert drawn.shape == (500, 5)
    assert (drawn[:, firing].sum(1) == 2).all()
    assert (drawn[:, ~firing].sum(1) == 3).all()
    assert drawn.mean(0) == pytest.approx(np.ones(5), abs=0.15)
    assert (resample_by_side(np.ones(3, bool), rng, 4).sum(1) == 3).all()
    assert len(resample_by_side(firing, rng)) == 1000


def test_a_ratio_is_of_sums_and_its_interval_covers(rng):
    sides = np.array([1.0, 4.0]), np.array([2.0, 3.0])
    assert ratio_with_interval(*sides, rng).value == 1.0
    held = 0
    for _ in range(200):
        below = rng.gamma(4, 1, 60)
        found = ratio_with_interval(0.3 * below + rng.normal(0, 0.2, 60), below, rng)
        held += found.low <= 0.3 <= found.high
    assert 0.9 <= held / 200 <= 0.99
    assert math.isnan(ratio_with_interval(np.ones(2), np.zeros(2), rng).value)


def test_resamples_without_anything_below_a_ratio_are_left_out(rng):
    found = ratio_with_interval(np.array([1.0, 0.0]), np.array([2.0, 0.0]), rng)
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_areas_are_those_of_all_pairs(rng):
    firing, inactive = (rng.integers(0, 6, n).astype(np.float64) for n in (12, 17))
    won = (firing[:, None] > inactive) + (firing[:, None] == inactive) / 2
    steps = [
        np.mean(firing >= level) / (np.mean(firing >= level) + 99 * np.mean(inactive >= level))
        for level in firing
    ]
    found = ranking_estimates(firing, inactive, np.zeros(17, bool), 0.01, rng)
    assert found["auroc"].value == pytest.approx(won.mean())
    assert found["auprc_at_base_rate"].value == pytest.approx(np.mean(steps))
    for one in found.values():
        assert one.low < one.value < one.high


@pytest.mark.parametrize("right, of", [(20, 20), (18, 20), (0, 20)])
def test_the_interval_of_a_ranking_of_one_threshold_is_that_of_a_rate(right, of, rng):
    """Every inactive value below a share of the firing ones: the area is that share drawn anew."""
    firing = np.where(np.arange(of) < right, 2.0, 0.0)
    found = ranking_estimates(firing, np.ones(1000), np.zeros(1000, bool), 0.5, rng)
    there = stats.beta(right + 0.25, of - right + 0.25).ppf([0.025, 0.975])
    assert found["auroc"].value == pytest.approx(right / of)
    low, high = min(there[0], right / of), max(there[1], right / of)
    assert ends(found["auroc"]) == pytest.approx((low, high), abs=0.03)


@pytest.mark.parametrize(
    "hard, shown",
    [
        ([False, False], "auprc_at_base_rate"),
        ([True, False], "auprc_at_base_rate"),
        ([True, True], "auroc"),
    ],
)
def test_what_is_shown_first_sees_too_broad_explanations_where_it_can(hard, shown):
    assert ranking_headline(np.array(hard)) == shown


def test_a_linear_scale_is_the_line_of_least_squares(rng):
    predicted = [rng.integers(0, 11, n).astype(np.float64) for n in (5, 0, 8)]
    truth = [0.7 * each + rng.normal(1, 0.3, len(each)) for each in predicted]
    line = stats.linregress(np.concatenate(predicted), np.concatenate(truth))
    found = fit_scale(truth, predicted)
    assert (found.slope, found.intercept) == pytest.approx((line.slope, line.intercept))
    given = np.array([-1.0, 2.5, 20.0])
    assert apply_scale(found, "linear", given) == pytest.approx(line.slope * given + line.intercept)


def test_equal_ranks_get_equal_values_and_what_lies_between_is_between():
    truth = [np.array([0.0, 5.0, 1.0]), np.array([9.0])]
    predicted = [np.array([1.0, 3.0, 1.0]), np.array([7.0])]
    found = fit_scale(truth, predicted)
    given = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0])
    assert apply_scale(found, "percentile", given).tolist() == [0.5, 0.5, 2.75, 5.0, 7.0, 9.0, 9.0]


def test_what_was_not_predicted_gets_the_mean_of_all_and_teaches_nothing():
    truth, predicted = [np.array([1.0, 2.0, 9.0])], [np.array([0.0, 1.0, np.nan])]
    found = fit_scale(truth, predicted)
    assert (found.slope, found.intercept, found.mean) == (1.0, 1.0, 4.0)
    for name in ("linear", "percentile"):
        assert apply_scale(found, name, np.array([0.0, np.nan])).tolist() == [1.0, 4.0]


def test_a_simulator_that_always_says_the_same_gets_the_mean():
    found = fit_scale([np.array([1.0, 3.0])], [np.array([5.0, 5.0])])
    assert (found.slope, found.intercept) == (0.0, 2.0)
    for name in ("linear", "percentile"):
        assert apply_scale(found, name, np.array([0.0, 5.0, 9.0])).tolist() == [2.0, 2.0, 2.0]


def test_nothing_predicted_gives_no_scale():
    assert fit_scale([], []) is None
    assert fit_scale([np.array([1.0])], [np.array([np.nan])]) is None
    assert np.isnan(apply_scale(None, "linear", np.array([1.0, 2.0]))).tolist() == [True, True]
