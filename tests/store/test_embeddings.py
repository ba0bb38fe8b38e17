"""The index of windows gives back what was put in, and says when it is not whole."""

import numpy as np
import pytest
from scipy.special import ndtri

from gloss.errors import BadInput
from gloss.store.atomic import write_array
from gloss.store.embeddings import STARTS, Embeddings


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    drawn = rng.normal(size=(rows, 256))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


def test_parts_are_mapped_and_read_as_one(tmp_path, rng):
    vectors, starts = unit(rng, 50), np.arange(0, 400, 8)
    write_array(tmp_path / STARTS, starts)
    for number, part in enumerate((vectors[:30], vectors[30:])):
        write_array(tmp_path / f"part-{number:05d}.npy", part)
    found = Embeddings.open(tmp_path)
    assert isinstance(found.parts[0], np.memmap)
    assert found.starts.tolist() == starts.tolist()
    rows = np.array([49, 3, 30])
    assert (found.of_windows(rows) == vectors[rows]).all()
    assert np.allclose(
        found.cosines(rows), vectors[rows].astype(np.float32) @ vectors.astype(np.float32).T
    )


def test_an_index_that_is_not_whole_is_refused(tmp_path, rng):
    with pytest.raises(BadInput, match="no whole index of windows; run the experiment again"):
        Embeddings.open(tmp_path)
    write_array(tmp_path / STARTS, np.arange(50))
    write_array(tmp_path / "part-00000.npy", unit(rng, 30))
    with pytest.raises(BadInput, match="no whole index"):
        Embeddings.open(tmp_path)


def test_where_nothing_is_held_out_the_index_is_whole_and_empty(tmp_path):
    write_array(tmp_path / STARTS, np.empty(0, np.int64))
    assert len(Embeddings.open(tmp_path).starts) == 0


def test_chance_is_that_of_random_directions_and_pairs_that_are_alike_do_not_raise_it(rng):
    vectors = unit(rng, 600)
    vectors[500:] = vectors[:100]
    found = Embeddings(np.arange(600), (vectors,))
    median, spread = found.chance
    assert abs(median) < 0.005
    assert spread == pytest.approx(1 / 16, rel=0.05)
    assert found.least(100) == pytest.approx(median + spread * ndtri(0.9995))


def test_one_window_alone_is_like_nothing():
    assert Embeddings(np.arange(1), (np.ones((1, 1), np.float16),)).least(1) == 1
