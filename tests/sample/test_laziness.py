"""Windows that are looked at only as far as they are needed are those of looking at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gloss.models.planted import plant
from gloss.records import FeatureActivations, FeatureId, Split
from gloss.sample.examples import Draws, FeatureWindows, SamplingSettings, drop_duplicate_windows
from gloss.sample.negatives import (
    SearchContext,
    choose_disjoint,
    is_apart,
    random_windows,
    shuffled_blocks,
    strongest_disjoint,
)
from gloss.sample.samplers import Quantiles, draw_stratified
from gloss.sample.windows import PLACEMENTS, FiringWindows, select_disjoint
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary

LENGTHS = st.lists(st.integers(1, 70), min_size=1, max_size=20)
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


def small_search(lengths, fired, placement, width, rng):
    """A search of a feature that fires at these tokens of a text of few different tokens."""
    number = sum(lengths)
    corpus = Corpus(
        rng.integers(0, 2, number).astype(np.int32),
        np.cumsum([0, *lengths]).astype(np.int64),
        np.arange(len(lengths)),
        rng.choice(np.array([0, 2**64 - 1], np.uint64), len(lengths)),
        tuple(map(str, range(len(lengths)))),
        Vocabulary((b"a", b"b")),
    )
    positions = np.unique(np.array(fired, np.int64) % number)
    values = rng.integers(1, 4, len(positions)).astype(np.float32)  # many are equal
    activations = FeatureActivations(positions, values)
    return SearchContext(corpus, activations, PLACEMENTS[placement], width)


@settings(max_examples=150, deadline=None)
@given(
    LENGTHS,
    st.lists(st.integers(0, 2000), max_size=20),
    st.sampled_from(sorted(PLACEMENTS)),
    st.integers(1, 40),
    st.integers(0, 2**32),
)
def test_tables_of_windows_say_what_is_said_of_each_by_itself(
    lengths, fired, placement, width, seed
):
    """Also of features that fire nowhere, once, and at the ends of documents."""
    rng = np.random.default_rng(seed)
    search = small_search(lengths, fired, placement, width, rng)
    corpus, places = search.corpus, rng.integers(0, sum(lengths), 40)
    starts = search.placement.around(places, corpus, width)
    ends = np.minimum(starts + width, corpus.offsets[corpus.sequences_of(starts) + 1])
    positions = set(search.activations.positions.tolist())
    active = [bool(positions & {*range(s, e)}) for s, e in zip(starts, ends, strict=True)]
    assert search.fires(starts).tolist() == active
    held = [corpus.tokens[s:e].tolist() for s, e in zip(starts, ends, strict=True)]
    prints = search.fingerprints(starts)
    for i in range(len(starts)):
        assert (prints[0] == prints[i]) == (held[0] == held[i])
    apart = search.are_apart(starts[:20], starts[20:])
    assert apart.tolist() == [
        all(ends[i] <= starts[j] or ends[j] <= starts[i] for j in range(20, 40)) for i in range(20)
    ]
    strengths = rng.integers(0, 9, 40) / 7
    kept = strongest_disjoint(search, starts, strengths)
    left = sorted(zip(-strengths, starts.tolist(), ends.tolist(), strict=True))
    wanted = []
    for _, start, end in left:
        if all(end <= s or e <= start for s, e in wanted):
            wanted.append((start, end))
    assert kept.tolist() == [start for start, _ in wanted]


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.lists(st.integers(0, 2000), max_size=60), st.integers(1, 6), st.data())
def test_of_equal_windows_one_of_the_train_split_stays_and_of_these_the_strongest(
    lengths, fired, width, data
):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    search = small_search(lengths, fired, "aligned", width, rng)
    windows = search.placement.firing(search.activations, search.corpus, width)
    kept, prints = drop_duplicate_windows(search, windows)
    best: dict[int, tuple[bool, float, int]] = {}
    every = search.fingerprints(windows.starts).tolist()
    for start, maximum, mark in zip(windows.starts, windows.maxima, every, strict=True):
        entry = (not search.corpus.in_train[start], -float(maximum), int(start))
        best[mark] = min(best.get(mark, entry), entry)
    assert kept.starts.tolist() == sorted(start for *_, start in best.values())
    assert prints.tolist() == search.fingerprints(kept.starts).tolist()
    assert isinstance(kept, FiringWindows)


def test_where_all_are_chosen_nothing_is_drawn_and_each_kind_is_drawn_by_its_own(corpus):
    rng = np.random.default_rng(3)
    before = rng.bit_generator.state
    assert sorted(draw_stratified(7, 9, 3, rng).tolist()) == [*range(7)]
    assert rng.bit_generator.state == before
    assert sorted(draw_stratified(7, 5, 3, rng).tolist()) != [*range(7)]
    seeds, drawn = Draws.of(np.random.default_rng(3)), np.random.default_rng(3).spawn(4)
    for seed, generator in zip(seeds, drawn, strict=True):
        assert np.random.default_rng(seed).random() == generator.random()
    at = np.arange(5, len(corpus), 37)
    fires = FeatureActivations(at, np.linspace(1, 2, len(at)).astype(np.float32))
    found = FeatureWindows.of(FeatureId("d", 0), fires, corpus, SamplingSettings(minimum=1))
    assert isinstance(found, FeatureWindows)
    chosen = [found.chosen(Split.TRAIN, Quantiles(), 9, seeds.train) for _ in range(2)]
    assert chosen[0].starts.tolist() == chosen[1].starts.tolist()
