"""The share of windows in which a feature fires, against counting them all."""

import numpy as np
import pytest

from gloss.records import FeatureActivations, Split
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary
from gloss.store.window_shares import firing_window_share

LENGTHS = (5, 1, 9, 4)  # of the sequences; the first and the third are held out
CORPUS = Corpus(
    tokens=np.zeros(sum(LENGTHS), np.int32),
    offsets=np.cumsum([0, *LENGTHS]).astype(np.int64),
    documents=np.array([0, 1, 0, 1]),
    hashes=np.array([2**64 - 1, 0], np.uint64),
    names=("a", "b"),
    vocabulary=Vocabulary((b"a",)),
)


def fires(*positions: int) -> FeatureActivations:
    return FeatureActivations(np.array(positions, np.int64), np.ones(len(positions), np.float32))


def counted(positions: tuple[int, ...], split: Split, length: int) -> float:
    inside = CORPUS.in_split(split)
    windows = [
        set(range(first, first + length))
        for begin, end in zip(CORPUS.offsets[:-1], CORPUS.offsets[1:], strict=True)
        for first in range(begin, end - length + 1)
        if inside[begin]
    ]
    return (
        sum(bool(window & set(positions)) for window in windows) / len(windows) if windows else 0.0
    )


@pytest.mark.parametrize("split", Split)
@pytest.mark.parametrize("positions", [(), (0,), (4, 5, 6), (2, 9, 14, 18), tuple(range(19))])
@pytest.mark.parametrize("length", [1, 2, 4, 9, 10])
def test_every_window_is_counted_once(positions, split, length):
    assert firing_window_share(CORPUS, fires(*positions), split, length) == pytest.approx(
        counted(positions, split, length)
    )
