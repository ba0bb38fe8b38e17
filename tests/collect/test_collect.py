"""Collecting against a brute-force reading of every sequence by itself, and what it refuses."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SITE, START, sentences, tiny_dictionary, tiny_subject

from gloss.collect.code_shards import CodeShards
from gloss.collect.collect import Collect
from gloss.collect.texts import NamedTexts, open_texts
from gloss.errors import BadInput, BadSettings, Mismatch, Unwritable
from gloss.models.dictionary import SparseCoder
from gloss.models.neurons import Neurons
from gloss.models.subject import Subject
from gloss.store.activations import Activations
from gloss.store.corpus import Corpus
from gloss.store.sealed_json import read_sealed_json, seal_json

COLLECT = Collect(context_length=32, batch_tokens=256, shard_tokens=300)
TEXTS = NamedTexts(tuple(sentences(25)))


def by_hand(subject: Subject, dictionary: SparseCoder, corpus: Corpus) -> np.ndarray:
    """Every activation, from one sequence at a time, without padding or shards."""
    rows = []
    for first, last in zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True):
        tokens = torch.tensor([[START, *corpus.tokens[first:last].tolist()]])
        x = subject.run(tokens, read=[SITE]).activations[SITE][0, 1:]
        rows.append(dictionary.encode(x).dense(dictionary.width).numpy())
    return np.concatenate(rows)


def dense(activations: Activations) -> np.ndarray:
    """Every stored activation."""
    whole = np.zeros((activations.tokens, activations.width), np.float32)
    for index in range(activations.width):
        feature = activations.feature(index)
        assert (np.diff(feature.positions) > 0).all()
        whole[feature.positions, index] = feature.values
    return whole


def test_stored_activations_equal_each_sequence_run_by_itself(
    subject: Subject, dictionary: SparseCoder, folder: Path
) -> None:
    report = COLLECT.run(subject, dictionary, TEXTS, folder)
    corpus, activations = Corpus.open(folder / "corpus"), Activations.open(folder / "activations")
    truth = by_hand(subject, dictionary, corpus)
    np.testing.assert_allclose(dense(activations), truth, rtol=2e-3, atol=1e-5)
    assert report.nonzeros == (truth != 0).sum() == activations.counts.sum()
    assert (report.tokens, report.sequences, report.documents) == (
        len(corpus),
        len(corpus.documents),
        25,
    )
    assert report.l0 == pytest.approx(4, abs=0.2)


def test_values_beyond_16_bits_are_stored_with_a_scale(subject: Subject, folder: Path) -> None:
    for power in (2.0**30, 2.0**-30):
        dictionary = tiny_dictionary(scale=power)
        COLLECT.run(subject, dictionary, TEXTS, folder / str(power))
        found = dense(Activations.open(folder / str(power) / "activations"))
        truth = by_hand(subject, dictionary, Corpus.open(folder / str(power) / "corpus"))
        np.testing.assert_allclose(found, truth, rtol=2e-3, atol=power * 1e-5)
        assert ((found != 0) == (truth != 0)).all()


def test_neurons_are_collected_as_two_tails(subject: Subject, folder: Path) -> None:
    down = (
        subject.model.get_submodule("model.layers.1.mlp.down_proj").get_parameter("weight").detach()
    )
    COLLECT.run(subject, Neurons(1, down.T.contiguous(), torch.zeros(16)), TEXTS, folder)
    activations = Activations.open(folder / "activations")
    assert (activations.counts[0::2] + activations.counts[1::2] == activations.tokens).all()


def test_a_subject_without_a_start_token_fills_its_sequences_with_text(
    dictionary: SparseCoder, folder: Path
) -> None:
    COLLECT.run(tiny_subject(start_token=None), dictionary, TEXTS, folder)
    assert np.diff(Corpus.open(folder / "corpus").offsets).max() == 32


def test_a_finished_folder_is_left_as_it_is(
    subject: Subject, dictionary: SparseCoder, folder: Path
) -> None:
    first = COLLECT.run(subject, dictionary, TEXTS, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert COLLECT.run(subject, dictionary, TEXTS, folder) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("broken", [0, 2])
def test_a_shard_that_cannot_be_written_ends_the_collecting_and_the_rest_is_made_later(
    subject: Subject,
    dictionary: SparseCoder,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: int,
) -> None:
    written: list[int] = []
    write = CodeShards.write

    def full(shards: CodeShards, number: int, *rest: Any) -> None:
        if number == broken:
            raise Unwritable("the disk is full")
        write(shards, number, *rest)
        written.append(number)

    with monkeypatch.context() as patch:
        patch.setattr(CodeShards, "write", full)
        with pytest.raises(Unwritable, match="the disk is full"):
            COLLECT.run(subject, dictionary, TEXTS, folder)
    assert written == list(range(broken))  # in their order, and none after it
    COLLECT.run(subject, dictionary, TEXTS, folder)
    COLLECT.run(subject, dictionary, TEXTS, tmp_path / "whole")
    for file in (tmp_path / "whole" / "activations").iterdir():
        assert (folder / "activations" / file.name).read_bytes() == file.read_bytes(), file.name


def test_progress_counts_tokens_up_to_all_of_them(
    subject: Subject, dictionary: SparseCoder, folder: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    report = COLLECT.run(
        subject, dictionary, TEXTS, folder, lambda done, total: seen.append((done, total))
    )
    assert seen[0] == (0, report.tokens)
    assert seen[-1] == (report.tokens, report.tokens)
    assert seen == sorted(seen)
    # also inside a shard, which may take minutes
    assert max(np.diff([done for done, _ in seen])) <= COLLECT.batch_tokens


@pytest.mark.parametrize(
    "changed, says",
    [
        (
            {"settings": dataclasses.replace(COLLECT, batch_tokens=128)},
            "batch_tokens (256 there, 128 here)",
        ),
        (
            {"settings": dataclasses.replace(COLLECT, context_length=16)},
            "read from other texts, with another tokenizer or other",
        ),
        ({"texts": NamedTexts(tuple(sentences(25, seed=7)))}, "read from other texts"),
        ({"dictionary": tiny_dictionary(seed=2)}, "made with another dictionary;"),
        ({"dictionary": tiny_dictionary(k=3)}, "made with another dictionary;"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_what_was_made_from_something_else_is_never_reused(
    subject: Subject,
    dictionary: SparseCoder,
    folder: Path,
    changed: dict,
    says: str,
    *,
    finished: bool,
) -> None:
    if finished:
        COLLECT.run(subject, dictionary, TEXTS, folder)
    else:
        stop_after_a_shard(subject, dictionary, folder)
    before = sorted(folder.rglob("*"))
    settings = changed.get("settings", COLLECT)
    with pytest.raises(Mismatch, match="give another folder, or delete") as refused:
        settings.run(
            subject, changed.get("dictionary", dictionary), changed.get("texts", TEXTS), folder
        )
    assert says in str(refused.value)
    assert sorted(folder.rglob("*")) == before


def stop_after_a_shard(subject: Subject, dictionary: SparseCoder, folder: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done and len([*(folder / "shards").iterdir()]) > 1:  # a shard beside the manifest
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        COLLECT.run(subject, dictionary, TEXTS, folder, stop)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "corpus", "shards"]


def test_a_shard_of_another_key_is_refused(
    subject: Subject, dictionary: SparseCoder, folder: Path
) -> None:
    stop_after_a_shard(subject, dictionary, folder)
    manifest = folder / "shards" / "manifest.json"
    changed = read_sealed_json(manifest)
    changed["made_from"]["settings"]["shard_tokens"] = 301
    manifest.write_bytes(seal_json(changed))
    with pytest.raises(Mismatch, match="was made under key"):
        dataclasses.replace(COLLECT, shard_tokens=301).run(subject, dictionary, TEXTS, folder)


def test_a_dictionary_of_another_width_or_layer_is_refused_before_anything_is_written(
    subject: Subject, folder: Path
) -> None:
    good = tiny_dictionary()
    narrow = dataclasses.replace(
        good,
        weights=dataclasses.replace(
            good.weights,
            encoder=torch.zeros(48, 8),
            decoder_directions=torch.zeros(48, 8),
            bias=torch.zeros(8),
        ),
    )
    none = dataclasses.replace(
        good,
        weights=dataclasses.replace(
            good.weights,
            encoder=torch.zeros(0, 16),
            decoder_directions=torch.zeros(0, 16),
            encoder_bias=torch.zeros(0),
        ),
    )
    for wrong, says in ((narrow, "vectors of 8 numbers"), (none, "width 0")):
        with pytest.raises(Mismatch, match=says):
            COLLECT.run(subject, wrong, TEXTS, folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"context_length": 1}, "context_length is 1"),
        ({"context_length": 65}, "at most 64"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    subject: Subject, dictionary: SparseCoder, folder: Path, settings: dict, says: str
) -> None:
    with pytest.raises(BadSettings, match=says):
        Collect(**settings).run(subject, dictionary, TEXTS, folder)
    assert not folder.exists()


def test_sizes_below_one_are_refused() -> None:
    for name in ("batch_tokens", "shard_tokens"):
        with pytest.raises(BadSettings, match=name):
            Collect(**{name: 0})


def test_activations_that_are_not_finite_are_refused(subject: Subject, folder: Path) -> None:
    with pytest.raises(Mismatch, match="not a finite number"):
        COLLECT.run(subject, tiny_dictionary(scale=float("inf")), TEXTS, folder)


def test_bad_text_leaves_nothing_behind(
    subject: Subject, dictionary: SparseCoder, tmp_path: Path, folder: Path
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("the cat sat\n" * 2000)
    (texts / "b.txt").write_bytes("caf\xe9 au lait".encode("latin-1"))
    with pytest.raises(BadInput, match=r"b.txt is not UTF-8: byte 0xe9 at offset 3"):
        COLLECT.run(subject, dictionary, open_texts(texts), folder)
    assert not folder.exists()


def test_empty_texts_are_refused(subject: Subject, dictionary: SparseCoder, folder: Path) -> None:
    with pytest.raises(BadInput, match="no document holds a token"):
        COLLECT.run(subject, dictionary, NamedTexts((("a", ""), ("b", ""))), folder)
    assert not folder.exists()
