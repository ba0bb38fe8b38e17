"""Windows that are looked at only as far as they are needed are those of looking at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from gloss.models.planted import plant
from gloss.records import FeatureActivations, FeatureId, Split
from gloss.sample import negatives
from gloss.sample.examples import Draws, FeatureWindows, SamplingSettings, drop_duplicate_windows
from gloss.sample.negatives import (
    RandomNegatives,
    SameTokenNegatives,
    SearchContext,
    choose_disjoint,
    is_apart,
    strongest_disjoint,
    windows_by_turn,
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
    chosen = choose_disjoint(search, starts, strengths, number)
    assert starts[chosen].tolist() == starts[order][kept][:number].tolist()


@given(
    st.lists(st.integers(0, 200), max_size=30),
    st.lists(st.integers(0, 200), max_size=9),
    st.integers(1, 20),
)
def test_what_is_apart_from_all_is_apart_from_each(keys, known, width):
    ascending = np.sort(np.array(known, np.int64))
    found = is_apart(np.array(keys, np.int64), ascending, width)
    assert found.tolist() == [all(abs(key - each) >= width for each in known) for key in keys]


@pytest.mark.parametrize("few", [1, 10**6])  # some are drawn and looked at, or all are looked at
def test_every_free_window_is_as_likely_and_none_is_used(corpus, few, monkeypatch):
    monkeypatch.setattr(negatives, "FEW", few)
    search = SearchContext(corpus, NOWHERE, PLACEMENTS["aligned"], 32)
    drawable = search.windows.drawable[Split.TRAIN]
    search = search.besides(search.windows.starts[drawable[::3]])
    rng, times = np.random.default_rng(4), np.zeros(len(search.windows.starts), np.int64)
    for _ in range(1000):
        found = RandomNegatives().choose(search, Split.TRAIN, 20, rng)
        assert len(set(found.starts.tolist())) == 20
        assert found.numbers is not None
        assert found.starts.tolist() == search.windows.starts[found.numbers].tolist()
        times[found.numbers] += 1
    free = np.setdiff1d(drawable, drawable[::3])
    assert times.sum() == times[free].sum() == 20_000
    assert chisquare(times[free]).pvalue > 1e-4


def text_of_two_tokens(rng) -> Corpus:
    """All train split; windows of 4 tokens, of which 4,000 hold token 1 and 1,000 token 2, no two
    of them alike.
    """
    number = 20_000
    tokens = np.arange(3, 3 + number, dtype=np.int32)
    holding = rng.permutation(number // 4)
    tokens[4 * holding[:4000] + 1] = 1
    tokens[4 * holding[4000:] + 2] = 2
    vocabulary = Vocabulary(tuple(b"%d" % i for i in range(number + 3)))
    return Corpus(
        tokens,
        np.array([0, number]),
        np.array([0]),
        np.array([0], np.uint64),
        ("0",),
        vocabulary,
    )


def test_a_token_of_which_most_windows_are_wanted_has_its_share(monkeypatch):
    """Both tokens fire as often; of the 900 free windows of the second 750 are wanted."""
    monkeypatch.setattr(negatives, "FEW", 1)
    corpus = text_of_two_tokens(np.random.default_rng(2))
    one, two = (np.flatnonzero(corpus.tokens == token) for token in (1, 2))
    active = np.sort(np.concatenate([one[::40], two[::10]]))
    fires = FeatureActivations(active, np.ones(len(active), np.float32))
    search = SearchContext(corpus, fires, PLACEMENTS["aligned"], 4)
    shares = []
    for seed in range(20):
        found = SameTokenNegatives().choose(search, Split.TRAIN, 1500, np.random.default_rng(seed))
        held = np.array([corpus.tokens[start : start + 4] for start in found.starts])
        shares.append((held == 2).any(axis=1).mean())
    assert abs(np.mean(shares) - 0.5) < 0.015


@pytest.mark.parametrize("placement", sorted(PLACEMENTS))
@pytest.mark.parametrize("few", [1, 10**6])  # some places are looked at, or all
def test_near_misses_are_in_proportion_to_the_firings_and_each_window_as_likely(
    few, placement, monkeypatch
):
    """A feature that fires at token 1 three times as often as at token 2 is shown three inactive
    windows of the one for each of the other, whichever of them are active.
    """
    monkeypatch.setattr(negatives, "FEW", few)
    corpus = text_of_two_tokens(np.random.default_rng(2))
    one, two = (np.flatnonzero(corpus.tokens == token) for token in (1, 2))
    active = np.sort(np.concatenate([one[1::6][:600], two[1::4][:200]]))
    fires = FeatureActivations(active, np.ones(len(active), np.float32))
    search = SearchContext(corpus, fires, PLACEMENTS[placement], 4)
    # where windows are centred, those beside an active one may overlap it: leave some room
    rng, times = np.random.default_rng(7), np.zeros(len(corpus) // 4, np.int64)
    ones = []
    for _ in range(400):
        found = SameTokenNegatives().choose(search, Split.TRAIN, 80, rng)
        assert len(found) == 80
        held = np.array([corpus.tokens[start : start + 4] for start in found.starts])
        assert (held < 3).any(axis=1).all()
        ones.append(int((held == 1).any(axis=1).sum()))
        times[found.starts // 4] += 1
    if placement == "aligned":
        assert abs(np.mean(ones) - 60) < 1  # 5 standard errors of a binomial draw
        every = np.arange(len(times))
        free = every[~np.isin(every, active // 4)]
        assert times[free].sum() == 400 * 80
        for token in (1, 2):
            windows = np.intersect1d(free, np.flatnonzero(corpus.tokens == token) // 4)
            assert chisquare(times[windows]).pvalue > 1e-4
    else:  # a window may hold both
        assert 55 < np.mean(ones) < 75


def test_no_turn_comes_behind_what_is_known_of_any_token():
    """Of token 1, which has three turns for each of token 2, 48 places were looked at: no more than
    16 windows of token 2 have their turn by then, however many places of it were.
    """
    corpus = text_of_two_tokens(np.random.default_rng(2))
    search = SearchContext(corpus, NOWHERE, PLACEMENTS["aligned"], 4)
    wanted, counts = np.array([48, 900]), np.array([3, 1])
    found = windows_by_turn(
        search, Split.TRAIN, np.array([1, 2]), counts, wanted, np.random.default_rng(0)
    )
    assert found.short.tolist() == [True, False]
    assert found.turns.max() < 16
    held = np.array([corpus.tokens[start : start + 4] for start in found.starts])
    ones, twos = (int((held == token).any(axis=1).sum()) for token in (1, 2))
    assert ones == 48
    assert 4 <= twos <= 32


def test_no_copy_of_a_centred_window_that_fires_is_shown_as_inactive():
    """The last third of the text is the first one again, and there the feature is silent."""
    rng, third = np.random.default_rng(3), 2000
    tokens = rng.integers(5, 50, 2 * third).astype(np.int32)
    at = np.arange(10, 2 * third, 50)
    tokens[at] = 1
    tokens = np.append(tokens, tokens[:third])
    corpus = Corpus(
        tokens,
        np.arange(4) * third,
        np.arange(3),
        np.array([0, 2**64 - 1, 1], np.uint64),
        ("a", "b", "c"),
        Vocabulary(tuple(b"%d" % i for i in range(50))),
    )
    fires = FeatureActivations(at, np.ones(len(at), np.float32))
    sampling = SamplingSettings(context_length=8, placement="centred", minimum=1)
    found = FeatureWindows.of(FeatureId("d", 0), fires, corpus, sampling)
    assert isinstance(found, FeatureWindows)
    assert len(SameTokenNegatives().choose(found.search, Split.TRAIN, 20, rng)) == 0


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
    kept = starts[strongest_disjoint(search, starts, strengths)]
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
    kept = drop_duplicate_windows(search, windows)
    best: dict[int, tuple[bool, float, int]] = {}
    every = search.fingerprints(windows.starts).tolist()
    for start, maximum, mark in zip(windows.starts, windows.maxima, every, strict=True):
        entry = (not search.corpus.in_train[start], -float(maximum), int(start))
        best[mark] = min(best.get(mark, entry), entry)
    assert kept.starts.tolist() == sorted(start for *_, start in best.values())
    assert kept.numbers is not None
    assert kept.starts.tolist() == search.windows.starts[kept.numbers].tolist()
    assert isinstance(kept, FiringWindows)
    # and of windows that are nowhere in the list of aligned ones
    loose = drop_duplicate_windows(search, FiringWindows(windows.starts, windows.maxima))
    assert loose.starts.tolist() == kept.starts.tolist()


def test_where_all_are_chosen_nothing_is_drawn_and_each_kind_is_drawn_by_its_own(corpus):
    rng = np.random.default_rng(3)
    before = rng.bit_generator.state
    assert sorted(draw_stratified(7, 9, 3, rng).tolist()) == [*range(7)]
    assert rng.bit_generator.state == before
    assert sorted(draw_stratified(7, 5, 3, rng).tolist()) != [*range(7)]
    draws = [Draws.of(np.random.default_rng(seed)) for seed in (3, 3, 4)]
    streams = [d.stream(kind).random() for d in draws for kind in ("train", "held_out", "train")]
    assert len(set(streams)) == 4
    assert streams[:3] == streams[3:6]
    assert streams[0] == streams[2]
    at = np.arange(5, len(corpus), 37)
    fires = FeatureActivations(at, np.linspace(1, 2, len(at)).astype(np.float32))
    found = FeatureWindows.of(FeatureId("d", 0), fires, corpus, SamplingSettings(minimum=1))
    assert isinstance(found, FeatureWindows)
    chosen = [found.chosen(Split.TRAIN, Quantiles(), 9, draws[0].stream("train")) for _ in range(2)]
    assert chosen[0].starts.tolist() == chosen[1].starts.tolist()
