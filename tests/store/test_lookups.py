"""What is looked up by index or mark is what a search of everything finds."""

from itertools import accumulate, groupby

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.records import FeatureActivations, Split
from gloss.rules.occurrences import Occurrences, run_bounds
from gloss.store.contexts import (
    corpus_windows,
    cut_contexts,
    is_among,
    is_first_of_equals,
    positions_in_ranges,
    stretches,
)
from gloss.store.corpus import Corpus, counted_occurrences
from gloss.store.vocabulary import Vocabulary

TOKENS = 7


def corpus_of(lengths: list[int], rng: np.random.Generator) -> Corpus:
    """A document a sequence, some of them held out, some tokens left out."""
    number = sum(lengths)
    return Corpus(
        rng.integers(0, TOKENS, number).astype(np.int32),
        np.cumsum([0, *lengths]).astype(np.int64),
        np.arange(len(lengths)),
        rng.choice(np.array([0, 2**64 - 1], np.uint64), len(lengths)),
        tuple(map(str, range(len(lengths)))),
        Vocabulary(tuple(bytes([65 + i]) for i in range(TOKENS))),
        left_out=np.flatnonzero(rng.random(number) < 0.1),
    )


lengths = st.lists(
    st.one_of(st.integers(1, 3), st.integers(1, 300)), min_size=1, max_size=60
).filter(lambda found: sum(found) > 70)


@settings(max_examples=150, deadline=None)
@given(lengths, st.integers(1, 40), st.integers(0, 2**32))
def test_marks_and_indices_find_what_searching_finds(lengths, width, seed):
    rng = np.random.default_rng(seed)
    corpus = corpus_of(lengths, rng)
    at = rng.integers(0, len(corpus), 400)
    assert np.array_equal(
        corpus.sequences_of(at), np.searchsorted(corpus.offsets, at, side="right") - 1
    )
    windows = corpus_windows(corpus, width)
    assert np.array_equal(
        windows.windows_of(at), np.searchsorted(windows.starts, at, side="right") - 1
    )
    assert np.array_equal(windows.windows_of(at[:3]), windows.windows_of(at)[:3])
    for split in Split:
        places = corpus.in_split(split) & corpus.counted
        for token in range(TOKENS):
            found = counted_occurrences(corpus, split).of_token(token)
            assert found.tolist() == np.flatnonzero(places & (corpus.tokens == token)).tolist()
    held = windows.windows_of(np.arange(len(corpus)))
    for tokens in (np.array([0]), np.array([1, 4]), np.arange(TOKENS), np.empty(0, np.int64)):
        there = corpus.in_train & corpus.counted & np.isin(corpus.tokens, tokens)
        holding = np.unique(held[there])
        without = np.flatnonzero(windows.in_train & (rng.random(len(windows.starts)) < 0.3))
        assert windows.number_holding(tokens, without) == len(np.setdiff1d(holding, without))


@settings(max_examples=150, deadline=None)
@given(lengths, st.integers(1, 90), st.integers(0, 2**32))
def test_windows_are_cut_as_one_by_one(lengths, width, seed):
    """Windows that stand partly in front of their sequence, or behind its end, among them."""
    rng = np.random.default_rng(seed)
    corpus = corpus_of(lengths, rng)
    at = np.flatnonzero(rng.random(len(corpus)) < 0.2)
    values = rng.random(len(at)).astype(np.float32) + 1
    inside = rng.integers(0, len(corpus), 70)
    starts = inside - rng.integers(0, width, 70)
    found = cut_contexts(
        corpus, FeatureActivations(at, values), starts, width, np.zeros(70, np.int64), inside
    )
    dense = np.zeros(len(corpus), np.float32)
    dense[at] = values
    sequences = np.searchsorted(corpus.offsets, inside, side="right") - 1
    for row, (start, sequence) in enumerate(zip(starts, sequences, strict=True)):
        first, end = corpus.offsets[sequence], corpus.offsets[sequence + 1]
        places = [i if first <= i < end else None for i in range(start, start + width)]
        assert found.tokens[row].tolist() == [-1 if i is None else corpus.tokens[i] for i in places]
        assert found.activations[row].tolist() == [0 if i is None else dense[i] for i in places]
        assert found.left_out is not None
        assert found.left_out[row].tolist() == [i in set(corpus.left_out) for i in places]


@given(
    st.lists(st.integers(0, 60), max_size=20),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=12),
)
def test_positions_in_ranges_are_those_of_each_range(positions, ranges):
    ascending = np.unique(np.array(positions, np.int64))
    lows = np.array([low for low, _ in ranges], np.int64)
    highs = lows + np.array([size for _, size in ranges], np.int64)
    order = np.argsort(lows, kind="stable")
    rows, entries = positions_in_ranges(ascending, lows, highs, order)
    assert list(zip(rows.tolist(), ascending[entries].tolist(), strict=True)) == [
        (row, position)
        for row in order.tolist()
        for position in ascending.tolist()
        if lows[row] <= position < highs[row]
    ]


def test_an_index_of_more_ids_than_two_bytes_tell_apart(rng):
    ids = rng.integers(0, 200_000, 5000).astype(np.int32)
    ids[:50] = 65_536 + ids[50:100] % 65_536  # that differ in the high bytes alone
    found = Occurrences.of(ids, 200_000)
    assert np.array_equal(found.order, np.argsort(ids, kind="stable"))
    assert found.count(np.unique(ids)) == len(ids)
    assert found.of_any(np.unique(ids)).tolist() == list(range(len(ids)))


prints = st.lists(
    st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1), st.integers(2**64 - 5, 2**64 - 1)),
    max_size=60,
)


@given(prints, prints)
def test_prints_are_found_by_their_first_bits_or_not(values, known):
    found = is_among(np.array(values, np.uint64), np.sort(np.array(known, np.uint64)))
    assert found.tolist() == [each in known for each in values]
    first = is_first_of_equals(np.array(values, np.uint64))
    assert first.tolist() == [each not in values[:i] for i, each in enumerate(values)]


WINDOWS = corpus_windows(corpus_of([40], np.random.default_rng(0)), 1)
some = st.lists(st.one_of(st.integers(0, 39), st.integers(0, 3)), max_size=40)


@given(some, some)
def test_new_windows_are_not_used_and_their_like_stands_nowhere_before(numbers, used):
    given = np.array(numbers, np.int64), np.array(used, np.int32)
    free = [row for row, each in enumerate(numbers) if each not in used]
    assert WINDOWS.rows_of_free(*given).tolist() == free
    new = [row for row in free if numbers[row] not in numbers[:row]]
    assert WINDOWS.rows_of_new(*given).tolist() == new


@given(st.lists(st.integers(0, 3)))
def test_runs_begin_where_a_value_differs_from_the_one_before(values):
    lengths = [len(list(run)) for _, run in groupby(values)]
    assert run_bounds(np.array(values, np.int64)).tolist() == [0, *accumulate(lengths)]


@given(st.lists(st.integers(-1, 9), min_size=1, max_size=50), st.data())
def test_stretches_are_slices(tokens, data):
    width = data.draw(st.integers(1, len(tokens)))
    starts = data.draw(st.lists(st.integers(0, len(tokens) - width), max_size=20))
    found = stretches(np.array(tokens, np.int32), np.array(starts, np.int64), width)
    assert found.tolist() == [tokens[start : start + width] for start in starts]
    assert found.dtype == np.int32
