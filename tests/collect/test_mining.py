"""What mining keeps adds up in any order, says what the whole says, and does not grow with text."""

import dataclasses
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_killed import files, finished, start
from tiny import sentences

from gloss.collect.code_shards import CodeTriples
from gloss.collect.collect import Collect
from gloss.collect.mined_part import ARRAYS, MinedPart, Mining, rounded_to_16_bits
from gloss.collect.mined_shards import MinedShards
from gloss.collect.mined_store import WeighedSample
from gloss.collect.part_files import BlockFile
from gloss.collect.sequence_table import SequenceTable, copy_numbers, mixed, priorities
from gloss.collect.texts import NamedTexts
from gloss.errors import BadSettings, Damaged, Mismatch
from gloss.models.dictionary import SparseCoder
from gloss.models.subject import Subject
from gloss.records import FeatureActivations
from gloss.store.activations import Activations
from gloss.store.corpus import Corpus
from gloss.store.mined import MinedActivations
from gloss.store.parquet import open_parquet

LENGTH, WIDTH = 10, 12  # tokens of a sequence, features
MINING = Mining(kept=3, strongest=2, background=16, seed=5)
FULL = Collect(context_length=16, batch_tokens=256, shard_tokens=500)
MINED = dataclasses.replace(FULL, mined=MINING)


def sequence_table(number: int, seed: int = 0) -> SequenceTable:
    """So many sequences of one length, of both splits, with a background drawn among them."""
    identities = mixed(np.arange(number, dtype=np.uint64))
    in_train = identities % np.uint64(2) == 0
    drawn = mixed(identities + np.uint64(seed))
    background = np.sort(np.argsort(drawn)[: MINING.background])
    return SequenceTable(identities, LENGTH * np.arange(number), in_train, background)


def planted(rng: np.random.Generator, sequences: int) -> np.ndarray:
    """Activations (token, feature) of features from rare to dense, one of which is negative."""
    rates = np.geomspace(0.003, 0.9, WIDTH)
    dense = rng.lognormal(0, 2, (sequences * LENGTH, WIDTH)) * (
        rng.random((sequences * LENGTH, WIDTH)) < rates
    )
    dense[:, 3] *= -1
    return rounded_to_16_bits(dense.astype(np.float32))


def codes(dense: np.ndarray) -> CodeTriples:
    positions, features = dense.nonzero()
    return CodeTriples(
        features.astype(np.int32), positions.astype(np.uint32), dense[positions, features]
    )


def whole_part(dense: np.ndarray, table: SequenceTable, first: int, last: int) -> MinedPart:
    """The part of these sequences, with nothing left out."""
    features, tokens = dense[first * LENGTH : last * LENGTH].T.nonzero()
    sequences = first + tokens // LENGTH
    background = np.isin(sequences, table.background)
    part = MinedPart.of(
        features.astype(np.int32),
        sequences,
        (tokens % LENGTH).astype(np.int32),
        dense[first * LENGTH + tokens, features],
        table.in_train[sequences],
        background,
    )
    drawn = priorities(MINING.seed, part.features, table.identities[part.sequences])
    return dataclasses.replace(part, priorities=drawn)


def same(one: MinedPart, other: MinedPart) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    borders=st.lists(st.integers(1, 199), max_size=6, unique=True).map(sorted),
)
def test_parts_add_up_to_the_part_of_the_whole_in_any_grouping(
    seed: int, borders: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    dense, table = planted(rng, 200), sequence_table(200)
    once = whole_part(dense, table, 0, 200).sampled(MINING)
    assert len(once.features) < len(whole_part(dense, table, 0, 200).features) * 0.8
    pairs = zip([0, *borders], [*borders, 200], strict=True)
    parts = [whole_part(dense, table, *pair).sampled(MINING) for pair in pairs]
    rng.shuffle(parts)
    while len(parts) > 1:  # any number of them, in any order
        some = int(rng.integers(2, len(parts) + 1))
        merged = MinedPart.together(parts[:some]).sampled(MINING)
        parts = [*parts[some:], merged]
    assert same(parts[0], once)


def test_a_sample_that_is_not_drawn_by_priority_does_not_add_up() -> None:
    # the control: first come, first kept depends on the order
    dense, table = planted(np.random.default_rng(0), 200), sequence_table(200)
    halves = [whole_part(dense, table, *pair) for pair in ((0, 100), (100, 200))]
    orders = [
        [
            dataclasses.replace(
                part, priorities=np.arange(len(part.features), dtype=np.uint64)
            ).sampled(MINING)
            for part in order
        ]
        for order in (halves, halves[::-1])
    ]
    once = whole_part(dense, table, 0, 200)
    once = dataclasses.replace(once, priorities=np.arange(len(once.features), dtype=np.uint64))
    assert not same(MinedPart.together(orders[0]).sampled(MINING), once.sampled(MINING))


def stored(
    dense: np.ndarray, table: SequenceTable, folder: Path, each: int, mining: Mining = MINING
) -> MinedShards:
    shards = MinedShards(folder, "key", table, mining, WIDTH)
    for number, first in enumerate(range(0, len(table), each)):
        lengths = np.full(min(each, len(table) - first), LENGTH)
        own = dense[first * LENGTH : (first + each) * LENGTH]
        shards.write(number, first * LENGTH, lengths, WIDTH, codes(own))
    return shards


def test_whatever_the_stretches_the_merged_file_holds_the_same(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    dense, table = planted(rng, 200), sequence_table(200)
    once = whole_part(dense, table, 0, 200).sampled(MINING)
    for each in (1, 7, 64, 200):
        shards = stored(dense, table, tmp_path / str(each), each)
        left = len(list((tmp_path / str(each)).iterdir()))
        assert left <= 7 * 3  # eight of each level are one of the next
        file = shards.all(-(-200 // each))
        parts = [MinedPart(**file.block(number)) for number in range(1, len(file))]
        assert same(MinedPart.together(parts), once)
        assert [path.name for path in (tmp_path / str(each)).glob("*.blocks")] == ["all.blocks"]


def test_parts_of_another_key_are_refused_and_cut_ones_are_made_again(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    dense, table = planted(rng, 40), sequence_table(40)
    shards = stored(dense, table, tmp_path, 20)
    assert shards.whole_stretches([0]) == {0}
    assert not shards.whole_stretches([2])
    assert {path for path, *_ in shards.whole} == {shards.path(0)}  # held against their hashes
    with pytest.raises(Mismatch, match="made under key"):
        dataclasses.replace(shards, key="another").whole_stretches([0])
    for cut in (slice(1, None), slice(None, -1)):
        content = shards.path(0).read_bytes()
        shards.path(0).write_bytes(content[cut])
        assert not shards.whole_stretches([0])
        shards.path(0).write_bytes(content)


def test_the_background_is_drawn_from_both_splits_whatever_is_written_there(
    folder: Path, subject: Subject, dictionary: SparseCoder
) -> None:
    MINED.run(subject, dictionary, NamedTexts(tuple(sentences(100))), folder)
    of = [
        SequenceTable.of(folder / "corpus", folder / f"table-{seed}", 16, seed).background
        for seed in (5, 5, 6)
    ]
    kept = Corpus.open(folder / "kept")
    assert kept.numbers is not None
    assert kept.background == 16
    assert of[0].tolist() == of[1].tolist() == kept.numbers[:16].tolist()
    assert of[0].tolist() != of[2].tolist()
    assert kept.documents_in_train[kept.documents][:16].sum() == 8


def counted_activations(folder: Path) -> SimpleNamespace:
    """What lies in a folder, whole or mined."""
    mined = (folder / "kept").exists()
    corpus = Corpus.open(folder / ("kept" if mined else "corpus"))
    return SimpleNamespace(corpus=corpus, activations=Activations.open(folder / "activations"))


def values_at(corpus: Corpus, found: FeatureActivations) -> np.ndarray:
    whole = np.zeros(len(corpus), np.float32)
    whole[found.positions] = found.values
    return whole


def test_what_is_kept_is_what_a_full_store_holds_there_and_counts_are_exact(
    tmp_path: Path, subject: Subject, dictionary: SparseCoder
) -> None:
    texts = NamedTexts(tuple(sentences(200)))
    reports = [
        collect.run(subject, dictionary, texts, tmp_path / name)
        for collect, name in ((FULL, "full"), (MINED, "mined"))
    ]
    assert dataclasses.replace(reports[0], bytes=reports[1].bytes) == reports[1]
    assert reports[1].bytes < 0.4 * reports[0].bytes
    full, mined = (counted_activations(tmp_path / name) for name in ("full", "mined"))
    assert isinstance(mined.activations, MinedActivations)
    for name in ("count", "dead", "min", "max", "sequence_share", "token_share", "histogram"):
        assert mined.activations.statistics[name].equals(full.activations.statistics[name]), name
    for name in ("mean", "quantiles"):
        one, other = (
            np.array(side.activations.statistics[name].to_pylist(), float) for side in (full, mined)
        )
        # a quantile is the mean of a bin of a quarter octave
        np.testing.assert_allclose(one, other, rtol=1e-9 if name == "mean" else 2**0.25 - 1)
    in_train = mined.corpus.documents_in_train[mined.corpus.documents]
    every = full.corpus.documents_in_train[full.corpus.documents]
    assert (every[mined.corpus.numbers] == in_train).all()
    for index in range(mined.activations.width):
        found = mined.activations.feature(index)
        weights = found.known.of_sequences(in_train)
        one = values_at(full.corpus, full.activations.feature(index))
        other = values_at(mined.corpus, found)
        for place in np.flatnonzero(weights):
            number = mined.corpus.numbers[place]
            there = slice(*full.corpus.offsets[number : number + 2])
            here = slice(*mined.corpus.offsets[place : place + 2])
            assert (one[there] == other[here]).all()
            assert (full.corpus.tokens[there] == mined.corpus.tokens[here]).all()
        # every sequence of a split is stood for, unless the background has no silent one
        for split in (True, False):
            silent = (weights > 0) & (in_train == split)
            silent[found.known.firing] = False
            number = np.sum(every == split)
            assert weights[in_train == split].sum() == pytest.approx(number) or not silent.any()


def test_the_strata_count_every_sequence_and_token(
    tmp_path: Path, subject: Subject, dictionary: SparseCoder
) -> None:
    MINED.run(subject, dictionary, NamedTexts(tuple(sentences(200))), tmp_path / "mined")
    activations = Activations.open(tmp_path / "mined" / "activations")
    with open_parquet(activations.folder / "strata.parquet") as file:
        strata = file.read().to_pandas()
    assert (
        strata.groupby("feature").tokens.sum() == activations.counts[activations.counts > 0]
    ).all()
    assert (strata.kept <= strata.sequences).all()
    assert (strata.kept >= np.minimum(strata.sequences, 1)).all()
    assert (strata.kept < strata.sequences).any()


def test_weights_are_right_on_average_and_counting_without_them_is_not(
    rng: np.random.Generator,
) -> None:
    # how often each feature fires in what is held out, from the sample alone
    dense, table = planted(rng, 400), sequence_table(400)
    truth = (dense != 0).reshape(400, LENGTH, WIDTH).sum(1)[~table.in_train].sum(0)
    weighted, plain = [], []
    for seed in range(150):
        table = sequence_table(400, seed)
        found = whole_part(dense, table, 0, 400)
        found = dataclasses.replace(
            found, priorities=priorities(seed, found.features, table.identities[found.sequences])
        ).sampled(MINING)
        sample = sample_weights(found, table)
        own = (found.flags & 1) == 0
        for into, each in ((weighted, sample), (plain, np.ones(len(sample)))):
            into.append(np.bincount(found.features[own], (each * found.lengths)[own], WIDTH))
    mean, error = np.mean(weighted, 0), np.std(weighted, 0) / np.sqrt(150)
    assert (np.abs(mean - truth) <= 4 * error + 1e-9).all()
    assert (np.mean(plain, 0)[-4:] < 0.7 * truth[-4:]).all()


def sample_weights(part: MinedPart, table: SequenceTable) -> np.ndarray:
    shards = MinedShards(Path(), "key", table, MINING, WIDTH)
    return WeighedSample.of(part, shards, 0, WIDTH).weights


def test_what_is_kept_does_not_grow_with_the_text(tmp_path: Path) -> None:
    rng, sizes = np.random.default_rng(1), []
    for number in (8_000, 32_000):
        dense, table = planted(rng, number), sequence_table(number)
        shards = stored(dense, table, tmp_path / str(number), 1_000)
        path = shards.all(-(-number // 1_000)).path
        sizes.append(path.stat().st_size)
    assert sizes[1] < 1.25 * sizes[0]  # rare features fill up


@pytest.mark.timeout(300)
def test_kills_leave_no_trace(tmp_path: Path, rng: np.random.Generator) -> None:
    assert finished(start(tmp_path / "undisturbed", mined=MINING)) == 0
    undisturbed = files(tmp_path / "undisturbed")
    assert {Path(name).parts[0] for name in undisturbed} == {
        ".lock",
        "corpus",
        "kept",
        "activations",
    }
    deaths, folder = 0, tmp_path / "collected"
    for dies_at in rng.integers(5, 60, 3).tolist():
        deaths += finished(start(folder, dies_at, MINING)) == -signal.SIGKILL
    assert deaths >= 2
    assert finished(start(folder, mined=MINING)) == 0
    assert files(folder) == undisturbed


def test_other_settings_are_another_store(
    folder: Path, subject: Subject, dictionary: SparseCoder
) -> None:
    texts = NamedTexts(tuple(sentences(30)))
    MINED.run(subject, dictionary, texts, folder)
    for other in (dataclasses.replace(MINED, mined=dataclasses.replace(MINING, kept=4)), FULL):
        with pytest.raises(Mismatch, match="made with another"):
            other.run(subject, dictionary, texts, folder)
    with pytest.raises(BadSettings, match="kept is 1; give 2 or more"):
        Mining(kept=1)


def test_copies_of_a_text_are_drawn_each_by_itself(
    folder: Path, subject: Subject, dictionary: SparseCoder
) -> None:
    """Else a text that stands many times would be kept as if it stood once, at a wrong weight."""
    assert copy_numbers(np.array([5, 7, 5, 5], np.uint64)).tolist() == [0, 0, 1, 2]
    said = [text for _, text in sentences(1)] * 60 + [text for _, text in sentences(30)]
    texts = NamedTexts(tuple((str(number), text) for number, text in enumerate(said)))
    MINED.run(subject, dictionary, texts, folder)
    table = SequenceTable.of(folder / "corpus", folder / "table", 16, 5)
    assert len(np.unique(table.identities)) == len(table)


def test_what_belongs_together_is_made_again_together(
    folder: Path, subject: Subject, dictionary: SparseCoder
) -> None:
    texts = NamedTexts(tuple(sentences(60)))
    MINED.run(subject, dictionary, texts, folder)
    undisturbed = files(folder)
    for lost in ("kept", "activations"):
        shutil.rmtree(folder / lost)
        MINED.run(subject, dictionary, texts, folder)
        assert files(folder) == undisturbed


def test_a_merged_part_that_is_damaged_is_read_again(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    dense, table = planted(rng, 160), sequence_table(160)
    whole = stored(dense, table, tmp_path / "whole", 10).all(16).path.read_bytes()
    shards = stored(dense, table, tmp_path / "damaged", 10)
    merged = shards.path(0, 1)
    content = bytearray(merged.read_bytes())
    content[len(content) // 3] ^= 1
    merged.write_bytes(content)
    with pytest.raises(Damaged):
        dict(enumerate(shards.merged([BlockFile.open(merged, shards.key)])))
    again = dataclasses.replace(shards)
    assert again.whole_stretches(range(16)) == set(range(8, 16))
    assert stored(dense, table, tmp_path / "damaged", 10).all(16).path.read_bytes() == whole
