"""What holds of every sampler."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gloss.sample import Sampler, samplers
from gloss.sample.samplers import (
    Mix,
    Quantiles,
    Random,
    Top,
    draw_stratified,
    rank_windows,
)

SAMPLERS = [Top(), Random(), Quantiles(), Quantiles(3), Mix(), Mix(top_share=0.5, quantiles=4)]
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)


@every_sampler
def test_a_sampler_chooses_as_many_as_asked_or_all_none_twice_strongest_first(sampler):
    @settings(max_examples=100, deadline=None)
    @given(windows=st.integers(0, 60), number=st.integers(0, 60), seed=st.integers(0, 99))
    def holds(windows, number, seed):
        rng = np.random.default_rng(seed)
        maxima = rng.integers(1, 9, windows).astype(np.float32)
        choice = sampler.choose(maxima, number, rng)
        assert len(choice.rows) == len(choice.quantiles) == min(windows, number)
        assert len(set(choice.rows.tolist())) == len(choice.rows)
        assert (np.diff(maxima[choice.rows]) <= 0).all()
        assert (np.diff(choice.quantiles) >= 0).all()
        assert ((choice.quantiles >= 0) & (choice.quantiles < sampler.quantiles)).all()

    holds()


@every_sampler
def test_a_window_is_labelled_with_its_quantile_among_all(sampler, rng):
    maxima = rng.permutation(np.arange(1, 1001)).astype(np.float32)
    choice = sampler.choose(maxima, 40, rng)
    ranks = 1000 - maxima[choice.rows]
    assert choice.quantiles.tolist() == np.floor(ranks * sampler.quantiles / 1000 + 1e-6).tolist()


@every_sampler
def test_the_same_generator_gives_the_same_choice(sampler, rng):
    maxima = rng.random(300).astype(np.float32)
    first, second = (sampler.choose(maxima, 40, np.random.default_rng(3)) for _ in range(2))
    assert first.rows.tolist() == second.rows.tolist()


@every_sampler
def test_a_sampler_is_one(sampler):
    assert isinstance(sampler, Sampler)


@pytest.mark.parametrize("kind", [Top, Random, Quantiles, Mix])
def test_no_quantile_at_all_is_refused(kind):
    with pytest.raises(ValueError, match="at least 1 quantile, got 0"):
        kind(quantiles=0)


@given(
    st.lists(st.sampled_from([-3.5, -1, -0.0, 0.0, 0.25, 1, 2, 1e30]), max_size=20),
    st.sampled_from([1, samplers.SHORT]),  # few windows, or many
)
def test_windows_are_ranked_by_their_strength_and_equal_ones_keep_their_order(values, times):
    maxima = np.tile(np.array(values, np.float32), times)
    assert rank_windows(maxima).tolist() == np.argsort(-maxima, kind="stable").tolist()


@pytest.mark.parametrize("few", [1, 10**6])  # drawn one by one, or all are looked at
def test_every_rank_of_a_slice_is_as_likely_either_way(few, monkeypatch):
    monkeypatch.setattr(samplers, "FEW", few)
    rng, times = np.random.default_rng(3), np.zeros(50, np.int64)
    for _ in range(2000):
        drawn = draw_stratified(50, 13, 5, rng)
        assert np.bincount(drawn // 10).tolist() in permutations_of(2, 2, 3, 3, 3)
        times[drawn] += 1
    assert chisquare(times).pvalue > 1e-4


def permutations_of(*shares: int) -> list[list[int]]:
    return [list(each) for each in set(permutations(shares))]
