"""The tokens that were read, cut into the sequences that the subject saw, each inside one document;
and where each token of the vocabulary stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Bool, Float64, Int32, Int64, UInt64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.records import FeatureActivations, Split
from gloss.rules.occurrences import Occurrences, compact
from gloss.rules.resting_arrays import let_go, resting_array
from gloss.rules.writing import TokenSupply
from gloss.store.parquet import open_parquet, parquet_errors, read_table, require_footers
from gloss.store.sealed_json import read_sealed_json
from gloss.store.vocabulary import Vocabulary

TRAIN_SHARE = 0.5  # of the documents, by hash
GROUPS = "groups.parquet"
MARKED_SHIFT = 6  # of 64 tokens one is marked with its sequence
FEW = 64  # positions that are searched for one by one


@dataclass(frozen=True, eq=False)
class Corpus:
    """Text tokens in reading order.

    Start tokens are not among them: the subject gets one before each sequence. A sequence is what
    one row of a forward pass held. Contexts and rules stay inside a sequence, because the subject
    saw nothing beyond it; splits go by document, because sequences of one document resemble each
    other, and by group of documents that are near copies.
    """

    tokens: Int32[ndarray, " token"]
    # of each sequence's first token, then the number of tokens
    offsets: Int64[ndarray, " sequence_and_end"]
    # the document that each sequence comes from, counted from 0
    documents: Int64[ndarray, " sequence"]
    hashes: UInt64[ndarray, " document"]  # of each document's text
    names: tuple[str, ...]  # of each document, for people
    vocabulary: Vocabulary
    # tokens without activations
    left_out: Int64[ndarray, " left_out"] = field(default_factory=lambda: np.empty(0, np.int64))
    # the first document of each one's group; None: none is a copy
    near_copies: Int64[ndarray, " document"] | None = None
    # so many sequences, the first ones, are kept for every feature; None: all are
    background: int | None = None
    # of each sequence in the corpus that this one is a part of; None: it is whole
    numbers: Int64[ndarray, " sequence"] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def groups(self) -> Int64[ndarray, " document"]:
        """The number of the first document of each one's group: documents that share most of their
        text are one group.
        """
        return np.arange(len(self.hashes)) if self.near_copies is None else self.near_copies

    @cached_property
    def documents_in_train(self) -> Bool[ndarray, " document"]:
        """Whether each document is in the train split: by the hash of its group's first text, so
        that no near copy is on the other side.
        """
        return self.hashes[self.groups] < np.uint64(int(TRAIN_SHARE * 2**64))

    @cached_property
    def counted(self) -> Bool[ndarray, " token"]:
        """Whether each token counts: all but those that are left out, where nobody knows what
        fires.
        """
        counted = np.ones(len(self.tokens), dtype=bool)
        counted[self.left_out] = False
        return counted

    def sequences_of(self, positions: Int64[ndarray, " position"]) -> Int64[ndarray, " position"]:
        """The sequence that each global token index lies in, in time that does not grow with the
        corpus.
        """
        few = len(positions) < FEW
        if few or int(positions.min()) < 0 or int(positions.max()) >= len(self):
            return np.searchsorted(self.offsets, positions, side="right") - 1
        found = self.sequence_marks.take(positions >> MARKED_SHIFT).astype(np.int64)
        while (behind := self.offsets.take(found + 1) <= positions).any():
            found += behind
        return found

    @cached_property
    def sequence_marks(self) -> Int32[ndarray, " mark"]:
        """The sequence of every 64th token."""
        marked = np.arange(0, len(self), 1 << MARKED_SHIFT)
        return (np.searchsorted(self.offsets, marked, side="right") - 1).astype(np.int32)

    @cached_property
    def document_bounds(self) -> Int64[ndarray, "sequence 2"]:
        """For each sequence the first token of the document that it lies in, and the one behind
        the document's last, as far as its sequences follow each other.
        """
        begins = np.diff(self.documents, prepend=-1) != 0
        if self.numbers is not None:  # not all of a document is here
            begins |= np.diff(self.numbers, prepend=-2) != 1
        runs = np.cumsum(begins) - 1
        firsts = self.offsets[:-1][begins]
        return np.stack([firsts, np.append(firsts[1:], len(self))], axis=1)[runs]

    @cached_property
    def sequences_in_train(self) -> Bool[ndarray, " sequence"]:
        """Whether each sequence belongs to the train split."""
        return self.documents_in_train[self.documents]

    @cached_property
    def in_train(self) -> Bool[ndarray, " token"]:
        """Whether each token belongs to the train split."""
        return np.repeat(self.sequences_in_train, np.diff(self.offsets))

    @cached_property
    def background_tokens(self) -> int:
        """So many tokens, the first ones, are known of every feature: all of them, unless the
        corpus was mined.
        """
        return len(self) if self.background is None else int(self.offsets[self.background])

    def weights(self, activations: FeatureActivations) -> Float64[ndarray, " sequence"] | None:
        """What each sequence stands for when a feature is counted, 0 where nobody knows whether it
        fires; None where all are known, and stand for themselves.
        """
        known = activations.known
        return None if known is None else known.of_sequences(self.sequences_in_train)

    def in_split(self, split: Split) -> Bool[ndarray, " token"]:
        """Whether each token belongs to the split."""
        return self.in_train if split is Split.TRAIN else ~self.in_train

    @cached_property
    def token_supply(self) -> TokenSupply:
        """The tokens, to be drawn as often as they stand here."""
        counts = np.bincount(self.tokens, minlength=len(self.vocabulary))
        return TokenSupply(counts, self.vocabulary.strings)

    @staticmethod
    def open(folder: Path) -> "Corpus":
        """Read a corpus that `collect` wrote. Raises BadInput where there is none, and Damaged."""
        if not (folder / "tokens.parquet").is_file():
            raise BadInput(
                f"{folder} holds no corpus; collect one there first, or give the folder `corpus` of"
                " a finished collect"
            )
        known = (
            read_sealed_json(folder / "manifest.json")
            if (folder / "manifest.json").exists()
            else {}
        )
        require_footers(folder, known.get("footers", {}))
        if not (folder / GROUPS).exists():
            raise BadInput(
                f"{folder} was collected by a former version of gloss, which did not keep near"
                f" copies on one side of the split; delete {folder.parent} and run its experiment"
                " again"
            )
        tokens = resting_tokens(folder / "tokens.parquet")
        sequences, documents, vocabulary = (
            folder / f"{name}.parquet" for name in ("sequences", "documents", "vocabulary")
        )
        mined = "background" in known
        return Corpus(
            tokens=tokens,
            offsets=np.append(read_column(sequences, "offset"), len(tokens)),
            documents=read_column(sequences, "document"),
            hashes=read_column(documents, "hash"),
            names=tuple(read_table(documents, documents, ["name"])["name"].to_pylist()),
            vocabulary=stored_vocabulary(vocabulary),
            near_copies=read_column(folder / GROUPS, "group"),
            background=known["background"] if mined else None,
            numbers=read_column(sequences, "number") if mined else None,
        )


def stored_vocabulary(file: Path) -> Vocabulary:
    """The tokens of a corpus, with those that are alike where these were kept."""
    table = read_table(file, file)
    pieces = tuple(table["piece"].to_pylist())
    rows = table["alike"].to_pylist() if "alike" in table.column_names else []
    widest = max(map(len, rows), default=0)
    return Vocabulary(pieces, np.array(rows, np.int32) if widest else None)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some whole sequences that follow each other: what is worked on, and stored, at a time."""

    number: int
    first: int  # global index of the first token
    tokens: Int32[ndarray, " token"]
    lengths: Int64[ndarray, " sequence"]


def corpus_stretches(folder: Path, tokens_each: int) -> Iterator[Stretch]:
    """Cut a stored corpus after the sequence that brings a stretch to `tokens_each`.

    Memory does not grow with the corpus.
    """
    with open_parquet(folder / "tokens.parquet") as file:
        stream = TokenStream(file)
        bounds = stretch_bounds(folder, tokens_each, file.metadata.num_rows)
        for number, offsets in enumerate(bounds):
            tokens = stream.take(offsets[-1] - offsets[0])
            yield Stretch(number, offsets[0], tokens, np.diff(np.array(offsets, np.int64)))


def stretch_bounds(folder: Path, tokens_each: int, total: int) -> Iterator[list[int]]:
    """Of each stretch, where its sequences begin, and where the last one ends."""
    starts: list[int] = []
    for offset in offsets_and_end(folder, total):
        if starts and (offset - starts[0] >= tokens_each or offset == total):
            yield [*starts, offset]
            starts = []
        starts.append(offset)


def stretch_sizes(folder: Path, tokens_each: int) -> list[int]:
    """How many tokens each stretch of a stored corpus has, without reading them."""
    with open_parquet(folder / "tokens.parquet") as file:
        total = file.metadata.num_rows
    return [each[-1] - each[0] for each in stretch_bounds(folder, tokens_each, total)]


class StretchReader:
    """Any stretch of a stored corpus by its number; it is read from front to back, so that
    ascending numbers cost nothing more.
    """

    def __init__(self, folder: Path, tokens_each: int) -> None:
        self.folder, self.tokens_each = folder, tokens_each
        self.begin()

    def begin(self) -> None:
        """Go to the front."""
        self.stretches, self.next = corpus_stretches(self.folder, self.tokens_each), 0

    def read(self, number: int) -> Stretch:
        """The stretch of this number. Raises IndexError where there is none."""
        if number < self.next:
            self.begin()
        for stretch in self.stretches:
            self.next = stretch.number + 1
            if stretch.number == number:
                return stretch
        raise IndexError(f"the corpus in {self.folder} has no stretch {number}")


def offsets_and_end(folder: Path, total: int) -> Iterator[int]:
    """Where each sequence begins, then the number of tokens."""
    with open_parquet(folder / "sequences.parquet") as file:
        for batch in file.iter_batches(columns=["offset"], use_threads=False):
            yield from batch["offset"].to_pylist()
    yield total


class TokenStream:
    """Reads a column of tokens from front to back, some at a time."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self.groups = (
            file.read_row_group(i, use_threads=False)["token"].to_numpy()
            for i in range(file.num_row_groups)
        )
        self.rest = np.empty(0, np.int32)

    def take(self, number: int) -> Int32[ndarray, " token"]:
        """The next tokens, exactly so many."""
        parts, held = [self.rest], len(self.rest)
        while held < number:
            parts.append(next(self.groups).astype(np.int32, copy=False))
            held += len(parts[-1])
        whole = np.concatenate(parts)
        self.rest = whole[number:].copy()
        return whole[:number]


def resting_tokens(path: Path) -> Int32[ndarray, " token"]:
    """All tokens, read some at a time; those of a long text rest in a file. Raises Damaged."""
    with open_parquet(path) as file:
        found, done = resting_array(file.metadata.num_rows, np.int32), 0
        for number in range(file.num_row_groups):
            with parquet_errors(path):
                group = file.read_row_group(number, ["token"], use_threads=False)["token"]
            found[done : done + len(group)] = group.to_numpy()
            done += len(group)
            let_go()
    return found


def read_column(path: Path, name: str) -> ndarray:
    """One column of a Parquet file, whole."""
    return read_table(path, path, [name])[name].to_numpy()


@lru_cache(maxsize=2)
def token_occurrences(corpus: Corpus) -> Occurrences:
    """Where each token of the vocabulary stands in a corpus; worked out once for all features."""
    return Occurrences.of(corpus.tokens, len(corpus.vocabulary))


@lru_cache(maxsize=4)
def counted_occurrences(corpus: Corpus, split: Split) -> Occurrences:
    """Where each token of the vocabulary stands in a split and counts, of the tokens that are known
    of every feature; worked out once for all features.
    """
    counts = corpus.in_split(split) & corpus.counted
    places = np.flatnonzero(counts[: corpus.background_tokens])
    found = Occurrences.of(corpus.tokens[places], len(corpus.vocabulary))
    return Occurrences(compact(places[found.order], len(corpus)), found.offsets)
