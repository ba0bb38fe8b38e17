"""Where windows stand, against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.records import FeatureActivations
from gloss.sample.windows import Aligned, Centred
from gloss.store.contexts import cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary


def corpus_of(lengths: list[int]) -> Corpus:
    offsets = np.cumsum([0, *lengths])
    documents, hashes = np.arange(len(lengths)), np.arange(len(lengths)).astype(np.uint64)
    names = tuple(map(str, range(len(lengths))))
    return Corpus(
        np.zeros(offsets[-1], np.int32), offsets, documents, hashes, names, Vocabulary((b"a",))
    )


def activations_at(values: dict[int, float]) -> FeatureActivations:
    positions = np.array(sorted(values), np.int64)
    return FeatureActivations(positions, np.array([values[i] for i in sorted(values)], np.float32))


@st.composite
def cases(draw) -> tuple[list[int], dict[int, float], int]:
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    values = draw(
        st.dictionaries(
            st.integers(0, sum(lengths) - 1), st.floats(0.125, 8, width=16), max_size=40
        )
    )
    return lengths, values, draw(st.integers(1, 10))


def bounds(corpus: Corpus, position: int) -> tuple[int, int]:
    return next(
        (int(a), int(b))
        for a, b in zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True)
        if a <= position < b
    )


def naive_tiles(corpus: Corpus, values: dict[int, float], width: int) -> dict[int, float]:
    """The strongest activation of every aligned window that has one, by its first position."""
    found: dict[int, float] = {}
    for position, value in values.items():
        first, _ = bounds(corpus, position)
        start = position - (position - first) % width
        found[start] = max(found.get(start, 0), value)
    return found


def naive_peaks(corpus: Corpus, values: dict[int, float], width: int) -> dict[int, float]:
    """Greedily from the strongest: windows around their own strongest token, whose tokens no
    stronger window holds.
    """
    found: dict[int, float] = {}
    held: set[int] = set()
    for position in sorted(values, key=lambda p: (-values[p], p)):
        first, end = bounds(corpus, position)
        start = position - width // 2
        while start > first and start + width > end:
            start -= 1
        start = max(start, first)
        covered = set(range(start, min(start + width, end)))
        if not covered & held and values[position] == max(values.get(i, 0) for i in covered):
            found[start] = values[position]
            held |= covered
    return found


@pytest.mark.parametrize(
    ("placement", "naive"), [(Aligned(), naive_tiles), (Centred(), naive_peaks)]
)
def test_windows_and_their_maxima_are_what_a_loop_finds(placement, naive):
    @settings(max_examples=300, deadline=None)
    @given(case=cases())
    def agrees(case):
        lengths, values, width = case
        corpus = corpus_of(lengths)
        activations = activations_at(values)
        windows = placement.firing(activations, corpus, width)
        found = dict(zip(windows.starts.tolist(), windows.maxima.tolist(), strict=True))
        assert list(found.items()) == sorted(naive(corpus, values, width).items())
        contexts = cut_contexts(
            corpus, activations, windows.starts, width, np.zeros(len(windows), np.int64)
        )
        assert (contexts.maxima == windows.maxima).all()

    agrees()


def test_a_peak_far_from_the_edges_stands_in_the_exact_middle():
    windows = Centred().firing(activations_at({50: 1.0}), corpus_of([100]), 32)
    assert windows.starts.tolist() == [50 - 16]
    assert Centred().firing(activations_at({50: 1.0}), corpus_of([100]), 5).starts.tolist() == [48]


def test_near_an_edge_the_window_slides_back_inside():
    around = Centred().around(np.array([3, 97]), corpus_of([100]), 32)
    assert around.tolist() == [0, 68]


def test_windows_of_a_sequence_that_is_shorter_begin_with_it():
    assert Centred().around(np.array([12, 14]), corpus_of([10, 5, 10]), 32).tolist() == [10, 10]


def test_windows_of_neighbouring_short_sequences_do_not_suppress_each_other():
    windows = Centred().firing(activations_at({1: 1.0, 4: 3.0, 6: 2.0}), corpus_of([3, 3, 3]), 32)
    assert windows.starts.tolist() == [0, 3, 6]


def test_a_weaker_peak_in_a_stronger_peaks_window_is_not_taken_again():
    windows = Centred().firing(activations_at({50: 2.0, 60: 1.0, 70: 1.5}), corpus_of([200]), 16)
    assert windows.starts.tolist() == [42, 62]
    assert windows.maxima.tolist() == [2.0, 1.5]


def test_a_token_beside_a_stronger_one_is_no_peak_even_where_the_stronger_one_has_no_window():
    """50 takes 42 to 57; 60 would overlap it; 66 would not, but its window holds 60, which is
    stronger.
    """
    windows = Centred().firing(activations_at({50: 3.0, 60: 2.0, 66: 1.0}), corpus_of([200]), 16)
    assert windows.starts.tolist() == [42]


@pytest.mark.parametrize("placement", [Aligned(), Centred()])
def test_a_feature_that_never_fires_has_no_windows(placement):
    assert len(placement.firing(activations_at({}), corpus_of([100]), 32)) == 0
