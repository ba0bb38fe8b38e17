"""From the part of a whole corpus to what later stages read: the corpus that is kept, the sample of
each feature with what it stands for, and statistics of all.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.collect.feature_statistics import storage_scales, to_float16
from gloss.collect.mined_part import (
    BINS_PER_STRATUM,
    CODE_ARRAYS,
    ENTRY_ARRAYS,
    IN_BACKGROUND,
    IN_TRAIN,
    SIGNED_BINS,
    STRATA,
    MinedPart,
    bin_units,
    spans,
    stratum_keys,
)
from gloss.collect.mined_shards import MinedShards
from gloss.collect.part_files import BlockFile
from gloss.collect.shard_merge import ENCODINGS
from gloss.store.activations import BINS, HISTOGRAM_EDGES, QUANTILES, STATISTICS
from gloss.store.atomic import disk_errors, write_array
from gloss.store.corpus import corpus_stretches, read_column
from gloss.store.corpus_writer import DOCUMENTS, FILES, GROUPS
from gloss.store.mined import KEPT
from gloss.store.mined import STRATA as STRATA_SCHEMA
from gloss.store.parquet import GroupWriter, footer_digests, open_parquet, read_table
from gloss.store.sealed_json import read_sealed_json, seal_json

READ = 2**16  # tokens of the corpus at a time
KEPT_SEQUENCES = pa.schema(
    # `number`: of the sequence in the whole corpus
    [("offset", pa.int64()), ("document", pa.int64()), ("number", pa.int64())]
)
SPLITS = ("held_out", "train")
# of each feature, sign and bin of the histogram: what another text's counts are added to
BIN_COUNTS = pa.schema([("bin", pa.int64()), ("tokens", pa.int64()), ("sum", pa.int64())])


@dataclass(frozen=True)
class MinedStore:
    """Writes what a finished part holds."""

    shards: MinedShards
    file: BlockFile  # the part of the whole corpus
    corpus: Path

    @cached_property
    def kept(self) -> Int64[ndarray, " kept"]:
        """The numbers of all sequences that are kept: the background, then the others."""
        sequences = self.shards.sequences
        found = np.zeros(len(sequences), bool)
        for part in self.parts():
            found[part.sequences] = True
        found[sequences.background] = False
        return np.concatenate([sequences.background, np.flatnonzero(found)])

    @cached_property
    def lengths(self) -> Int64[ndarray, " kept"]:
        """Tokens of each sequence that is kept."""
        total = read_sealed_json(self.corpus / "manifest.json")["tokens"]
        offsets = self.shards.sequences.offsets
        ends = np.append(offsets[1:], total)
        return ends[self.kept] - offsets[self.kept]

    @cached_property
    def offsets(self) -> Int64[ndarray, " kept"]:
        """Where each of them begins in the corpus that is kept."""
        return np.cumsum(self.lengths) - self.lengths

    def places(self, sequences: Int64[ndarray, " _"]) -> Int64[ndarray, " _"]:
        """Where sequences of the whole corpus stand among those that are kept."""
        number = len(self.shards.sequences.background)
        found = number + np.searchsorted(self.kept[number:], sequences)
        there = np.searchsorted(self.kept[:number], sequences)
        inside = self.kept[:number][np.minimum(there, number - 1)] == sequences
        return np.where(inside, there, found)

    def parts(self) -> Iterator[MinedPart]:
        """The parts of each range of features."""
        for number in range(1, len(self.file)):
            yield MinedPart(**self.file.block(number))

    def write_corpus(self, folder: Path) -> None:
        """Write the corpus that is kept into a folder that exists, laid out as any corpus.

        The hash of a document is that of the first of its near copies, so that the split stays.
        """
        documents = read_column(self.corpus / "sequences.parquet", "document")[self.kept]
        numbers, own = np.unique(documents, return_inverse=True)
        groups = read_column(self.corpus / "groups.parquet", "group")
        hashes = read_column(self.corpus / "documents.parquet", "hash")[groups[numbers]]
        whole = self.corpus / "documents.parquet"
        names = read_table(whole, whole, ["name"])["name"].take(pa.array(numbers))
        _, first, group = np.unique(groups[numbers], return_index=True, return_inverse=True)
        with GroupWriter(folder / "documents.parquet", DOCUMENTS) as file:
            file.add(name=names.combine_chunks(), hash=hashes)
        with GroupWriter(folder / "groups.parquet", GROUPS) as file:
            file.add(group=first[group])
        with GroupWriter(folder / "sequences.parquet", KEPT_SEQUENCES) as file:
            file.add(offset=self.offsets, document=own, number=self.kept)
        self.write_tokens(folder / "tokens.parquet")
        with disk_errors(folder):
            shutil.copyfile(self.corpus / "vocabulary.parquet", folder / "vocabulary.parquet")
            counts = {
                "tokens": int(self.lengths.sum()),
                "sequences": len(self.kept),
                "documents": len(numbers),
                "background": len(self.shards.sequences.background),
            }
            (folder / "manifest.json").write_bytes(
                seal_json(counts | {"footers": footer_digests(folder, FILES)})
            )

    def write_tokens(self, path: Path) -> None:
        """Copy the tokens of the sequences that are kept: the background first."""
        number = len(self.shards.sequences.background)
        with open_parquet(self.corpus / "tokens.parquet") as file:
            schema = pa.schema([("token", file.schema_arrow.field("token").type)])
        with GroupWriter(path, schema) as into:
            for wanted in (self.kept[:number], self.kept[number:]):
                first = 0
                for stretch in corpus_stretches(self.corpus, READ):
                    last = first + len(stretch.lengths)
                    own = wanted[slice(*np.searchsorted(wanted, [first, last]))] - first
                    begins = np.cumsum(stretch.lengths) - stretch.lengths
                    if len(own):
                        into.add(token=stretch.tokens[spans(begins[own], stretch.lengths[own])])
                    first = last

    def write_activations(self, folder: Path) -> dict[str, int]:
        """Write the activations that are kept, and the statistics of all; give what there are."""
        corpus = read_sealed_json(self.corpus / "manifest.json")
        whole = self.file.block(0)
        # of a merge, those of sequences that no run has kept are only counted
        left_out = len(whole["left_out"]) + int(sum(whole.get("elsewhere", [])))
        counted = max(1, corpus["tokens"] - left_out)
        write_array(folder / "left_out.npy", self.positions(whole["left_out"]))
        codes, entries = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
        silent = np.zeros((self.shards.width, 2))
        nonzeros = live = 0
        with (
            GroupWriter(
                folder / "activations.parquet",
                pa.schema([("token", pa.uint32()), ("value", pa.float16())]),
                ENCODINGS,
            ) as activations,
            GroupWriter(folder / "kept.parquet", KEPT) as kept,
            GroupWriter(folder / "strata.parquet", STRATA_SCHEMA) as strata,
            GroupWriter(folder / "statistics.parquet", STATISTICS, rows=2**10) as statistics,
            GroupWriter(folder / "bins.parquet", BIN_COUNTS) as bins,
        ):
            for (first, last), part in zip(self.shards.ranges, self.parts(), strict=True):
                rows = StatisticsRange(part, first, last)
                table = rows.table(counted, corpus["sequences"])
                statistics.add(
                    **{name: table[name].combine_chunks() for name in table.column_names}
                )
                weighed = WeighedSample.of(part, self.shards, first, last)
                silent[first:last] = weighed.silent
                strata.add(**weighed.strata)
                bins.add(bin=part.bins, tokens=part.bin_tokens, sum=part.bin_sums)
                part, weights = self.in_place(part, weighed.weights)
                kept.add(sequence=part.sequences, weight=weights)
                tokens = np.repeat(self.offsets[part.sequences], part.lengths) + part.positions
                scales = rows.scales[np.repeat(part.features, part.lengths) - first]
                activations.add(token=tokens, value=to_float16(part.values, scales))
                own = part.features - first
                codes.append(np.bincount(own, part.lengths, last - first).astype(np.int64))
                entries.append(np.bincount(own, minlength=last - first))
                nonzeros += int(rows.counts.sum())
                live += int((rows.counts > 0).sum())
        write_array(folder / "indptr.npy", np.cumsum(np.concatenate(codes)))
        write_array(folder / "kept_indptr.npy", np.cumsum(np.concatenate(entries)))
        write_array(folder / "silent.npy", silent)
        return {
            "tokens": corpus["tokens"],
            "width": self.shards.width,
            "nonzeros": nonzeros,
            "live": live,
            "left_out": left_out,
            "massive": int(whole["massive"][0]),
            "train_tokens": self.train_tokens(corpus["tokens"]),
            "background": len(self.shards.sequences.background),
        }

    def train_tokens(self, total: int) -> int:
        """Tokens of the train split, in the whole corpus."""
        sequences = self.shards.sequences
        lengths = np.diff(sequences.offsets, append=total)
        return int(lengths[np.asarray(sequences.in_train)].sum())

    def positions(self, tokens: Int64[ndarray, " token"]) -> Int64[ndarray, " kept"]:
        """Where tokens of the whole corpus stand in the one that is kept, as far as they do."""
        offsets = self.shards.sequences.offsets
        sequences = np.searchsorted(offsets, tokens, side="right") - 1
        there = np.isin(sequences, self.kept)
        own = sequences[there]
        return np.sort(self.offsets[self.places(own)] + tokens[there] - offsets[own])

    def in_place(
        self, part: MinedPart, weights: Float64[ndarray, " entry"]
    ) -> tuple[MinedPart, Float64[ndarray, " entry"]]:
        """The part with the numbers of its sequences among those that are kept, in their order."""
        places = self.places(part.sequences)
        order = np.lexsort((places, part.features))
        starts = (np.cumsum(part.lengths, dtype=np.int64) - part.lengths)[order]
        arrays = dict(part.arrays)
        arrays |= {name: arrays[name][order] for name in ENTRY_ARRAYS}
        there = spans(starts, arrays["lengths"])
        arrays |= {name: arrays[name][there] for name in CODE_ARRAYS}
        arrays["sequences"] = places[order]
        return MinedPart(**arrays), weights[order]


@dataclass(frozen=True, slots=True)
class WeighedSample:
    """What the entries of a range of features stand for."""

    # the strongest stand for themselves; those that are drawn for all others of their stratum
    weights: Float64[ndarray, " entry"]
    silent: Float64[ndarray, "feature 2"]  # of a sequence of the background, by split
    strata: dict[str, ndarray | pa.Array | list[object]]

    @staticmethod
    def of(part: MinedPart, shards: MinedShards, first: int, last: int) -> "WeighedSample":
        """Weigh the entries: of a stratum's N sequences, S are among the strongest and n others
        are kept, each of which stands for (N - S) / n.

        A silent sequence of the background stands for all silent ones of its split alike.
        """
        strongest, _ = part.chosen(shards.mining)
        keys = stratum_keys(part.features, part.flags, part.peaks)
        place = np.searchsorted(part.strata, keys)
        number = len(part.strata)
        top = np.bincount(place[strongest], minlength=number)
        drawn = np.bincount(place[~strongest], minlength=number)
        others = part.stratum_sequences - top
        weights = np.where(strongest, 1.0, (others / np.maximum(drawn, 1))[place])
        split = part.strata // STRATA - 2 * first  # feature and split
        firing = np.bincount(split, part.stratum_sequences, 2 * (last - first)).reshape(-1, 2)
        groups = (part.features.astype(np.int64) - first) * 2 + (part.flags & IN_TRAIN)
        inside = (part.flags & IN_BACKGROUND) > 0
        seen = np.bincount(groups[inside], minlength=2 * (last - first)).reshape(-1, 2)
        in_train = int(shards.sequences.in_train[shards.sequences.background].sum())
        background = np.array([len(shards.sequences.background) - in_train, in_train])
        silent = (shards.sequences.by_split - firing) / np.maximum(background - seen, 1)
        edges = HISTOGRAM_EDGES[part.strata % STRATA * BINS_PER_STRATUM]
        return WeighedSample(
            weights,
            np.where(background > seen, silent, 0.0),
            {
                "feature": part.strata // (2 * STRATA),
                "split": pa.array(SPLITS).take(pa.array(part.strata // STRATA % 2)),
                "strength": edges,
                "sequences": part.stratum_sequences,
                "tokens": part.stratum_tokens,
                "kept": top + drawn,
            },
        )


@dataclass(frozen=True)
class StatisticsRange:
    """What the activations of a range of features amount to, over the whole corpus."""

    part: MinedPart
    first: int
    last: int

    @cached_property
    def tokens(self) -> Int64[ndarray, "feature bin"]:
        """Activations by sign and bin."""
        return self.dense(self.part.bin_tokens)

    def dense(self, values: ndarray) -> ndarray:
        """Numbers of the part's bins, 0 where there is none."""
        whole = np.zeros((self.last - self.first) * SIGNED_BINS, values.dtype)
        whole[self.part.bins - self.first * SIGNED_BINS] = values
        return whole.reshape(-1, SIGNED_BINS)

    @cached_property
    def counts(self) -> Int64[ndarray, " feature"]:
        """Tokens at which each feature fires."""
        return self.tokens.sum(1)

    @cached_property
    def scales(self) -> ndarray:
        """What each feature's stored values are multiplied with."""
        maxima = np.zeros(self.last - self.first, np.float32)
        reach = np.maximum(np.abs(self.part.lowest), np.abs(self.part.highest))
        maxima[self.part.live - self.first] = reach
        return storage_scales(maxima)

    def table(self, corpus_tokens: int, corpus_sequences: int) -> pa.Table:
        """One row a feature; what a dead one does not have is null.

        Quantiles are those of bins of a quarter octave, of which the mean is given: 19 % off at
        most. All else is exact.
        """
        number = self.last - self.first
        dead = self.counts == 0
        low, high = np.zeros(number, np.float32), np.zeros(number, np.float32)
        low[self.part.live - self.first] = self.part.lowest
        high[self.part.live - self.first] = self.part.highest
        sums = self.dense(self.part.bin_sums * bin_units(self.part.bins % SIGNED_BINS % BINS))
        quantiles = self.quantiles(sums)
        quantiles[:, 0], quantiles[:, -1] = low, high
        sequences = np.bincount(
            self.part.strata // (2 * STRATA) - self.first, self.part.stratum_sequences, number
        )
        flat = pa.array(quantiles.ravel(), pa.float32(), mask=np.repeat(dead, len(QUANTILES)))
        histogram = self.tokens[:, :BINS] + self.tokens[:, BINS:]
        columns = {
            "feature": np.arange(self.first, self.last),
            "count": self.counts,
            "dead": dead,
            "min": pa.array(low, mask=dead),
            "max": pa.array(high, mask=dead),
            "mean": pa.array(sums.sum(1) / np.maximum(self.counts, 1), mask=dead),
            "token_share": self.counts / corpus_tokens,
            "sequence_share": sequences / corpus_sequences,
            "scale": self.scales,
            "quantiles": pa.FixedSizeListArray.from_arrays(flat, len(QUANTILES)),
            "histogram": pa.FixedSizeListArray.from_arrays(pa.array(histogram.ravel()), BINS),
        }
        return pa.table(columns, schema=STATISTICS)

    def quantiles(self, sums: Float64[ndarray, "feature bin"]) -> ndarray:
        """The mean of the bin in which each quantile of a feature's values lies."""
        order = np.concatenate([np.arange(SIGNED_BINS - 1, BINS - 1, -1), np.arange(BINS)])
        tokens = self.tokens[:, order]
        means = sums[:, order] / np.maximum(tokens, 1)
        reached = np.cumsum(tokens, 1)
        wanted = np.clip(np.ceil(self.counts[:, None] * QUANTILES), 1, None)
        place = (reached[:, None, :] < wanted[:, :, None]).sum(2)
        return np.take_along_axis(means, np.minimum(place, SIGNED_BINS - 1), 1)
