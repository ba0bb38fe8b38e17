"""What the split makes of a corpus is said before the subject reads.

What is copied across it is counted.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_dictionary, tiny_subject

from gloss.collect.collect import Collect
from gloss.collect.split_counts import SplitCounts
from gloss.collect.texts import NamedTexts
from gloss.collect.tokens import read_texts
from gloss.errors import BadInput
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary
from gloss.store.window_shares import CopiedWindows, count_copied_windows

SUBJECT = tiny_subject()


def sides(texts: list[str], folder: Path) -> SplitCounts:
    read_texts(
        SUBJECT,
        NamedTexts(tuple((str(n), each) for n, each in enumerate(texts))),
        folder / "corpus",
        64,
    )
    return SplitCounts.of(folder / "corpus")


def test_documents_groups_and_empty_texts_are_counted(tmp_path: Path) -> None:
    found = sides(
        ["the cat sat on the mat", "", "a dog ran", "The cat sat\non the mat", "red blue big"],
        tmp_path,
    )
    assert (found.documents, found.train + found.held_out, found.empty) == (4, 3, 1)
    said = (
        f"4 documents, 3 without near copies: {found.train} train, {found.held_out} held out; 1"
        " without text left out"
    )
    assert str(found) == said


@pytest.mark.parametrize(
    "texts, says",
    [
        (
            ["the cat sat on the mat"],
            "the texts are one document, and .*say what separates them: .collect. split = ",
        ),
        (
            ["the cat sat on the mat" + " " * n for n in range(3)],
            "the texts are 3 near copies of one document",
        ),
    ],
)
def test_texts_that_cannot_be_split_are_refused_before_the_subject_reads(
    texts: list[str], says: str, tmp_path: Path
) -> None:
    listed, done = NamedTexts(tuple((str(n), each) for n, each in enumerate(texts))), list[int]()

    def ready(corpus: Path) -> None:
        SplitCounts.of(corpus).require_both()

    with pytest.raises(BadInput, match=says):
        Collect(context_length=64).run(
            SUBJECT,
            tiny_dictionary(),
            listed,
            tmp_path / "out",
            lambda n, of: done.append(n),
            ready,
        )
    assert not done
    assert not (tmp_path / "out" / "activations").exists()


def test_a_side_without_documents_is_named() -> None:
    with pytest.raises(BadInput, match="all 3 documents fall on the held-out side by their hashes"):
        SplitCounts(3, 0, 3, 0).require_both()
    SplitCounts(2, 1, 1, 0).require_both()


SEQUENCES = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, 1), min_size=1, max_size=40)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(SEQUENCES, st.integers(2, 12))
def test_copied_windows_are_those_that_a_loop_finds(
    sequences: list[tuple[bool, list[int]]], width: int
) -> None:
    offsets = np.cumsum([0, *(len(tokens) for _, tokens in sequences)])
    corpus = Corpus(
        np.array([token for _, tokens in sequences for token in tokens], np.int32),
        offsets.astype(np.int64),
        np.arange(len(sequences)),
        np.array([0 if train else 2**64 - 1 for train, _ in sequences], np.uint64),
        tuple(map(str, range(len(sequences)))),
        Vocabulary((b"a", b"b")),
    )
    there = [tokens for train, tokens in sequences if train]
    whole = {
        tuple(tokens[i : i + width]) for tokens in there for i in range(len(tokens) - width + 1)
    }
    ends = {tuple(tokens[len(tokens) // width * width :]) for tokens in there}
    looked = [
        tokens[i : i + width]
        for train, tokens in sequences
        if not train
        for i in range(0, len(tokens), width)
    ]
    windows = [tuple(window) for window in looked if len(window) >= min(8, width)]
    copied = [window for window in windows if window in (whole if len(window) == width else ends)]
    assert count_copied_windows(corpus, width) == CopiedWindows(len(windows), len(copied))
