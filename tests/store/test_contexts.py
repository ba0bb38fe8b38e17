"""Windows against a loop that looks at one position at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.records import PADDING, FeatureActivations, Split
from gloss.store.contexts import cut, tiles_of
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary


def corpus_of(lengths: list[int], documents: list[int], shown: list[bool]) -> Corpus:
    offsets = np.cumsum([0, *lengths])
    tokens = (np.arange(offsets[-1]) * 7 % 50).astype(np.int32)
    hashes = np.array([5 if is_shown else 2**64 - 5 for is_shown in shown], np.uint64)
    vocabulary = Vocabulary(tuple(f" t{i}".encode() for i in range(50)))
    return Corpus(tokens, offsets, np.array(documents, np.int64), hashes, tuple(map(str, range(len(shown)))), vocabulary)


def activations_at(values: dict[int, float]) -> FeatureActivations:
    positions = np.array(sorted(values), np.int64)
    return FeatureActivations(positions, np.array([values[i] for i in sorted(values)], np.float32))


@st.composite
def cases(draw) -> tuple[list[int], list[int], list[bool], dict[int, float]]:
    lengths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=8))
    breaks = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    documents = np.cumsum([0, *breaks[1:]]).tolist()
    shown = draw(st.lists(st.booleans(), min_size=documents[-1] + 1, max_size=documents[-1] + 1))
    values = draw(st.dictionaries(st.integers(0, sum(lengths) - 1), st.floats(0.125, 8, width=16), max_size=40))
    return lengths, documents, shown, values  # plain, because the checks of types draw random numbers of their own


def naive(corpus: Corpus, activations: FeatureActivations, anchor: int, index: int) -> tuple[int, float]:
    """The token and the activation at one global index, seen from the anchor's sequence."""
    values = dict(zip(activations.positions.tolist(), activations.values.tolist(), strict=True))
    for first, end in zip(corpus.offsets[:-1].tolist(), corpus.offsets[1:].tolist(), strict=True):
        if first <= anchor < end and first <= index < end:
            return int(corpus.tokens[index]), values.get(index, 0.0)
    return PADDING, 0.0


@settings(max_examples=1000, deadline=None)
@given(data=st.data(), case=cases(), width=st.integers(1, 12))
def test_every_token_and_activation_of_every_window_is_what_a_loop_finds(data, case, width):
    corpus, activations = corpus_of(*case[:3]), activations_at(case[3])
    anchors = data.draw(st.lists(st.integers(0, len(corpus) - 1), max_size=8))
    shifts = data.draw(st.lists(st.integers(-15, 15), min_size=len(anchors), max_size=len(anchors)))
    starts = np.array(anchors, np.int64) - np.array(shifts, np.int64)
    contexts = cut(corpus, activations, starts, width, np.zeros(len(starts), np.int64), np.array(anchors, np.int64))
    assert contexts.tokens.shape == contexts.activations.shape == (len(anchors), width)
    for row, (anchor, start) in enumerate(zip(anchors, starts.tolist(), strict=True)):
        expected = [naive(corpus, activations, anchor, start + i) for i in range(width)]
        found = list(zip(contexts.tokens[row].tolist(), contexts.activations[row].tolist(), strict=True))
        assert found == expected
        sequence = next(i for i in range(len(corpus.documents)) if corpus.offsets[i] <= anchor < corpus.offsets[i + 1])
        assert contexts.documents[row] == corpus.documents[sequence]
        assert contexts.places[row] == start - corpus.offsets[sequence]


@settings(max_examples=200, deadline=None)
@given(case=cases(), width=st.integers(1, 12))
def test_tiles_cover_each_token_once_and_count_from_the_start_of_its_sequence(case, width):
    corpus, activations = corpus_of(*case[:3]), activations_at(case[3])
    tiles = tiles_of(corpus, width)
    bounds = zip(corpus.offsets[:-1].tolist(), corpus.offsets[1:].tolist(), strict=True)
    expected = [start for first, end in bounds for start in range(first, end, width)]
    assert tiles.starts.tolist() == expected
    contexts = cut(corpus, activations, tiles.starts, width, np.zeros(len(expected), np.int64))
    assert contexts.tokens[contexts.tokens != PADDING].tolist() == corpus.tokens.tolist()
    assert np.isclose(contexts.activations.sum(), activations.values.sum())
    fires = (contexts.activations > 0).any(axis=1)
    assert tiles.firing(activations).tolist() == np.flatnonzero(fires).tolist()
    for split, shown in ((Split.SHOWN, tiles.shown), (Split.HELD_OUT, ~tiles.shown)):
        assert tiles.share(np.flatnonzero(fires), split) == (fires & shown).sum() / max(shown.sum(), 1)
        drawable = tiles.drawable[split]
        assert tiles.ranks[drawable].tolist() == list(range(len(drawable)))
    held = [tuple(row) for row in contexts.tokens.tolist()]
    drawable = np.concatenate([tiles.drawable[Split.SHOWN], tiles.drawable[Split.HELD_OUT]]).tolist()
    assert len({held[tile] for tile in drawable}) == len(drawable) == len(set(held))
    assert {held[tile] for tile in np.flatnonzero(tiles.shown)} == {held[tile] for tile in tiles.drawable[Split.SHOWN]}


def test_a_window_is_padded_in_front_and_behind():
    corpus = corpus_of([3, 2], [0, 1], [True, False])
    contexts = cut(corpus, activations_at({0: 1.0, 2: 2.0, 3: 4.0}), np.array([-1]), 6, np.array([0]), np.array([1]))
    assert contexts.tokens.tolist() == [[PADDING, 0, 7, 14, PADDING, PADDING]]
    assert contexts.activations.tolist() == [[0, 1, 0, 2, 0, 0]]
    assert contexts.places.tolist() == [-1]


def test_overlapping_windows_each_hold_all_their_activations():
    corpus = corpus_of([10], [0], [True])
    contexts = cut(corpus, activations_at({2: 1.0, 3: 2.0}), np.array([0, 1, 2, 2]), 4, np.zeros(4, np.int64))
    assert contexts.activations.tolist() == [[0, 0, 1, 2], [0, 1, 2, 0], [1, 2, 0, 0], [1, 2, 0, 0]]


@pytest.mark.parametrize("anchor", [-1, 10])
def test_a_window_outside_the_corpus_is_refused(anchor):
    with pytest.raises(ValueError, match=rf"anchored at tokens 0 to 9 of the corpus, got \[{anchor}\]"):
        cut(corpus_of([10], [0], [True]), activations_at({}), np.array([anchor]), 4, np.array([0]))


def test_a_width_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 position, got 0"):
        tiles_of(corpus_of([10], [0], [True]), 0)


def test_the_tiles_of_a_corpus_are_worked_out_once():
    corpus = corpus_of([10], [0], [True])
    assert tiles_of(corpus, 4) is tiles_of(corpus, 4)
    assert tiles_of(corpus, 4) is not tiles_of(corpus, 5)
