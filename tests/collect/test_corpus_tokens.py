"""How text becomes sequences: never two documents in one, every token kept, the cap exact."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import sentences, tiny_subject

from gloss.collect.texts import BLOCK, NamedTexts
from gloss.collect.tokens import read_texts
from gloss.errors import Mismatch
from gloss.models.subject import Subject
from gloss.store.corpus import Corpus, corpus_stretches

SUBJECT = tiny_subject()


def corpus_of(
    texts: list[tuple[str, str]],
    folder: Path,
    context_length: int = 16,
    max_tokens: int | None = None,
) -> Corpus:
    read_texts(SUBJECT, NamedTexts(tuple(texts)), folder, context_length, max_tokens)
    return Corpus.open(folder)


def test_a_sequence_holds_one_document_and_leaves_room_for_the_start_token(folder: Path) -> None:
    texts = sentences(20)
    corpus = corpus_of(texts, folder)
    lengths = np.diff(corpus.offsets)
    assert lengths.max() == 15
    for number, (name, text) in enumerate(texts):
        own = np.flatnonzero(corpus.documents == number)
        tokens = [
            t
            for i in own
            for t in corpus.tokens[corpus.offsets[i] : corpus.offsets[i + 1]].tolist()
        ]
        assert tokens == SUBJECT.encode(text)
        assert corpus.names[number] == name
        assert (lengths[own[:-1]] == 15).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text("ab \n", max_size=40), min_size=1, max_size=12),
    st.integers(1, 60),
    st.integers(2, 20),
)
def test_the_cap_keeps_the_first_tokens_exactly(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cap: int, context: int
) -> None:
    whole = [token for text in texts for token in SUBJECT.encode(text)]
    if whole:
        folder = tmp_path_factory.mktemp("cap") / "corpus"
        corpus = corpus_of([(str(i), text) for i, text in enumerate(texts)], folder, context, cap)
        assert corpus.tokens.tolist() == whole[:cap]
        assert len(corpus.names) == len(corpus.hashes) == corpus.documents[-1] + 1


def test_documents_without_tokens_are_left_out(folder: Path) -> None:
    assert corpus_of([("a", ""), ("b", "cat"), ("c", "")], folder).names == ("b",)


def test_equal_texts_have_equal_hashes_even_where_one_is_cut_short(folder: Path) -> None:
    text = "the cat sat on the mat " * 20
    corpus = corpus_of([("a", text), ("b", text)], folder, max_tokens=len(SUBJECT.encode(text)) + 3)
    assert corpus.hashes[0] == corpus.hashes[1]
    assert np.diff(corpus.offsets)[-1] == 3


def test_a_document_longer_than_a_block_gives_the_tokens_of_the_whole(folder: Path) -> None:
    text = "the cat sat\nthe dog ran\n" * (BLOCK // 10)
    assert corpus_of([("a", text)], folder).tokens.tolist() == SUBJECT.encode(text)


def test_a_corpus_that_is_there_is_kept_if_the_texts_are_the_same(
    subject: Subject, folder: Path
) -> None:
    texts = NamedTexts(tuple(sentences(5)))
    first = read_texts(subject, texts, folder, 16)
    assert read_texts(subject, texts, folder, 16) == first
    for other, context in ((texts, 17), (NamedTexts(tuple(sentences(6))), 16)):
        with pytest.raises(Mismatch, match="was read from other texts"):
            read_texts(subject, other, folder, context)


def test_stretches_are_whole_sequences_and_together_the_corpus(folder: Path) -> None:
    corpus = corpus_of(sentences(30), folder)
    for size in (1, 40, 10**6):
        found = list(corpus_stretches(folder, size))
        assert np.concatenate([s.tokens for s in found]).tolist() == corpus.tokens.tolist()
        assert (
            np.concatenate([s.lengths for s in found]).tolist() == np.diff(corpus.offsets).tolist()
        )
        assert [s.number for s in found] == list(range(len(found)))
        assert all(len(s.tokens) - s.lengths[-1] < size <= len(s.tokens) for s in found[:-1])
        assert [s.first for s in found] == np.cumsum(
            [0] + [len(s.tokens) for s in found[:-1]]
        ).tolist()


def test_the_vocabulary_is_stored_with_the_corpus(folder: Path) -> None:
    corpus = corpus_of([("a", "the cat é")], folder)
    assert corpus.vocabulary == SUBJECT.vocabulary()
    assert corpus.vocabulary.text(corpus.tokens.tolist()) == "the cat é"
