"""Windows against a loop that looks at one position at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.records import PADDING, FeatureActivations, Split
from gloss.store.contexts import corpus_windows, cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary


def corpus_of(lengths: list[int], documents: list[int], in_train: list[bool]) -> Corpus:
    offsets = np.cumsum([0, *lengths])
    tokens = (np.arange(offsets[-1]) * 7 % 50).astype(np.int32)
    hashes = np.array([5 if is_train else 2**64 - 5 for is_train in in_train], np.uint64)
    vocabulary = Vocabulary(tuple(f" t{i}".encode() for i in range(50)))
    return Corpus(
        tokens,
        offsets,
        np.array(documents, np.int64),
        hashes,
        tuple(map(str, range(len(in_train)))),
        vocabulary,
    )


def activations_at(values: dict[int, float]) -> FeatureActivations:
    positions = np.array(sorted(values), np.int64)
    return FeatureActivations(positions, np.array([values[i] for i in sorted(values)], np.float32))


@st.composite
def cases(draw) -> tuple[list[int], list[int], list[bool], dict[int, float]]:
    lengths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=8))
    breaks = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    documents = np.cumsum([0, *breaks[1:]]).tolist()
    in_train = draw(st.lists(st.booleans(), min_size=documents[-1] + 1, max_size=documents[-1] + 1))
    values = draw(
        st.dictionaries(
            st.integers(0, sum(lengths) - 1), st.floats(0.125, 8, width=16), max_size=40
        )
    )
    # plain, because the checks of types draw random numbers of their own
    return lengths, documents, in_train, values


def naive(
    corpus: Corpus, activations: FeatureActivations, inside: int, index: int
) -> tuple[int, float]:
    """The token and the activation at one global index, seen from the sequence of `inside`."""
    values = dict(zip(activations.positions.tolist(), activations.values.tolist(), strict=True))
    for first, end in zip(corpus.offsets[:-1].tolist(), corpus.offsets[1:].tolist(), strict=True):
        if first <= inside < end and first <= index < end:
            return int(corpus.tokens[index]), values.get(index, 0.0)
    return PADDING, 0.0


@settings(max_examples=1000, deadline=None)
@given(data=st.data(), case=cases(), width=st.integers(1, 12))
def test_every_token_and_activation_of_every_window_is_what_a_loop_finds(data, case, width):
    corpus, activations = corpus_of(*case[:3]), activations_at(case[3])
    inside = data.draw(st.lists(st.integers(0, len(corpus) - 1), max_size=8))
    shifts = data.draw(st.lists(st.integers(-15, 15), min_size=len(inside), max_size=len(inside)))
    starts = np.array(inside, np.int64) - np.array(shifts, np.int64)
    contexts = cut_contexts(
        corpus,
        activations,
        starts,
        width,
        np.zeros(len(starts), np.int64),
        np.array(inside, np.int64),
    )
    assert contexts.tokens.shape == contexts.activations.shape == (len(inside), width)
    for row, (token, start) in enumerate(zip(inside, starts.tolist(), strict=True)):
        expected = [naive(corpus, activations, token, start + i) for i in range(width)]
        found = list(
            zip(contexts.tokens[row].tolist(), contexts.activations[row].tolist(), strict=True)
        )
        assert found == expected
        sequence = next(
            i
            for i in range(len(corpus.documents))
            if corpus.offsets[i] <= token < corpus.offsets[i + 1]
        )
        assert contexts.documents[row] == corpus.documents[sequence]
        assert contexts.sequence_positions[row] == start - corpus.offsets[sequence]


@settings(max_examples=200, deadline=None)
@given(case=cases(), width=st.integers(1, 12))
def test_fixed_windows_cover_each_token_once_and_count_from_the_start_of_its_sequence(case, width):
    corpus, activations = corpus_of(*case[:3]), activations_at(case[3])
    windows = corpus_windows(corpus, width)
    bounds = zip(corpus.offsets[:-1].tolist(), corpus.offsets[1:].tolist(), strict=True)
    expected = [start for first, end in bounds for start in range(first, end, width)]
    assert windows.starts.tolist() == expected
    contexts = cut_contexts(
        corpus, activations, windows.starts, width, np.zeros(len(expected), np.int64)
    )
    assert contexts.tokens[contexts.tokens != PADDING].tolist() == corpus.tokens.tolist()
    assert np.isclose(contexts.activations.sum(), activations.values.sum())
    fires = (contexts.activations > 0).any(axis=1)
    assert windows.firing(activations).tolist() == np.flatnonzero(fires).tolist()
    for split, in_split in ((Split.TRAIN, windows.in_train), (Split.HELD_OUT, ~windows.in_train)):
        assert windows.share(activations, split) == (fires & in_split).sum() / max(
            in_split.sum(), 1
        )
    held = [tuple(row) for row in contexts.tokens.tolist()]
    assert all(held[window] == held[same] for window, same in enumerate(windows.same.tolist()))
    assert windows.copied.tolist() == [held.count(window) > 1 for window in held]
    assert windows.holding_prints(windows.fingerprints).tolist() == windows.same.tolist()
    drawable = np.concatenate(
        [windows.drawable[Split.TRAIN], windows.drawable[Split.HELD_OUT]]
    ).tolist()
    assert len({held[window] for window in drawable}) == len(drawable) == len(set(held))
    assert {held[window] for window in np.flatnonzero(windows.in_train)} == {
        held[window] for window in windows.drawable[Split.TRAIN]
    }


def test_a_window_is_padded_in_front_and_behind():
    corpus = corpus_of([3, 2], [0, 1], [True, False])
    contexts = cut_contexts(
        corpus,
        activations_at({0: 1.0, 2: 2.0, 3: 4.0}),
        np.array([-1]),
        6,
        np.array([0]),
        np.array([1]),
    )
    assert contexts.tokens.tolist() == [[PADDING, 0, 7, 14, PADDING, PADDING]]
    assert contexts.activations.tolist() == [[0, 1, 0, 2, 0, 0]]
    assert contexts.sequence_positions.tolist() == [-1]


def test_overlapping_windows_each_hold_all_their_activations():
    corpus = corpus_of([10], [0], [True])
    contexts = cut_contexts(
        corpus, activations_at({2: 1.0, 3: 2.0}), np.array([0, 1, 2, 2]), 4, np.zeros(4, np.int64)
    )
    assert contexts.activations.tolist() == [[0, 0, 1, 2], [0, 1, 2, 0], [1, 2, 0, 0], [1, 2, 0, 0]]


@pytest.mark.parametrize("start", [-1, 10])
def test_a_window_outside_the_corpus_is_refused(start):
    with pytest.raises(
        ValueError, match=rf"anchored at tokens 0 to 9 of the corpus, got \[{start}\]"
    ):
        cut_contexts(
            corpus_of([10], [0], [True]), activations_at({}), np.array([start]), 4, np.array([0])
        )


def test_a_width_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 position, got 0"):
        corpus_windows(corpus_of([10], [0], [True]), 0)


def test_the_windows_of_a_corpus_are_worked_out_once():
    corpus = corpus_of([10], [0], [True])
    assert corpus_windows(corpus, 4) is corpus_windows(corpus, 4)
    assert corpus_windows(corpus, 4) is not corpus_windows(corpus, 5)
