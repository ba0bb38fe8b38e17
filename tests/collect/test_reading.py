"""New texts are read as the corpus was: what `collect` stored of a sequence is read of it again."""

import numpy as np
import pytest
from tiny import sentences, tiny_dictionary, tiny_subject

from gloss.collect import subject_reader
from gloss.collect.collect import Collect
from gloss.collect.site_reader import SiteReader
from gloss.collect.stretch_codes import encode_stretch
from gloss.collect.subject_reader import SubjectReader
from gloss.collect.texts import NamedTexts
from gloss.store.activations import Activations
from gloss.store.corpus import Corpus
from gloss.store.evidence import NewTextReader


@pytest.mark.parametrize("start", [0, None])
def test_what_was_collected_is_read_again(start, tmp_path):
    subject, dictionary = tiny_subject(start), tiny_dictionary()
    Collect(context_length=32).run(subject, dictionary, NamedTexts(tuple(sentences(6))), tmp_path)
    corpus, stored = Corpus.open(tmp_path / "corpus"), Activations.open(tmp_path / "activations")
    reading = SubjectReader(SiteReader(subject, dictionary.reads, 64), dictionary, 31)
    assert isinstance(reading, NewTextReader)
    sequences = np.split(corpus.tokens, corpus.offsets[1:-1])
    for feature in (0, 7, 31):
        activations = stored.feature(feature)
        dense = np.zeros(len(corpus), np.float32)
        dense[activations.positions] = activations.values
        np.testing.assert_allclose(
            np.concatenate(reading.read(sequences, feature)), dense, rtol=2e-3, atol=1e-3
        )


def test_texts_are_cut_where_a_sequence_ends_and_none_may_be_empty():
    reading = SubjectReader(
        SiteReader(tiny_subject(), tiny_dictionary().reads, 64), tiny_dictionary(), 5
    )
    assert len(reading.encode("the cat sat on the mat and then the rain falls")) == 5
    assert reading.read([], 0) == []
    with pytest.raises(ValueError, match="sequence 1 of 2"):
        reading.read([reading.encode("cat"), reading.encode("")], 0)


def test_the_subject_reads_texts_once_for_all_features_until_they_are_too_many(monkeypatch):
    calls = []

    def counted(forward, dictionary, stretch):
        calls.append(stretch.tokens.tobytes())
        return encode_stretch(forward, dictionary, stretch)

    monkeypatch.setattr(subject_reader, "encode_stretch", counted)
    reading = SubjectReader(
        SiteReader(tiny_subject(), tiny_dictionary().reads, 64), tiny_dictionary(), 31
    )
    lists = [[reading.encode(text) for _, text in sentences(3 + number)] for number in range(6)]
    once = [np.concatenate(reading.read(texts, 7)) for texts in lists]
    for _ in range(2):  # as controls of each other, and as the contrast of another feature
        for texts, before in zip(lists, once, strict=True):
            np.testing.assert_array_equal(np.concatenate(reading.read(texts, 7)), before)
            reading.read(texts, 0)
    assert len(calls) == len(set(calls)) == len(lists)
    monkeypatch.setattr(subject_reader, "MOST_KEPT", 1)
    for texts in lists:
        reading.read([*texts, texts[0]], 7)
    assert len(calls) == 2 * len(lists)
    assert len(reading.kept) == 1
