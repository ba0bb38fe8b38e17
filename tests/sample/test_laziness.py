"""Windows that are looked at only as far as they are needed are those of looking at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gloss.models.planted import plant
from gloss.records import FeatureActivations, Split
from gloss.sample.negatives import (
    SearchContext,
    choose_disjoint,
    is_apart,
    random_windows,
    shuffled_blocks,
)
from gloss.sample.windows import PLACEMENTS, select_disjoint

NOWHERE = FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))


@pytest.fixture(scope="module")
def corpus():
    return plant(np.random.default_rng(1), tokens=20_000, features=20).corpus


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from(sorted(PLACEMENTS)))
def test_the_strongest_disjoint_windows_are_the_first_of_all_disjoint_ones(
    corpus, seed, number, placement
):
    rng = np.random.default_rng(seed)
    at = rng.integers(0, len(corpus), 300)
    starts = PLACEMENTS[placement].around(at, corpus, 32)
    strengths = rng.integers(0, 40, 300) / 7  # many are equal
    search = SearchContext(corpus, NOWHERE, PLACEMENTS[placement], 32)
    order = np.argsort(starts, kind="stable")
    kept = select_disjoint(starts[order], corpus.sequences_of(starts[order]), strengths[order], 32)
    kept = kept[search.is_fresh(starts[order][kept])]
    assert choose_disjoint(search, starts, strengths, number).tolist() == (
        starts[order][kept][:number].tolist()
    )


@given(
    st.lists(st.integers(0, 200), max_size=30),
    st.lists(st.integers(0, 200), max_size=9),
    st.integers(1, 20),
)
def test_what_is_apart_from_all_is_apart_from_each(keys, known, width):
    ascending = np.sort(np.array(known, np.int64))
    found = is_apart(np.array(keys, np.int64), ascending, width)
    assert found.tolist() == [all(abs(key - each) >= width for each in known) for key in keys]


@pytest.mark.parametrize("block", [1, 7, 50, 1000])
def test_random_windows_are_the_same_in_blocks_of_every_size(corpus, block):
    search = SearchContext(corpus, NOWHERE, PLACEMENTS["aligned"], 32)
    search = search.besides(search.windows.fingerprints[search.windows.drawable[Split.TRAIN][::3]])
    whole, some = (
        np.concatenate([*random_windows(search, Split.TRAIN, 50, np.random.default_rng(0), each)])
        for each in (10**6, block)
    )
    assert whole.tolist() == some.tolist()
    assert len(whole) == 50
    assert search.is_fresh(whole).all()


@pytest.mark.parametrize("places", [30, 41, 400])
def test_places_come_in_a_random_order_whether_all_are_shuffled_or_a_few_are_drawn(places):
    """Every place is as likely to come first, and each comes once."""
    rng, number = np.random.default_rng(5), 10
    first = np.zeros(places, np.int64)
    for _ in range(40 * places):
        first[next(shuffled_blocks(np.arange(places), number, rng))[0]] += 1
    assert chisquare(first).pvalue > 1e-4
    every = np.concatenate([*shuffled_blocks(np.arange(places), number, rng)])
    assert sorted(every.tolist()) == list(range(places))
