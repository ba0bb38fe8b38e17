"""Shards by token to one file by feature: an external merge whose memory depends on neither tokens
nor non-zeros.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64
from numpy import ndarray

from gloss.collect.feature_statistics import (
    FeatureRange,
    ValueTally,
    statistics_table,
    storage_scales,
    to_float16,
)
from gloss.store.activations import STATISTICS
from gloss.store.atomic import write_array
from gloss.store.parquet import GroupWriter
from gloss.store.progress import Progress

HELD = 2**19  # non-zeros that are in memory at a time, as far as one feature of one shard allows
FEATURES = 2**10  # whose histograms are in memory at a time
ENCODINGS = {"token": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"}


class StoredShard(Protocol):
    """What was found in a stretch of the text, or in all of a text."""

    @property
    def counts(self) -> Int64[ndarray, " feature"]: ...

    @property
    def sequences(self) -> Int64[ndarray, " feature"]: ...

    @property
    def maxima(self) -> Float32[ndarray, " feature"]: ...

    @property
    def left_out(self) -> Int64[ndarray, " left_out"]: ...

    @property
    def massive(self) -> int: ...

    def of_features(
        self, first: int, last: int
    ) -> tuple[Int64[ndarray, " feature"], ndarray, Float32[ndarray, " nonzero"]]: ...


@runtime_checkable
class ShardSource(Protocol):
    """Shards by their numbers, in the order of the text."""

    def open_shard(self, number: int) -> AbstractContextManager[StoredShard]: ...


@dataclass(frozen=True, slots=True)
class FeatureTotals:
    """What the shards hold together, for each feature."""

    counts: Int64[ndarray, " feature"]
    sequences: Int64[ndarray, " feature"]
    scales: Float32[ndarray, " feature"]


@dataclass(frozen=True, slots=True)
class ShardMerge:
    """Writes `activations.parquet`, `statistics.parquet` and `indptr.npy` from `number` shards."""

    shards: ShardSource
    number: int
    corpus_tokens: int
    corpus_sequences: int
    held: int = HELD
    left_out: int = 0  # tokens at which nothing is stored

    def write_into(self, folder: Path, progress: Progress) -> FeatureTotals:
        """Write the files into a folder that exists. Raises Unwritable."""
        totals = self.totals()
        indptr = np.concatenate([[0], np.cumsum(totals.counts)]).astype(np.int64)
        write_array(folder / "indptr.npy", indptr)
        kind = pa.uint32() if self.corpus_tokens < 2**32 else pa.uint64()
        schema = pa.schema([("token", kind), ("value", pa.float16())])
        with (
            GroupWriter(folder / "activations.parquet", schema, ENCODINGS) as activations,
            GroupWriter(folder / "statistics.parquet", STATISTICS, rows=FEATURES) as statistics,
        ):
            for first, last in feature_ranges(totals.counts, self.held):
                tally = self.move(first, last, totals, activations)
                own = slice(first, last)
                counted = max(1, self.corpus_tokens - self.left_out)
                reach = FeatureRange(
                    first, totals.sequences[own], totals.scales[own], counted, self.corpus_sequences
                )
                rows = statistics_table(tally, reach)
                statistics.add(**{name: rows[name].combine_chunks() for name in rows.column_names})
                progress(int(indptr[last]), int(indptr[-1]))
        return totals

    def totals(self) -> FeatureTotals:
        with self.shards.open_shard(0) as shard:
            counts, sequences, maxima = shard.counts, shard.sequences.copy(), shard.maxima.copy()
        for number in range(1, self.number):
            with self.shards.open_shard(number) as shard:
                counts += shard.counts
                sequences += shard.sequences
                np.maximum(maxima, shard.maxima, out=maxima)
        return FeatureTotals(counts, sequences, storage_scales(maxima))

    def move(self, first: int, last: int, totals: FeatureTotals, into: GroupWriter) -> ValueTally:
        """Copy the features from `first` up to `last`, feature after feature, and count their
        values.
        """
        tally = ValueTally(np.empty(0, np.uint32), np.empty(0, np.int64))
        for features, positions, values in self.pieces(
            first, last, whole=bool(totals.counts[first:last].sum() <= self.held)
        ):
            half = to_float16(values, totals.scales[first + features])
            into.add(token=positions, value=half)
            tally = tally.plus(ValueTally.of(features, half))
        return tally

    def pieces(
        self, first: int, last: int, *, whole: bool
    ) -> Iterator[tuple[ndarray, ndarray, ndarray]]:
        """Features counted from `first`, positions and values: in one piece, or shard by shard for
        one large feature.
        """
        gathered: list[tuple[ndarray, ndarray, ndarray]] = []
        for number in range(self.number):
            with self.shards.open_shard(number) as shard:
                counts, positions, values = shard.of_features(first, last)
            piece = (np.repeat(np.arange(last - first), counts), positions, values)
            if whole:
                gathered.append(piece)
            elif len(values):
                yield piece
        if whole:
            features, positions, values = (
                np.concatenate(parts) for parts in zip(*gathered, strict=True)
            )
            # shards come in the order of their tokens
            order = np.argsort(features.astype(np.uint16), kind="stable")
            yield features[order], positions[order], values[order]


def feature_ranges(counts: Int64[ndarray, " feature"], held: int) -> Iterator[tuple[int, int]]:
    """Consecutive features that hold up to `held` non-zeros together, or one that holds more."""
    first, total = 0, 0
    for feature, count in enumerate(counts.tolist()):
        if feature > first and (total + count > held or feature - first == FEATURES):
            yield first, feature
            first, total = feature, 0
        total += count
    yield first, len(counts)
