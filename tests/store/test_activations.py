"""What a reader of corpora and activations refuses, and what it keeps."""

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gloss.errors import BadInput
from gloss.store.activations import (
    BINS,
    HISTOGRAM_EDGES,
    QUANTILES,
    STATISTICS,
    Activations,
    histogram_bins,
)
from gloss.store.corpus import Corpus
from gloss.store.corpus_writer import CorpusWriter
from gloss.store.parquet import GroupWriter
from gloss.store.vocabulary import Vocabulary


@pytest.fixture
def activations(tmp_path: Path) -> Activations:
    """Two features: 300 places with scale 1, then 2 with scale 4; row groups of 128."""
    schema = pa.schema([("token", pa.uint32()), ("value", pa.float16())])
    with GroupWriter(tmp_path / "activations.parquet", schema, rows=128) as file:
        file.add(
            token=np.r_[np.arange(300), 7, 9], value=np.r_[np.arange(300), 1, 2].astype(np.float16)
        )
    with GroupWriter(tmp_path / "statistics.parquet", STATISTICS) as file:
        rows = {field.name: [0, 0] for field in STATISTICS} | {
            "scale": [1.0, 4.0],
            "dead": [False, False],
        }
        file.add(
            **rows | {"quantiles": [[0.0] * len(QUANTILES)] * 2, "histogram": [[0] * BINS] * 2}
        )
    np.save(tmp_path / "indptr.npy", np.array([0, 300, 302]))
    (tmp_path / "manifest.json").write_text(
        json.dumps({"width": 2, "tokens": 400, "rows_per_group": 128})
    )
    return Activations.open(tmp_path)


def test_a_feature_is_read_across_row_groups_and_scaled(activations: Activations) -> None:
    assert activations.feature(0).positions.tolist() == list(range(300))
    assert activations.feature(0).values.tolist() == list(range(300))
    assert activations.feature(1).positions.tolist() == [7, 9]
    assert activations.feature(1).values.tolist() == [4, 8]
    assert (activations.width, activations.tokens, activations.counts.tolist()) == (
        2,
        400,
        [300, 2],
    )


def test_a_feature_that_does_not_exist_is_refused(activations: Activations) -> None:
    for index in (-1, 2):
        with pytest.raises(IndexError, match="the dictionary has 2, 0 to 1"):
            activations.feature(index)


def test_activations_travel_to_another_process(activations: Activations) -> None:
    activations.feature(0)
    assert pickle.loads(pickle.dumps(activations)).feature(1).values.tolist() == [4, 8]


def test_folders_without_content_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no activations"):
        Activations.open(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="holds no corpus"):
        Corpus.open(tmp_path / "nowhere")


def test_bins_lie_between_the_edges_and_take_what_lies_beyond() -> None:
    inside = np.sqrt(HISTOGRAM_EDGES[:-1] * HISTOGRAM_EDGES[1:]).astype(np.float32)
    assert histogram_bins(inside).tolist() == list(range(BINS))
    assert histogram_bins(np.array([1e-30, -1.0, 1e30], np.float32)).tolist() == [0, 48, BINS - 1]


def test_a_corpus_is_read_as_it_was_written(tmp_path: Path) -> None:
    vocabulary = Vocabulary((b"a", b"\xff", b""))
    with CorpusWriter(tmp_path, vocabulary) as writer:
        for name, sequences in (("one", [[0, 1], [2]]), ("two", [[1, 1, 1]])):
            for sequence in sequences:
                writer.sequence(np.array(sequence, np.int32))
            writer.end_document(name, 2**64 - len(name))
    corpus = Corpus.open(tmp_path)
    assert corpus.tokens.tolist() == [0, 1, 2, 1, 1, 1]
    assert corpus.offsets.tolist() == [0, 2, 3, 6]
    assert corpus.documents.tolist() == [0, 0, 1]
    assert corpus.hashes.tolist() == [2**64 - 3] * 2
    assert corpus.groups.tolist() == [0, 1]
    assert corpus.names == ("one", "two")
    assert corpus.vocabulary == vocabulary


def test_more_sequences_than_are_held_are_written_all(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path, Vocabulary((b"a",))) as writer:
        for number in range(10_000):
            writer.sequence(np.zeros(1 + number % 3, np.int32))
            writer.end_document(str(number), number)
    corpus = Corpus.open(tmp_path)
    assert np.diff(corpus.offsets).tolist() == [1 + number % 3 for number in range(10_000)]
    assert corpus.hashes.tolist() == list(range(10_000))
