"""One collect of several that are finished: their texts one after the other, and what was found in
them, as one collect over all of these texts would have it.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from gloss.collect.alike_tokens import alike_tokens
from gloss.collect.collected_files import write_full, write_mined
from gloss.collect.mined_part import (
    BINS_PER_STRATUM,
    SIGNED_BINS,
    STRATA,
    MinedPart,
    Mining,
)
from gloss.collect.mined_shards import ALL, MinedShards
from gloss.collect.mined_store import BIN_COUNTS, SPLITS
from gloss.collect.near_copies import near_copy_groups
from gloss.collect.part_files import Block, write_blocks
from gloss.collect.sequence_table import (
    TRAIN,
    SequenceTable,
    background_numbers,
    background_sizes,
    priorities,
)
from gloss.errors import BadInput, Mismatch
from gloss.models.content_hash import content_hash
from gloss.models.subject import Subject
from gloss.store.activations import HISTOGRAM_EDGES, Activations
from gloss.store.atomic import new_folder, remove_path, write_bytes
from gloss.store.corpus import TRAIN_SHARE, corpus_stretches, read_column
from gloss.store.corpus_writer import CorpusWriter
from gloss.store.parquet import open_parquet, read_table
from gloss.store.sealed_json import read_sealed_json, seal_json

READ = 2**16  # tokens of a corpus at a time
BINS_FILE = "bins.parquet"
# settings that say which texts were read, and not how
OF_TEXTS = ("max_tokens",)


class SortedRows:
    """Rows of a Parquet file, read from front to back."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.file = open_parquet(path)
        self.batches = self.file.iter_batches(columns=list(columns), use_threads=False)
        self.rest = self.file.schema_arrow.empty_table().select(list(columns))

    def more(self) -> bool:
        """Read on; False at the end."""
        batch = next(self.batches, None)
        if batch is not None:
            self.rest = pa.concat_tables([self.rest, pa.Table.from_batches([batch])])
        return batch is not None

    def take(self, number: int) -> pa.Table:
        """The next rows, exactly so many."""
        while self.rest.num_rows < number and self.more():
            pass
        found, self.rest = self.rest.slice(0, number), self.rest.slice(number)
        return found

    def below(self, column: str, limit: int) -> pa.Table:
        """The next rows, up to the first that has so much in a column by which they are sorted."""
        while not self.rest.num_rows or self.rest[column][-1].as_py() < limit:
            if not self.more():
                break
        return self.take(int(np.searchsorted(self.rest[column].to_numpy(), limit)))


@dataclass(frozen=True, eq=False)
class FinishedCollect:
    """What a finished collect holds, and where its text begins in that of all that are merged."""

    name: str  # for people
    folder: Path
    first_token: int = 0
    first_sequence: int = 0

    @cached_property
    def activations(self) -> Activations:
        """What was found. Raises BadInput where there is nothing yet, and Damaged."""
        return Activations.open(self.folder / "activations")

    @cached_property
    def corpus(self) -> dict[str, Any]:
        """How large the text is."""
        return read_sealed_json(self.folder / "corpus" / "manifest.json")

    @property
    def made_from(self) -> dict[str, Any]:
        """What it depends on."""
        return self.activations.manifest["made_from"]

    def rows(self, table: str, *columns: str) -> SortedRows:
        """Columns of a file of the activations."""
        return SortedRows(self.activations.folder / f"{table}.parquet", columns)

    def statistics(self, *columns: str) -> list[ndarray]:
        """Columns of the statistics, 0 where a feature is dead."""
        path = self.activations.folder / "statistics.parquet"
        found = read_table(path, path, list(columns))
        return [found[name].fill_null(0).to_numpy() for name in columns]


def following_each_other(runs: Sequence[tuple[str, Path]]) -> list[FinishedCollect]:
    """Finished collects by their names for people, each behind the text of the one before."""
    found: list[FinishedCollect] = []
    tokens = sequences = 0
    for name, folder in runs:
        found.append(FinishedCollect(name, folder, tokens, sequences))
        tokens += found[-1].corpus["tokens"]
        sequences += found[-1].corpus["sequences"]
    return found


def require_one_way(collects: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Raise Mismatch, naming what differs, where these were not collected in one way, by what each
    was made from.
    """
    (first, made_from), *others = collects
    for other, made_otherwise in others:
        one, two = plain_settings(made_from), plain_settings(made_otherwise)
        differing = [
            f"{name} ({one.get(name)} and {two.get(name)})"
            if name.startswith("settings.")
            else name
            for name in dict.fromkeys([*one, *two])
            if one.get(name) != two.get(name)
        ]
        if differing:
            said = " and ".join(each.removeprefix("settings.") for each in differing)
            raise Mismatch(
                f"{first} and {other} were collected with another {said}; runs are merged"
                " that differ in their texts alone"
            )


def require_alike(runs: Sequence[FinishedCollect]) -> None:
    """Raise Mismatch where these cannot be merged, BadInput where one lacks what a merge wants."""
    require_one_way([(run.name, run.made_from) for run in runs])
    for run in runs:
        if run.activations.is_mined and not (run.activations.folder / BINS_FILE).exists():
            raise BadInput(
                f"{run.name} was mined by a former version of gloss, which did not keep all that a"
                f" merge wants; delete {run.folder} and run its experiment again"
            )


def plain_settings(made_from: dict[str, Any], above: str = "") -> dict[str, Any]:
    """What two collects must have in common, by name."""
    found: dict[str, Any] = {}
    for name, value in made_from.items():
        if isinstance(value, dict):
            found |= plain_settings(value, f"{above}{name}.")
        elif name not in ("corpus", "torch", *OF_TEXTS):
            found[above + name] = value
    return found


@dataclass(frozen=True)
class MergeReport:
    """What a merge found in several of its texts."""

    documents: int
    copies: int  # that stand in an earlier text, too, word for word
    # of which a near copy lies on the other side of the split in another text: they are counted,
    # and nothing of them is kept
    moved: int


def merge_collects(runs: Sequence[FinishedCollect], subject: Subject, folder: Path) -> MergeReport:
    """Write into the folder what one collect over the texts of all of these would, as its only
    writer.

    Not so where mined runs share a document: its copies are drawn together, and of one that has a
    near copy on the other side of the split in another run nothing is kept, only counted.

    What near copies are is found anew, over all texts. Raises Mismatch where the runs were not
    collected alike, BadInput, Damaged and Unwritable.
    """
    require_alike(runs)
    if not (folder / "corpus" / "manifest.json").is_file():
        write_joint_corpus(runs, folder / "corpus", subject)
    made_from = joint_source(runs, folder)
    work, median = folder / "shards", runs[0].activations.manifest["median_length"]
    write_bytes(
        work / "manifest.json", seal_json({"made_from": made_from, "median_length": median})
    )
    joint = JointDocuments.of(runs, folder / "corpus")
    mined = made_from["settings"].get("mined")
    for name in ("activations", "kept"):
        remove_path(folder / name)
    if mined is None:
        width = runs[0].activations.width
        write_full(folder, made_from, FinishedShards(runs), width, len(runs))
    else:
        shards = JointMining(runs, Mining(**mined), joint, folder, made_from).write()
        write_mined(folder, made_from, shards, 0)
    remove_path(work)
    moved = 0 if mined is None else int(joint.moved.sum())
    return MergeReport(len(joint.hashes), joint.copies, moved)


def joint_source(runs: Sequence[FinishedCollect], folder: Path) -> dict[str, Any]:
    """What the merge depends on: as one collect over all of the texts would state it."""
    first = runs[0].made_from
    limits = [run.made_from["settings"]["max_tokens"] for run in runs]
    total = sum(run.corpus["tokens"] for run in runs)
    settings = first["settings"] | {"max_tokens": total if any(limits) else None}
    corpus = read_sealed_json(folder / "corpus" / "manifest.json")["digest"]
    return first | {"corpus": corpus, "settings": settings}


def write_joint_corpus(runs: Sequence[FinishedCollect], folder: Path, subject: Subject) -> None:
    """One text after the other, as if they had been read so; the folder appears whole."""
    grouped = partial(near_copy_groups, special=subject.tokens.special.numbers)
    alike = partial(alike_tokens, subject)
    with (
        new_folder(folder) as fresh,
        CorpusWriter(fresh, subject.vocabulary(), grouped, alike) as into,
    ):
        for run in runs:
            copy_documents(run.folder / "corpus", into)
            into.empty += run.corpus["empty"]


def copy_documents(corpus: Path, into: CorpusWriter) -> None:
    """Hand on every sequence and every end of a document of a stored corpus."""
    documents = read_column(corpus / "sequences.parquet", "document")
    hashes = read_column(corpus / "documents.parquet", "hash")
    names = read_table(file := corpus / "documents.parquet", file, ["name"])["name"].to_pylist()
    ends = np.diff(documents, append=-1) != 0
    sequence = 0
    for stretch in corpus_stretches(corpus, READ):
        for tokens in np.split(stretch.tokens, np.cumsum(stretch.lengths)[:-1]):
            into.sequence(tokens)
            if ends[sequence]:
                number = documents[sequence]
                into.end_document(names[number], int(hashes[number]))
            sequence += 1


@dataclass(frozen=True, eq=False)
class JointDocuments:
    """The documents of all texts: on which side each was, and whether it is there still."""

    hashes: ndarray
    moved: Bool[ndarray, " document"]
    moved_sequences: Bool[ndarray, " sequence"]
    copies: int

    @staticmethod
    def of(runs: Sequence[FinishedCollect], corpus: Path) -> "JointDocuments":
        """Look at what each run says, and at what the joint corpus says."""
        hashes = read_column(corpus / "documents.parquet", "hash")
        groups = read_column(corpus / "groups.parquet", "group")
        documents = read_column(corpus / "sequences.parquet", "document")
        alone: list[ndarray] = []
        copies, seen = 0, np.empty(0, hashes.dtype)
        for run in runs:
            own = read_column(run.folder / "corpus" / "documents.parquet", "hash")
            alone.append(own[read_column(run.folder / "corpus" / "groups.parquet", "group")])
            copies += int(np.isin(own, seen).sum())
            seen = np.concatenate([seen, own])
        limit = np.uint64(int(TRAIN_SHARE * 2**64))
        moved = (np.concatenate(alone) < limit) != (hashes[groups] < limit)
        return JointDocuments(hashes, moved, moved[documents], copies)


@dataclass(frozen=True, eq=False)
class FinishedShards:
    """Finished collects that kept everything, as shards of the text of all of them."""

    runs: Sequence[FinishedCollect]

    @contextmanager
    def open_shard(self, number: int) -> Generator["FinishedShard"]:
        """What one of them holds."""
        yield self.shards[number]

    @cached_property
    def shards(self) -> list["FinishedShard"]:
        """What each holds, read from front to back."""
        return [FinishedShard(run) for run in self.runs]


@dataclass(frozen=True, eq=False)
class FinishedShard:
    """A finished collect as one shard."""

    run: FinishedCollect

    @property
    def counts(self) -> Int64[ndarray, " feature"]:
        """Non-zeros of each feature."""
        return np.diff(self.run.activations.indptr)

    @property
    def sequences(self) -> Int64[ndarray, " feature"]:
        """Sequences in which each feature fires."""
        (shares,) = self.run.statistics("sequence_share")
        return np.rint(shares * self.run.corpus["sequences"]).astype(np.int64)

    @property
    def maxima(self) -> Float32[ndarray, " feature"]:
        """Each feature's largest magnitude."""
        low, high = self.run.statistics("min", "max")
        return np.maximum(np.abs(low), np.abs(high))

    @property
    def left_out(self) -> Int64[ndarray, " left_out"]:
        """Global indices of the tokens at which nothing is stored, ascending."""
        return self.run.activations.left_out + self.run.first_token

    @property
    def massive(self) -> int:
        """How many of these are massive."""
        return self.run.activations.manifest["massive"]

    @cached_property
    def rows(self) -> SortedRows:
        """The activations."""
        return self.run.rows("activations", "token", "value")

    def of_features(
        self, first: int, last: int
    ) -> tuple[Int64[ndarray, " feature"], ndarray, Float32[ndarray, " nonzero"]]:
        """Counts, global positions and values of the features from `first` up to `last`, which
        follow those that were asked for before.
        """
        counts = np.diff(self.run.activations.indptr[first : last + 1])
        found = self.rows.take(int(counts.sum()))
        scales = np.repeat(self.run.activations.scales[first:last], counts)
        tokens = found["token"].to_numpy().astype(np.int64) + self.run.first_token
        return counts, tokens, found["value"].to_numpy().astype(np.float32) * scales


@dataclass(frozen=True, eq=False)
class JointMining:
    """Puts together what finished collects have mined."""

    runs: Sequence[FinishedCollect]
    mining: Mining
    joint: JointDocuments
    folder: Path
    made_from: dict[str, Any]

    def write(self) -> MinedShards:
        """Write one part of all texts, as a collect over them would have in the end."""
        work, key = self.folder / "shards", content_hash(self.made_from)
        table, width = self.table(), self.runs[0].activations.width
        shards = MinedShards(work, key, table, self.mining, width)
        write_blocks(work / ALL, key, self.blocks(shards))
        return shards

    def table(self) -> SequenceTable:
        """All sequences, each with what its own run knew it by; the background is drawn among
        those of which all features are kept.
        """
        mining, tables = self.mining, list[SequenceTable]()
        for number, run in enumerate(self.runs):
            place = self.folder / "shards" / f"sequences-{number}"
            corpus = run.folder / "corpus"
            tables.append(SequenceTable.of(corpus, place, mining.background, mining.seed))
        pairs = list(zip(tables, self.runs, strict=True))
        identities, in_train = (
            np.concatenate([getattr(each, name) for each in tables])
            for name in ("identities", "in_train")
        )
        there = np.concatenate([each.background + run.first_sequence for each, run in pairs])
        there = there[~self.joint.moved_sequences[there]]
        drawn = background_numbers(identities[there], mining.seed)
        chosen: list[ndarray] = []
        for split, wanted in background_sizes(mining.background).items():
            own = in_train[there] == (split == TRAIN)
            chosen.append(there[own][np.lexsort((there[own], drawn[own]))[:wanted]])
        offsets = np.concatenate([each.offsets + run.first_token for each, run in pairs])
        return SequenceTable(identities, offsets, in_train, np.sort(np.concatenate(chosen)))

    def blocks(self, shards: MinedShards) -> Iterator[Block]:
        """What of the text is left out, then each range of features."""
        kept = [MinedRows(run, shards, self.joint.moved_sequences) for run in self.runs]
        left_out = np.concatenate([each.left_out for each in kept])
        every = sum(run.activations.manifest["left_out"] for run in self.runs)
        yield {
            "left_out": left_out,
            "elsewhere": np.array([every - len(left_out)]),
            "massive": np.array([sum(run.activations.manifest["massive"] for run in self.runs)]),
        }
        for first, last in shards.ranges:
            parts = [each.part(first, last) for each in kept]
            yield MinedPart.together(parts).sampled(self.mining).arrays


@dataclass(frozen=True, eq=False)
class MinedRows:
    """What a finished collect has mined, read from front to back as parts of all texts."""

    run: FinishedCollect
    shards: MinedShards
    moved: Bool[ndarray, " sequence"]

    @cached_property
    def offsets(self) -> Int64[ndarray, " kept"]:
        """Where each sequence begins in the corpus that is kept."""
        return read_column(self.run.folder / "kept" / "sequences.parquet", "offset")

    @cached_property
    def numbers(self) -> Int64[ndarray, " kept"]:
        """The number of each among the sequences of all texts."""
        found = read_column(self.run.folder / "kept" / "sequences.parquet", "number")
        return found + self.run.first_sequence

    @property
    def left_out(self) -> Int64[ndarray, " left_out"]:
        """The tokens of these sequences at which nothing is stored, by their places in all texts,
        ascending.
        """
        tokens = self.run.activations.left_out
        own = np.searchsorted(self.offsets, tokens, side="right") - 1
        begins = np.asarray(self.shards.sequences.offsets)[self.numbers[own]]
        return np.sort(begins + tokens - self.offsets[own])

    @cached_property
    def activations(self) -> SortedRows:
        """The activations that are kept."""
        return self.run.rows("activations", "token", "value")

    @cached_property
    def strata(self) -> SortedRows:
        """Counts by feature, split and strength."""
        return self.run.rows("strata", "feature", "split", "strength", "sequences", "tokens")

    @cached_property
    def bins(self) -> SortedRows:
        """Counts by feature, sign and bin."""
        return self.run.rows("bins", *BIN_COUNTS.names)

    @cached_property
    def extremes(self) -> SortedRows:
        """The smallest and the largest value of each feature."""
        return self.run.rows("statistics", "feature", "dead", "min", "max")

    def part(self, first: int, last: int) -> MinedPart:
        """The features from `first` up to `last`, which follow those that were asked for before."""
        strata, bins = (
            self.strata.below("feature", last),
            self.bins.below("bin", last * SIGNED_BINS),
        )
        extremes = self.extremes.below("feature", last)
        dead = extremes["dead"].to_numpy(zero_copy_only=False)
        extremes = extremes.take(pa.array(np.flatnonzero(~dead)))
        in_train = strata["split"].to_numpy(zero_copy_only=False) == SPLITS[TRAIN]
        edges = HISTOGRAM_EDGES[::BINS_PER_STRATUM].astype(np.float32)
        halves = np.searchsorted(edges, strata["strength"].to_numpy())
        part = replace(
            self.sample(first, last),
            strata=(strata["feature"].to_numpy() * 2 + in_train) * STRATA + halves,
            stratum_sequences=strata["sequences"].to_numpy(),
            stratum_tokens=strata["tokens"].to_numpy(),
            bins=bins["bin"].to_numpy(),
            bin_tokens=bins["tokens"].to_numpy(),
            bin_sums=bins["sum"].to_numpy(),
            live=extremes["feature"].to_numpy().astype(np.int32),
            lowest=extremes["min"].to_numpy(),
            highest=extremes["max"].to_numpy(),
        )
        return part.only(~self.moved[part.sequences])

    def sample(self, first: int, last: int) -> MinedPart:
        """The sequences that are kept of these features, as if there were no others."""
        counts = np.diff(self.run.activations.indptr[first : last + 1])
        found = self.activations.take(int(counts.sum()))
        tokens = found["token"].to_numpy().astype(np.int64)
        features = np.repeat(np.arange(first, last, dtype=np.int32), counts)
        values = found["value"].to_numpy().astype(np.float32)
        values *= self.run.activations.scales[features]
        kept = np.searchsorted(self.offsets, tokens, side="right") - 1
        sequences, positions = self.numbers[kept], (tokens - self.offsets[kept]).astype(np.int32)
        order = np.lexsort((positions, sequences, features))
        features, sequences = features[order], sequences[order]
        table = self.shards.sequences
        part = MinedPart.of(
            features,
            sequences,
            positions[order],
            values[order],
            table.in_train[sequences],
            np.isin(sequences, table.background),
        )
        identities = table.identities[part.sequences]
        drawn = priorities(self.shards.mining.seed, part.features, identities)
        return replace(part, priorities=drawn)
