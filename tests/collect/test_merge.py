"""Shards by token to a file by feature, and the statistics of each feature, against plain numpy."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.collect.code_shards import CodeShards, CodeTriples, ascending_rows
from gloss.collect.feature_statistics import (
    float16_from_ranks,
    float16_ranks,
    storage_scales,
    tally_quantiles,
    to_float16,
)
from gloss.collect.shard_merge import ShardMerge, feature_ranges
from gloss.store.activations import BINS, HISTOGRAM_EDGES, QUANTILES, Activations
from gloss.store.atomic import write_bytes
from gloss.store.parquet import ROWS
from gloss.store.progress import ignore_progress

WIDTH, STRETCH = 30, 400


def planted(seed: int, shards: int) -> np.ndarray:
    """Activations of one very dense feature, many sparse ones, a dead one and a large one."""
    rng = np.random.default_rng(seed)
    dense = rng.lognormal(0, 1, (shards * STRETCH, WIDTH)) * (
        rng.random((shards * STRETCH, WIDTH)) < 0.05
    )
    dense[:, 3] = rng.lognormal(0, 1, len(dense))
    dense[:, 4] = 0
    dense[:, 5] *= 1e6
    dense[:, 6] *= -1
    return dense.astype(np.float32)


def stored(dense: np.ndarray, folder: Path, held: int) -> Activations:
    """The activations through shards and merge."""
    shards = CodeShards(folder / "shards", "key")
    lengths = np.full(STRETCH // 40, 40)
    for number in range(len(dense) // STRETCH):
        part = dense[number * STRETCH : (number + 1) * STRETCH]
        positions, features = part.nonzero()
        codes = CodeTriples(
            features.astype(np.int32), positions.astype(np.uint32), part[positions, features]
        )
        shards.write(number, number * STRETCH, lengths, WIDTH, codes)
    (folder / "out").mkdir()
    ShardMerge(shards, len(dense) // STRETCH, len(dense), len(dense) // 40, held).write_into(
        folder / "out", ignore_progress
    )
    manifest = f'{{"width": {WIDTH}, "tokens": {len(dense)}, "rows_per_group": {ROWS}}}'
    write_bytes(folder / "out" / "manifest.json", manifest.encode())
    return Activations.open(folder / "out")


@pytest.mark.parametrize("held", [1, 300, 10**6])
def test_the_merge_keeps_every_value_whatever_fits_in_memory(tmp_path: Path, held: int) -> None:
    dense = planted(0, shards=5)
    activations = stored(dense, tmp_path, held)
    assert activations.counts.tolist() == (dense != 0).sum(axis=0).tolist()
    for index in range(WIDTH):
        feature = activations.feature(index)
        assert feature.positions.tolist() == np.flatnonzero(dense[:, index]).tolist()
        np.testing.assert_allclose(feature.values, dense[feature.positions, index], rtol=2**-11)


def test_the_bytes_do_not_depend_on_what_fits_in_memory(tmp_path: Path) -> None:
    dense = planted(0, shards=4)
    folders = [tmp_path / "little", tmp_path / "much"]
    for folder, held in zip(folders, (1, 10**6), strict=True):
        folder.mkdir()
        stored(dense, folder, held)
    for name in ("activations.parquet", "indptr.npy"):
        assert (folders[0] / "out" / name).read_bytes() == (folders[1] / "out" / name).read_bytes()
    little, much = (Activations.open(folder / "out").statistics.to_pylist() for folder in folders)
    assert little == much


def test_statistics_equal_those_of_the_stored_values(tmp_path: Path) -> None:
    dense = planted(1, shards=5)
    activations = stored(dense, tmp_path, held=500)
    for row in activations.statistics.to_pylist():
        values = activations.feature(row["feature"]).values
        fires = (dense[:, row["feature"]] != 0).reshape(-1, 40).any(axis=1)
        assert row["count"] == len(values)
        assert row["dead"] == (len(values) == 0)
        assert row["token_share"] == len(values) / len(dense)
        assert row["sequence_share"] == fires.mean()
        if row["dead"]:
            assert row["max"] is row["mean"] is row["min"] is row["quantiles"][0] is None
            assert sum(row["histogram"]) == 0
        else:
            assert (row["min"], row["max"]) == (values.min(), values.max())
            assert row["mean"] == pytest.approx(values.astype(np.float64).mean())
            assert (
                row["quantiles"] == np.quantile(values, QUANTILES, method="inverted_cdf").tolist()
            )
            edges = np.concatenate([[0], HISTOGRAM_EDGES[1:-1], [np.inf]])
            assert row["histogram"] == np.histogram(np.abs(values), edges)[0].tolist()
    assert len(activations.statistics["histogram"][0]) == BINS


def test_a_feature_that_spans_row_groups_is_read_whole(tmp_path: Path) -> None:
    dense = np.zeros((400 * STRETCH, WIDTH), np.float32)
    dense[:, 2] = 1 + np.arange(len(dense)) % 7
    dense[5, 1] = dense[7, 3] = 2
    activations = stored(dense, tmp_path, held=10**5)
    assert len(dense) > ROWS
    assert (activations.feature(2).values == dense[:, 2]).all()
    assert [activations.feature(i).positions.tolist() for i in (1, 3, 29)] == [[5], [7], []]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 80))
def test_ranges_cover_all_features_in_order(counts: list[int], held: int) -> None:
    found = list(feature_ranges(np.array(counts), held))
    assert [feature for first, last in found for feature in range(first, last)] == list(
        range(len(counts))
    )
    assert all(last - first == 1 or sum(counts[first:last]) <= held for first, last in found)


@settings(max_examples=200)
@given(st.floats(2.0**-126, 2.0**126, width=32), st.sampled_from((-1, 1)))
def test_no_value_becomes_infinite_or_inactive(magnitude: float, sign: int) -> None:
    values = np.array([sign * magnitude], np.float32)
    scales = storage_scales(np.abs(values))
    back = to_float16(values, scales).astype(np.float32) * scales
    np.testing.assert_allclose(back, values, rtol=2**-11)


def test_what_is_too_small_for_16_bits_stays_active() -> None:
    assert to_float16(np.array([1e-9, -1e-9], np.float32), np.ones(2, np.float32)).tolist() == [
        2**-24,
        -(2**-24),
    ]
    smallest = np.array([2.0**-149], np.float32)
    assert (
        to_float16(smallest, storage_scales(smallest)).astype(np.float32) * storage_scales(smallest)
        == smallest
    ).all()


def test_common_maxima_need_no_scale() -> None:
    assert storage_scales(np.array([0, 2**-8, 1, 65504], np.float32)).tolist() == [1, 1, 1, 1]
    assert storage_scales(np.array([65505, 2**20, 2**-9], np.float32)).tolist() == [2, 64, 2.0**-23]


@given(st.lists(st.integers(0, 20), max_size=40), st.sampled_from([21, 2**40, 2**62]))
def test_rows_ascend_by_their_keys_whether_they_fit_behind_them_or_not(
    keys: list[int], below: int
) -> None:
    spread = np.array(keys, np.int64) * (below // 21)
    found = ascending_rows(spread, below)
    assert found.tolist() == sorted(range(len(keys)), key=keys.__getitem__)


def test_ranks_are_in_the_order_of_the_values() -> None:
    values = np.array([-65504, -1, -(2.0**-24), 2.0**-24, 1, 1.001, 65504], np.float16)
    assert (np.diff(float16_ranks(values).astype(int)) > 0).all()
    assert (float16_from_ranks(float16_ranks(values)) == values).all()


def test_quantiles_of_no_values_are_no_error() -> None:
    none = np.empty(0, np.float32)
    assert tally_quantiles(none, np.empty(0, np.int64), np.zeros(2, np.int64)).shape == (
        2,
        len(QUANTILES),
    )
