"""Which tokens a subject takes for alike, and that a corpus keeps them."""

from pathlib import Path

import numpy as np
import torch
from tiny import tiny_subject

from gloss.collect.alike_tokens import ALIKE, alike_tokens
from gloss.collect.texts import NamedTexts
from gloss.collect.tokens import read_texts
from gloss.store.corpus import Corpus


def test_tokens_with_rows_that_point_the_same_way_are_alike_and_absent_ones_are_none() -> None:
    subject = tiny_subject()
    strings = subject.vocabulary().strings
    own = [i for i, string in enumerate(strings) if strings.index(string) == i]
    first, second, third, absent = own[3:7]
    rows = subject.model.get_input_embeddings().get_parameter("weight")
    with torch.no_grad():
        rows[second] = rows[first] * 3
        rows[absent] = rows[first]
    counts = np.ones(len(strings), np.int64)
    counts[absent] = 0
    found = alike_tokens(subject, counts)
    assert found.shape == (len(strings), ALIKE)
    assert found[first, 0] == second
    assert found[second, 0] == first
    assert found[third, 0] not in (-1, third)
    assert (found[absent] == -1).all()
    assert absent not in found


def test_a_corpus_keeps_them(folder: Path) -> None:
    subject = tiny_subject()
    read_texts(subject, NamedTexts((("a", "the cat sat on the mat"),)), folder, 16)
    corpus = Corpus.open(folder)
    counts = np.bincount(corpus.tokens, minlength=len(corpus.vocabulary))
    assert corpus.vocabulary.alike is not None
    assert np.array_equal(corpus.vocabulary.alike, alike_tokens(subject, counts))
    assert set(np.unique(corpus.vocabulary.alike)) - {-1} <= set(np.flatnonzero(counts))
