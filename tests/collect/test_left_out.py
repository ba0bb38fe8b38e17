"""Special tokens: an end of text ends a document, the others are read and count nowhere."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SITE, START, sentences, tiny_dictionary, tiny_subject, tiny_tokenizer
from tokenizers import AddedToken

from gloss.collect.activation_batches import ShuffleSettings, activation_batches
from gloss.collect.collect import Collect
from gloss.collect.column_values import TokenNumbers
from gloss.collect.left_out_tokens import find_left_out_tokens
from gloss.collect.texts import Document, NamedTexts
from gloss.collect.tokens import read_texts
from gloss.errors import BadSettings
from gloss.models.model_settings import LeaveOut, require_leave_out
from gloss.models.pretrained.special_tokens import SpecialTokens
from gloss.models.pretrained.tokenizer import PlainTokenizer
from gloss.models.subject import Subject
from gloss.store.activations import Activations
from gloss.store.corpus import Corpus

END, TURN, PAD = "<|endoftext|>", "<|turn|>", "<pad>"


@pytest.fixture(scope="module")
def marked() -> Subject:
    """The tiny subject with an end of text, a mark between turns and a pad."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in (END, TURN, PAD)])
    subject = tiny_subject()
    subject.model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    return Subject(subject.model, PlainTokenizer(tokenizer, START))


def number(subject: Subject, name: str) -> int:
    return subject.tokens.tokenizer.token_to_id(name)


def corpus_of(
    subject: Subject, texts: list[str], folder: Path, leave_out: LeaveOut = "special"
) -> Corpus:
    read_texts(
        subject,
        NamedTexts(tuple((f"text {i}", text) for i, text in enumerate(texts))),
        folder,
        16,
        None,
        leave_out,
    )
    return Corpus.open(folder)


def test_an_end_of_text_ends_a_document_and_is_not_read(marked: Subject, folder: Path) -> None:
    stories = [text for _, text in sentences(6)]
    corpus = corpus_of(marked, [f"{END}\n".join(stories) + END + END], folder)
    alone = corpus_of(marked, stories, folder.with_name("alone"))
    assert corpus.tokens.tolist() == alone.tokens.tolist()
    assert corpus.offsets.tolist() == alone.offsets.tolist()
    # so that a copy in another file lands on the same side
    assert corpus.hashes.tolist() == alone.hashes.tolist()
    assert corpus.names == ("text 0", *(f"text 0:{i}" for i in range(2, 7)))


def test_without_it_among_the_left_out_an_end_of_text_is_a_token_like_others(
    marked: Subject, folder: Path
) -> None:
    text = f"the cat{END}the dog"
    for place, leave_out in enumerate(("none", (TURN,))):
        corpus = corpus_of(marked, [text], folder / str(place), leave_out)
        assert len(corpus.names) == 1
        assert number(marked, END) in corpus.tokens


def test_a_start_token_in_front_of_a_text_is_not_doubled(marked: Subject, folder: Path) -> None:
    corpus = corpus_of(marked, ["<start>the cat", "the cat<start>the dog"], folder)
    assert START not in corpus.tokens
    assert len(corpus.names) == 3  # within a text it begins another


def test_token_numbers_end_at_the_same_tokens(marked: Subject, folder: Path) -> None:
    end, words = number(marked, END), marked.encode("the cat sat")
    rows = ((START, *words, end, end, *words, number(marked, TURN)), tuple(words))

    class Rows:
        def __iter__(self) -> Iterator[Document]:
            for row, ids in enumerate(rows):
                yield Document(f"row {row}", iter((TokenNumbers(ids),)))

    read_texts(marked, Rows(), folder, 64)
    corpus = Corpus.open(folder)
    assert corpus.names == ("row 0", "row 0:2", "row 1")
    assert corpus.tokens.tolist() == [*words, *words, number(marked, TURN), *words]
    assert corpus.hashes[0] != corpus.hashes[1]


def test_rows_of_token_numbers_lose_what_fills_them_up(marked: Subject, folder: Path) -> None:
    pad, words = number(marked, PAD), marked.encode("the cat sat")
    padded = Subject(
        marked.model,
        PlainTokenizer(
            marked.tokens.tokenizer,
            START,
            SpecialTokens.of(marked.tokens.tokenizer, {"pad_token": PAD}),
        ),
    )
    rows = ((*words, pad, pad), (pad, START, *words, pad, *words), (pad, pad))

    class Rows:
        def __iter__(self) -> Iterator[Document]:
            for row, ids in enumerate(rows):
                yield Document(f"row {row}", iter((TokenNumbers(ids),)))

    read_texts(padded, Rows(), folder / "out", 64)
    assert Corpus.open(folder / "out").tokens.tolist() == [*words, *words, pad, *words]
    read_texts(padded, Rows(), folder / "kept", 64, leave_out="none")
    assert Corpus.open(folder / "kept").tokens.tolist().count(pad) == 6


def test_a_text_that_the_tokenizer_does_not_read_as_the_token_stays_text(folder: Path) -> None:
    subject = tiny_subject()  # knows no end of text but its start token
    corpus = corpus_of(subject, [f"the cat{END}the dog </s> ran"], folder)
    assert corpus.tokens.tolist() == subject.encode(f"the cat{END}the dog </s> ran")


def test_nothing_is_stored_at_special_tokens_and_everywhere_else_all_is_as_before(
    marked: Subject, folder: Path
) -> None:
    rng = np.random.default_rng(3)
    texts = NamedTexts(
        tuple(
            (name, text.replace(" cat", rng.choice([TURN, PAD, " cat"])))
            for name, text in sentences(25)
        )
    )
    dictionary = tiny_dictionary()
    collect = Collect(context_length=32, batch_tokens=256, shard_tokens=300, massive=0.0)
    report = collect.run(marked, dictionary, texts, folder)
    every = Collect(
        context_length=32, batch_tokens=256, shard_tokens=300, massive=0.0, leave_out="none"
    )
    every.run(marked, dictionary, texts, folder / "every")
    corpus, found = Corpus.open(folder / "corpus"), Activations.open(folder / "activations")
    special = np.flatnonzero(np.isin(corpus.tokens, [number(marked, TURN), number(marked, PAD)]))
    assert len(special) > 20
    assert found.left_out.tolist() == special.tolist()
    assert (report.left_out, report.massive) == (len(special), 0)
    assert Activations.open(folder / "every" / "activations").left_out.tolist() == []
    for index in range(dictionary.width):
        here, there = (
            found.feature(index),
            Activations.open(folder / "every" / "activations").feature(index),
        )
        kept = ~np.isin(there.positions, special)
        assert here.positions.tolist() == there.positions[kept].tolist()
        np.testing.assert_array_equal(here.values, there.values[kept])
    shares = found.statistics["token_share"].to_numpy()
    np.testing.assert_allclose(shares, found.counts / (len(corpus) - len(special)))
    assert report.l0 == pytest.approx(4, abs=0.2)


def test_training_never_sees_special_tokens(marked: Subject, folder: Path) -> None:
    corpus = corpus_of(marked, [f"the cat{TURN} sat on{PAD}{PAD} mat"] * 5, folder)
    ids = find_left_out_tokens(marked, "special")
    every = torch.cat(
        list(activation_batches(marked, SITE, corpus, np.random.default_rng(0), ShuffleSettings()))
    )
    kept = torch.cat(
        list(
            activation_batches(
                marked, SITE, corpus, np.random.default_rng(0), ShuffleSettings(), left_out=ids
            )
        )
    )
    assert len(every) - len(kept) == np.isin(corpus.tokens, list(ids)).sum() == 15
    distances = torch.cdist(every.double(), kept.double()).min(dim=1).values
    assert int((distances > 1e-6).sum()) == 15


def test_a_list_names_tokens_by_text_or_number(marked: Subject) -> None:
    assert find_left_out_tokens(marked, (TURN, 7, "a")) == {
        number(marked, TURN),
        7,
        marked.encode("a")[0],
    }
    assert find_left_out_tokens(marked, "none") == find_left_out_tokens(marked, ()) == frozenset()
    for wrong, says in (
        ((400,), "go from 0 to 316"),
        (("the cat sat",), "which is 3 tokens"),
        (("",), "which is 0 tokens"),
    ):
        with pytest.raises(BadSettings, match=says):
            find_left_out_tokens(marked, wrong)
    for unknown in ("specials", (True,), (1.5,)):
        with pytest.raises(BadSettings, match='give "special", "none", or a list'):
            require_leave_out(unknown)
