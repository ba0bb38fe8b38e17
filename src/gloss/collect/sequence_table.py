"""What mining must know of every sequence before anything is read: which it is wherever it stands,
its split, and whether it belongs to the background. Kept in arrays that are mapped, not read.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt64
from numpy import ndarray
from numpy.lib.format import dtype_to_descr, write_array_header_1_0

from gloss.store.atomic import disk_errors, new_folder
from gloss.store.corpus import TRAIN_SHARE, read_column
from gloss.store.parquet import open_parquet

# of what is kept of a sequence
KINDS = {
    "identities": np.dtype(np.uint64),
    "offsets": np.dtype(np.int64),
    "in_train": np.dtype(np.bool_),
}
HELD_OUT, TRAIN = 0, 1  # as numbers of the splits
# odd numbers of 64 bits (Steele, Lea & Flood, 2014)
GOLDEN, FIRST, SECOND = (
    np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def mixed(numbers: UInt64[ndarray, "*_"]) -> UInt64[ndarray, "*_"]:
    """Numbers that look drawn at random, a different one for each: the end of SplitMix64."""
    with np.errstate(over="ignore"):
        numbers = numbers + GOLDEN
        numbers = (numbers ^ (numbers >> np.uint64(30))) * FIRST
        numbers = (numbers ^ (numbers >> np.uint64(27))) * SECOND
        return numbers ^ (numbers >> np.uint64(31))


def priorities(
    seed: int, features: Int32[ndarray, " entry"], identities: UInt64[ndarray, " entry"]
) -> UInt64[ndarray, " entry"]:
    """A number for each feature and sequence, as if drawn for this seed: the smallest are kept."""
    own = mixed(np.uint64(seed % 2**64) ^ mixed(features.astype(np.uint64)))
    return mixed(own ^ identities)


@dataclass(frozen=True, eq=False)
class SequenceTable:
    """Every sequence of a corpus, in its order."""

    identities: UInt64[ndarray, " sequence"]  # of its document's text and its place there
    offsets: Int64[ndarray, " sequence"]  # global index of its first token
    in_train: Bool[ndarray, " sequence"]
    background: Int64[ndarray, " background"]  # the numbers of those in the background, ascending

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def by_split(self) -> Int64[ndarray, " 2"]:
        """How many are held out, and how many are in the train split."""
        train = int(np.count_nonzero(self.in_train))
        return np.array([len(self) - train, train])

    @staticmethod
    def of(corpus: Path, folder: Path, number: int, seed: int) -> "SequenceTable":
        """The table of a stored corpus, written into `folder` where it is not there yet.

        Half of the `number` sequences of the background are of each split, as far as there are so
        many: those with the smallest numbers drawn for them by `seed`, whatever they say.
        """
        if not folder.exists():
            with new_folder(folder) as fresh:
                write_table(corpus, fresh, number, seed)
        names = ("identities", "offsets", "in_train")
        identities, offsets, in_train = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in names
        )
        return SequenceTable(identities, offsets, in_train, np.load(folder / "background.npy"))


def write_table(corpus: Path, folder: Path, number: int, seed: int) -> None:
    """Read the corpus's list of sequences once and write what the table holds."""
    hashes = read_column(corpus / "documents.parquet", "hash")
    groups = read_column(corpus / "groups.parquet", "group")
    documents_in_train = hashes[groups] < np.uint64(int(TRAIN_SHARE * 2**64))
    with open_parquet(corpus / "sequences.parquet") as file:
        total = file.metadata.num_rows
    with ExitStack() as files, disk_errors(folder):
        into = {
            name: files.enter_context(new_array(folder / f"{name}.npy", kind, total))
            for name, kind in KINDS.items()
        }
        own = mixed(hashes ^ mixed(copy_numbers(hashes)))
        background = write_rows(corpus, own, documents_in_train, into, number, seed)
        np.save(folder / "background.npy", background)


@contextmanager
def new_array(path: Path, kind: np.dtype, rows: int) -> Generator[IO[bytes]]:
    """An .npy file of one dimension, of which the rows are written one after the other."""
    header = {"descr": dtype_to_descr(kind), "fortran_order": False, "shape": (rows,)}
    with path.open("wb") as file:
        write_array_header_1_0(file, header)
        yield file


def copy_numbers(hashes: UInt64[ndarray, " document"]) -> UInt64[ndarray, " document"]:
    """How many documents of the same text stand before each: copies are drawn each by itself."""
    order = np.argsort(hashes, kind="stable")
    begins = np.flatnonzero(np.append(True, hashes[order][1:] != hashes[order][:-1])[: len(order)])
    found = np.empty(len(hashes), np.uint64)
    lengths = np.diff(begins, append=len(order))
    found[order] = np.arange(len(order)) - np.repeat(begins, lengths)
    return found


def write_rows(
    corpus: Path,
    own: UInt64[ndarray, " document"],
    documents_in_train: Bool[ndarray, " document"],
    into: Mapping[str, IO[bytes]],
    number: int,
    seed: int,
) -> Int64[ndarray, " background"]:
    """Write what is kept of every sequence, and give the numbers of those of the background."""
    chosen = {split: (np.empty(0, np.uint64), np.empty(0, np.int64)) for split in (0, 1)}
    wanted = background_sizes(number)
    for first, offsets, documents, places in numbered_sequences(corpus):
        identities = mixed(own[documents] ^ places.astype(np.uint64))
        in_train = documents_in_train[documents]
        for name, rows in (
            ("identities", identities),
            ("offsets", offsets),
            ("in_train", in_train),
        ):
            into[name].write(rows.astype(KINDS[name]).tobytes())
        drawn = background_numbers(identities, seed)
        for split, (numbers, sequences) in chosen.items():
            there = np.flatnonzero(in_train == (split == TRAIN))
            numbers = np.concatenate([numbers, drawn[there]])
            sequences = np.concatenate([sequences, first + there])
            least = np.lexsort((sequences, numbers))[: wanted[split]]
            chosen[split] = numbers[least], sequences[least]
    return np.sort(np.concatenate([sequences for _, sequences in chosen.values()]))


def background_sizes(number: int) -> dict[int, int]:
    """How many sequences of each split a background of so many has, where there are enough."""
    return {HELD_OUT: number // 2, TRAIN: number - number // 2}


def background_numbers(
    identities: UInt64[ndarray, " sequence"], seed: int
) -> UInt64[ndarray, " sequence"]:
    """A number for each sequence, as if drawn for this seed: the smallest are the background."""
    return mixed(identities ^ mixed(np.array([seed % 2**64], np.uint64)))


def numbered_sequences(
    corpus: Path,
) -> Iterator[tuple[int, ndarray, ndarray, ndarray]]:
    """The sequences, many at a time: the first one's number, where each begins, its document, and
    how many of the same document stand before it.
    """
    first, last_document, before = 0, -1, 0
    with open_parquet(corpus / "sequences.parquet") as file:
        for batch in file.iter_batches(use_threads=False):
            offsets, documents = batch["offset"].to_numpy(), batch["document"].to_numpy()
            begins = np.flatnonzero(np.diff(documents, prepend=last_document))
            starts = np.full(len(documents), -before)
            starts[begins] = begins
            # what goes on from the batch before keeps counting
            places = np.arange(len(documents)) - np.maximum.accumulate(starts)
            yield first, offsets, documents, places
            first, last_document, before = (
                first + len(documents),
                int(documents[-1]),
                int(places[-1]) + 1,
            )
