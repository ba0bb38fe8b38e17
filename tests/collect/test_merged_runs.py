"""A merge of finished collects is one collect over all of their texts."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from test_killed import files
from tiny import sentences, tiny_dictionary, tiny_subject

from gloss.collect.collect import Collect
from gloss.collect.merged_runs import MergeReport, following_each_other, merge_collects
from gloss.collect.mined_part import Mining
from gloss.collect.texts import NamedTexts
from gloss.errors import BadInput, Mismatch
from gloss.store.activations import Activations
from gloss.store.atomic import new_folder
from gloss.store.corpus import Corpus, corpus_stretches, read_column
from gloss.store.lock import LOCK
from gloss.store.sealed_json import read_sealed_json, seal_json

MINING = Mining(kept=3, strongest=2, background=16, seed=5)
FULL = Collect(context_length=16, batch_tokens=256, shard_tokens=150)
KINDS = {"full": FULL, "mined": dataclasses.replace(FULL, mined=MINING)}
TEXTS = sentences(160)
Named = list[tuple[str, str]]


def with_mining(**changed: int) -> Collect:
    return dataclasses.replace(FULL, mined=dataclasses.replace(MINING, **changed))


def collected(asked: Collect, texts: Named, folder: Path) -> Path:
    asked.run(tiny_subject(), tiny_dictionary(), NamedTexts(tuple(texts)), folder)
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if LOCK not in name}


def merged(folders: list[Path], into: Path) -> MergeReport:
    runs = following_each_other([(folder.name, folder) for folder in folders])
    return merge_collects(runs, tiny_subject(), into)


@pytest.fixture(scope="module", params=list(KINDS))
def at_once(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Collect, Path, list[int]]:
    """Settings, a collect over all texts, and documents behind which a stretch ends: what is read
    together decides the last bit of some numbers.
    """
    asked = KINDS[request.param]
    folder = collected(asked, TEXTS, tmp_path_factory.mktemp("merged") / "once")
    documents = read_column(folder / "corpus" / "sequences.parquet", "document")
    ends, sequence = list[int](), 0
    for stretch in corpus_stretches(folder / "corpus", asked.shard_tokens):
        sequence += len(stretch.lengths)
        if sequence < len(documents) and documents[sequence] != documents[sequence - 1]:
            ends.append(int(documents[sequence]))
    return asked, folder, ends


def test_a_merge_has_the_bytes_of_one_collect_over_all_texts(
    at_once: tuple[Collect, Path, list[int]], tmp_path: Path
) -> None:
    asked, once, ends = at_once
    # the first text has the tokens by which a usual vector's length is measured
    cuts = [0, *(ends[len(ends) * part // 5] for part in (3, 4)), len(TEXTS)]
    folders = [
        collected(asked, TEXTS[first:last], tmp_path / str(number))
        for number, (first, last) in enumerate(pairwise(cuts))
    ]
    found = merged(folders, tmp_path / "all")
    assert found == MergeReport(len(TEXTS), 0, 0)
    assert results(tmp_path / "all") == results(once)
    # the control: in another order the texts are others
    merged([folders[1], folders[0], folders[2]], tmp_path / "other")
    assert results(tmp_path / "other") != results(once)
    counts = [Activations.open(each / "activations").counts for each in (once, tmp_path / "other")]
    assert counts[0].tolist() == counts[1].tolist()


def test_a_merge_that_was_killed_is_made_again(
    at_once: tuple[Collect, Path, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, once, ends = at_once
    cut = ends[len(ends) * 3 // 4]
    parts = [TEXTS[:cut], TEXTS[cut:]]
    folders = [
        collected(asked, texts, tmp_path / str(number)) for number, texts in enumerate(parts)
    ]
    last: list[Path] = []

    def dying(path: Path) -> object:
        last.append(path)
        if path.name == "activations":
            raise KeyboardInterrupt
        return new_folder(path)

    with monkeypatch.context() as patch:
        patch.setattr("gloss.collect.collected_files.new_folder", dying)
        with pytest.raises(KeyboardInterrupt):
            merged(folders, tmp_path / "all")
    assert last[-1].name == "activations"
    merged(folders, tmp_path / "all")
    assert results(tmp_path / "all") == results(once)


def test_what_was_read_otherwise_is_refused_by_its_name(tmp_path: Path) -> None:
    mined = KINDS["mined"]
    one = collected(mined, TEXTS[:20], tmp_path / "one")
    for other, named in (
        (
            dataclasses.replace(mined, mined=dataclasses.replace(MINING, kept=4)),
            "mined.kept (3 and 4)",
        ),
        (
            dataclasses.replace(mined, mined=dataclasses.replace(MINING, seed=6)),
            "mined.seed (5 and 6)",
        ),
        (dataclasses.replace(mined, context_length=20), "context_length (16 and 20)"),
        (FULL, "mined"),
    ):
        two = collected(other, TEXTS[20:40], tmp_path / named)
        with pytest.raises(Mismatch) as refused:
            merged([one, two], tmp_path / "all")
        assert f"were collected with another {named}" in str(refused.value)
    other = tmp_path / "other dictionary"
    mined.run(tiny_subject(), tiny_dictionary(seed=3), NamedTexts(tuple(TEXTS[20:40])), other)
    with pytest.raises(Mismatch, match="with another dictionary; runs are merged"):
        merged([one, other], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    manifest = one / "activations" / "manifest.json"
    told = read_sealed_json(manifest)
    del told["footers"]["bins.parquet"]
    manifest.write_bytes(seal_json(told))
    (one / "activations" / "bins.parquet").unlink()
    with pytest.raises(BadInput, match="was mined by a former version of gloss"):
        merged([one, one], tmp_path / "all")


def test_of_documents_in_several_texts_nothing_stands_on_both_sides_of_the_split(
    at_once: tuple[Collect, Path, list[int]], tmp_path: Path
) -> None:
    asked, _, _ = at_once
    near = [(f"near {name}", f"{text} rain falls") for name, text in TEXTS[:60] if len(text) > 150]
    parts = [TEXTS[:80], [*TEXTS[10:20], *near, *TEXTS[80:]]]
    folders = [
        collected(asked, texts, tmp_path / str(number)) for number, texts in enumerate(parts)
    ]
    found = merged(folders, tmp_path / "all")
    assert found.copies == 10
    assert found.documents == sum(map(len, parts))
    whole = Corpus.open(tmp_path / "all" / "corpus")
    counts = [Activations.open(folder / "activations").counts for folder in folders]
    activations = Activations.open(tmp_path / "all" / "activations")
    assert activations.counts.tolist() == sum(counts).tolist()  # all of them are counted
    if asked.mined is None:
        assert found.moved == 0  # nothing of a full store depends on the split
        return
    assert found.moved > 5
    kept = Corpus.open(tmp_path / "all" / "kept")
    own = read_column(folders[1] / "corpus" / "documents.parquet", "hash")
    groups = read_column(folders[1] / "corpus" / "groups.parquet", "group")
    before = own[groups] < np.uint64(2**63)
    after = whole.documents_in_train[-len(own) :]
    moved = np.flatnonzero(before != after) + len(whole.hashes) - len(own)
    assert kept.numbers is not None
    shown = np.unique(whole.documents[kept.numbers])
    assert not np.isin(moved, shown).any()
    assert (kept.documents_in_train == whole.documents_in_train[shown]).all()
    # each sequence that is kept stands for itself or for more, and those of a split for all of it
    in_train = kept.sequences_in_train
    for index in range(activations.width):
        weights = activations.feature(index).known.of_sequences(in_train)
        assert (weights[weights > 0] >= 1 - 1e-9).all()
