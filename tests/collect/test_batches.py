"""Activations for training: every token once an epoch, the right vector, mixed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SITE, START, WORDS, sentences

from gloss.collect.activation_batches import ShuffleSettings, activation_batches
from gloss.collect.column_values import Dialogue
from gloss.collect.site_reader import SiteReader
from gloss.collect.texts import Document, NamedTexts, TemplatedTexts
from gloss.collect.tokens import read_texts
from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import Message
from gloss.models.subject import Subject
from gloss.store.corpus import Corpus


@pytest.fixture
def corpus(subject: Subject, folder: Path) -> Corpus:
    read_texts(subject, NamedTexts(tuple(sentences(20))), folder, 32)
    return Corpus.open(folder)


def vectors_in_order(subject: Subject, corpus: Corpus) -> torch.Tensor:
    whole = torch.zeros(len(corpus), 16)
    for batch in SiteReader(subject, SITE, 64).read_batches(corpus.tokens, np.diff(corpus.offsets)):
        whole[batch.positions] = batch.vectors
    return whole


def test_padding_and_company_in_a_batch_change_nothing(subject: Subject, corpus: Corpus) -> None:
    whole = vectors_in_order(subject, corpus)
    for batch in SiteReader(subject, SITE, 10**5).read_batches(
        corpus.tokens, np.diff(corpus.offsets)
    ):
        torch.testing.assert_close(batch.vectors, whole[batch.positions], rtol=1e-4, atol=1e-5)


def test_a_batch_holds_no_more_positions_than_asked(subject: Subject) -> None:
    lengths = np.array([3, 31, 7, 31, 12, 1])
    batches = list(SiteReader(subject, SITE, 64).batches(lengths))
    assert sorted(np.concatenate(batches).tolist()) == list(range(6))
    assert [rows.tolist() for rows in batches] == [[1, 3], [4, 2, 0, 5]]


@pytest.mark.parametrize("epochs", [1, 3])
def test_every_token_comes_once_an_epoch(
    subject: Subject, corpus: Corpus, rng: np.random.Generator, epochs: int
) -> None:
    shuffle = ShuffleSettings(batch_size=50, buffer_tokens=300, epochs=epochs, batch_tokens=128)
    batches = list(activation_batches(subject, SITE, corpus, rng, shuffle))
    assert all(len(batch) == 50 for batch in batches[:-1])
    found = torch.cat(batches)
    assert len(found) == epochs * len(corpus)
    truth = vectors_in_order(subject, corpus).repeat(epochs, 1)
    torch.testing.assert_close(
        found.sort(dim=0).values, truth.sort(dim=0).values, rtol=1e-3, atol=1e-4
    )


def test_neighbours_in_the_text_are_taken_apart(
    subject: Subject, corpus: Corpus, rng: np.random.Generator
) -> None:
    [batch] = activation_batches(subject, SITE, corpus, rng, ShuffleSettings(batch_size=10**6))
    truth = vectors_in_order(subject, corpus)
    places = torch.cdist(batch[:200], truth).argmin(dim=1)
    assert ((places[1:] - places[:-1]) == 1).float().mean() < 0.05


def test_the_order_is_the_generators(subject: Subject, corpus: Corpus) -> None:
    def drawn(seed: int) -> torch.Tensor:
        return torch.cat(
            list(
                activation_batches(
                    subject,
                    SITE,
                    corpus,
                    np.random.default_rng(seed),
                    ShuffleSettings(buffer_tokens=200),
                )
            )
        )

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))


def test_it_is_told_how_many_tokens_were_read_before_the_first_batch(
    subject: Subject, corpus: Corpus, rng: np.random.Generator
) -> None:
    told: list[tuple[int, int | None]] = []
    shuffle = ShuffleSettings(batch_size=20, buffer_tokens=150, epochs=3, batch_tokens=64)
    batches = activation_batches(subject, SITE, corpus, rng, shuffle)
    batches.filling = lambda *one: told.append(one)
    next(batches)
    read = [done for done, _ in told]
    assert len(read) > 1
    assert read == sorted({*read})
    assert read[-1] >= 150 > read[-2]
    assert {total for _, total in told} == {None}
    for _ in batches:
        pass
    assert len(told) == len(read)  # later fillings are part of the training


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(BadSettings, match="epochs is 0"):
        ShuffleSettings(epochs=0)


def test_dialogues_are_trained_on_each_alone_in_its_template(
    subject: Subject, folder: Path, rng: np.random.Generator
) -> None:
    """Also where their template writes what ends a text in other places."""
    said = [" ".join(rng.choice(WORDS, 4)) for _ in range(24)]
    turns = [
        (("user", one), ("assistant", other))
        for one, other in zip(said[::2], said[1::2], strict=True)
    ]

    def template(messages: Sequence[Message]) -> str:
        return "".join(f"{each.role}: {each.text}<start>" for each in messages)

    dialogues = [Document(f"row {i}", iter([Dialogue(each)])) for i, each in enumerate(turns)]
    read_texts(subject, TemplatedTexts(dialogues, lambda: template), folder, 64)
    shuffle = ShuffleSettings(batch_size=10**6)
    [found] = activation_batches(subject, SITE, Corpus.open(folder), rng, shuffle)
    alone = [subject.encode(template([Message(*turn) for turn in each])) for each in turns]
    truth = torch.cat(
        [
            subject.run(torch.tensor([[START, *tokens]]), read=[SITE]).activations[SITE][0, 1:]
            for tokens in alone
        ]
    )
    assert len(found) == len(truth)
    torch.testing.assert_close(
        found.sort(dim=0).values, truth.sort(dim=0).values, rtol=1e-3, atol=1e-4
    )
