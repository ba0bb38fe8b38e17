"""Which documents of a corpus share most of their text: near copies, which the split keeps on one
side.

Documents are compared by MinHash signatures (Broder, 1997) of their runs of three words, looked up
in bands. Lines and sentences that stand in many documents, such as a licence, count for none,
unless next to nothing else is in a document.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Int64, UInt16, UInt64
from numpy import ndarray
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gloss.store.corpus import TokenStream, read_column
from gloss.store.parquet import read_table
from gloss.store.vocabulary import Vocabulary

# Jaccard index of the runs of words from which on two documents are copies: 62 % of two of equal
# length
COPY_SIMILARITY = 0.45
RUN = 3  # words
SIGNATURE = 256  # numbers; two bytes of each are kept, which is half a kibibyte a document
BAND = 3  # numbers that two documents must share to be compared
# of a document's words: where less is left without common lines, all its lines count
LEAST_REST = 0.2
FEW = 8  # documents; among fewer no line is common
COUNTERS = 2**22  # of lines, by hash: 16 MiB, whatever the corpus
AT_ONCE = 2**16  # tokens of a document that are looked at together
PAIRS = 2**13  # compared at a time

# A character of a script without spaces is a word of its own.
UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORDS = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
LINES = re.compile(r"[\r\n]+|(?<=[.!?])\s|[。！？]")


def near_copy_groups(
    folder: Path, special: frozenset[int] = frozenset()
) -> Int64[ndarray, " document"]:
    """For each document of a stored corpus the number of the first one of its group.

    Documents are joined by pairs, so the ends of a chain may differ more. Tokens in `special` are
    no words: one stands for what a tokenizer does not know, such as an odd space.
    """
    hashes = read_column(folder / "documents.parquet", "hash")
    pieces: list[bytes] = read_table(file := folder / "vocabulary.parquet", file)[
        "piece"
    ].to_pylist()
    vocabulary = Vocabulary(
        tuple(b" " if token in special else piece for token, piece in enumerate(pieces))
    )
    common = CommonLines.of(folder, vocabulary, len(hashes))
    signatures = np.empty((len(hashes), SIGNATURE), np.uint16)
    for number, drawn in enumerate(sketch_documents(folder, vocabulary, common)):
        signatures[number] = drawn.signature()
    return group_near_copies(signatures, hashes)


@dataclass(eq=False)
class CommonLines:
    """In how many documents each line or sentence stands, by a hash of its words."""

    limit: float  # documents; a line in more is common
    counts: ndarray = field(default_factory=lambda: np.zeros(COUNTERS, np.uint32))

    @staticmethod
    def of(folder: Path, vocabulary: Vocabulary, documents: int) -> "CommonLines":
        """Read the corpus once.

        A line is common in more than a third of some documents, and in more than 2 % of many.
        """
        found = CommonLines(
            np.inf if documents < FEW else min(documents / 3, max(16.0, documents / 50))
        )
        if documents >= FEW:
            for _, texts in document_texts(folder, vocabulary):
                its = np.unique(
                    np.array(
                        [line_hash(line) for text in texts for line in words_by_line(text)],
                        np.int64,
                    )
                )
                found.counts[its] += 1
        return found

    def __contains__(self, line: list[str]) -> bool:
        return bool(self.counts[line_hash(line)] > self.limit)


def words_by_line(text: str) -> Iterator[list[str]]:
    """The words of each line and sentence that has any."""
    for line in LINES.split(text.casefold()):
        if words := WORDS.findall(line):
            yield words


def line_hash(line: list[str]) -> int:
    return zlib.crc32(" ".join(line).encode()) % COUNTERS


@dataclass(eq=False)
class DocumentSketch:
    """What a document is compared by: all its words, and those outside common lines."""

    whole: RMinHash = field(default_factory=lambda: RMinHash(SIGNATURE, 0))
    rest: RMinHash = field(default_factory=lambda: RMinHash(SIGNATURE, 0))
    words: int = 0
    kept: int = 0

    def add(self, text: str, common: CommonLines) -> None:
        """The next piece of the document."""
        lines = list(words_by_line(text))
        kept = [line for line in lines if line not in common]
        whole = word_runs(lines) or [text.strip()]  # of a text without words
        self.whole.update(whole)
        self.rest.update(whole if len(kept) == len(lines) else word_runs(kept))
        self.words += sum(map(len, lines))
        self.kept += sum(map(len, kept))

    def signature(self) -> UInt16[ndarray, " _"]:
        """The signature that counts."""
        chosen = self.rest if self.kept >= LEAST_REST * self.words else self.whole
        return np.array(chosen.digest(), np.uint32).astype(np.uint16)


def word_runs(lines: list[list[str]]) -> list[str]:
    """Every run of three words, across lines; of fewer words, all of them."""
    words = [word for line in lines for word in line]
    return [" ".join(words[i : i + RUN]) for i in range(len(words) - RUN + 1)] or [
        " ".join(words)
    ] * bool(words)


def sketch_documents(
    folder: Path, vocabulary: Vocabulary, common: CommonLines
) -> Iterator[DocumentSketch]:
    for _, texts in document_texts(folder, vocabulary):
        sketch = DocumentSketch()
        for text in texts:
            sketch.add(text, common)
        yield sketch


def document_texts(folder: Path, vocabulary: Vocabulary) -> Iterator[tuple[int, Iterator[str]]]:
    """Each document's number and its text, a piece at a time, as the tokens of a stored corpus
    spell it.
    """
    documents, offsets = (
        read_column(folder / "sequences.parquet", name) for name in ("document", "offset")
    )
    with pq.ParquetFile(folder / "tokens.parquet") as file:
        firsts = offsets[np.flatnonzero(np.diff(documents, prepend=-1))].tolist()
        stream = TokenStream(file)
        for number, (first, end) in enumerate(
            zip(firsts, [*firsts[1:], file.metadata.num_rows], strict=True)
        ):
            sizes = [min(AT_ONCE, end - begin) for begin in range(first, end, AT_ONCE)]
            yield number, (vocabulary.text(stream.take(size).tolist()) for size in sizes)


def group_near_copies(
    signatures: UInt16[ndarray, "document _"], hashes: UInt64[ndarray, " document"]
) -> Int64[ndarray, " document"]:
    """The first document of each one's group, from the pairs that are alike.

    The time is linear in the documents.
    """
    number = len(hashes)
    _, equal = np.unique(hashes, return_inverse=True)
    groups = equal.astype(np.int64)
    for first in range(0, SIGNATURE - BAND + 1, BAND):
        band = signatures[:, first : first + BAND].astype(np.uint64)
        keys = (band[:, 0] << np.uint64(32)) | (band[:, 1] << np.uint64(16)) | band[:, 2]
        order = np.lexsort((groups, keys))
        begins = np.flatnonzero(np.diff(keys[order], prepend=keys[order[:1]] + np.uint64(1)))
        # of the documents of one key
        heads = np.repeat(order[begins], np.diff(np.append(begins, number)))
        pairs = np.concatenate(
            [np.stack([order[:-1], order[1:]]), np.stack([heads, order])], axis=1
        )
        pairs = pairs[
            :, (keys[pairs[0]] == keys[pairs[1]]) & (groups[pairs[0]] != groups[pairs[1]])
        ]
        if len(alike := pairs[:, are_near_copies(signatures, pairs)].T):
            edges = coo_array(
                (np.ones(len(alike), bool), (groups[alike[:, 0]], groups[alike[:, 1]])),
                shape=(number, number),
            )
            groups = connected_components(edges, directed=False)[1].astype(np.int64)[groups]
    _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return firsts[inverse].astype(np.int64)


def are_near_copies(
    signatures: UInt16[ndarray, "document _"], pairs: Int64[ndarray, "2 pair"]
) -> ndarray:
    """Which pairs are alike."""
    near = np.zeros(pairs.shape[1], bool)
    for begin in range(0, len(near), PAIRS):
        one, other = pairs[:, begin : begin + PAIRS]
        near[begin : begin + PAIRS] = (signatures[one] == signatures[other]).mean(
            axis=1
        ) >= COPY_SIMILARITY
    return near
