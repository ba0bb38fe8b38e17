"""Writes a corpus as it is read: memory does not grow with the number of tokens, and equal texts
make equal bytes.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64
from numpy import ndarray

from gloss.store.atomic import disk_errors
from gloss.store.parquet import ROWS, GroupWriter, footer_digests
from gloss.store.sealed_json import seal_json
from gloss.store.vocabulary import Vocabulary

SEQUENCES = pa.schema([("offset", pa.int64()), ("document", pa.int64())])
DOCUMENTS = pa.schema([("name", pa.string()), ("hash", pa.uint64())])
PIECES = pa.schema([("piece", pa.binary()), ("alike", pa.list_(pa.int32()))])
GROUPS = pa.schema([("group", pa.int64())])
FILES = tuple(
    f"{name}.parquet" for name in ("tokens", "sequences", "documents", "vocabulary", "groups")
)
HELD = 2**12  # sequences and documents that wait to be written


class CorpusDigest:
    """A hash of everything that a corpus consists of, built while it is read."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.parts = [hashlib.sha256() for _ in range(3)]  # tokens, sequences, documents
        self.vocabulary = hashlib.sha256(b"\0".join(vocabulary.pieces)).hexdigest()
        self.tokens = self.sequences = self.documents = 0
        self.empty = 0  # documents without a token, which are left out

    def sequence(self, tokens: Int32[ndarray, " token"]) -> None:
        """The next sequence of the document that is being read."""
        self.parts[0].update(tokens.tobytes())
        self.parts[1].update(f"{len(tokens)} {self.documents}\n".encode())
        self.tokens += len(tokens)
        self.sequences += 1

    def end_document(self, name: str, text_hash: int) -> None:
        """The document is over."""
        self.parts[2].update(f"{text_hash} {json.dumps(name)}\n".encode())
        self.documents += 1

    @property
    def hexadecimal(self) -> str:
        whole = "".join(part.hexdigest() for part in self.parts) + self.vocabulary
        return hashlib.sha256(whole.encode()).hexdigest()


class CorpusWriter(CorpusDigest):
    """Takes sequences and ends of documents in reading order.

    Use it in a `with` block. Raises Unwritable.
    """

    def __init__(
        self,
        folder: Path,
        vocabulary: Vocabulary,
        group_documents: Callable[[Path], Int64[ndarray, " document"]] | None = None,
        alike: Callable[[Int64[ndarray, " id"]], Int32[ndarray, "id alike"]] | None = None,
    ) -> None:
        """`group_documents` gets the folder at the end and says which documents are near copies.

        `alike` gets how often each token stands there and says which tokens are alike. Without them
        none is.
        """
        super().__init__(vocabulary)
        self.folder, self.held, self.group_documents = folder, ExitStack(), group_documents
        kind = pa.uint16() if len(vocabulary) <= 2**16 else pa.int32()
        self.token_file = self.open_writer("tokens", pa.schema([("token", kind)]))
        encodings = {"offset": "DELTA_BINARY_PACKED", "document": "DELTA_BINARY_PACKED"}
        self.sequence_file = self.open_writer("sequences", SEQUENCES, encodings)
        self.document_file = self.open_writer("documents", DOCUMENTS)
        self.pieces, self.alike = vocabulary.pieces, alike
        self.counts = np.zeros(len(vocabulary), np.int64)
        self.waiting_tokens: list[ndarray] = []
        self.waiting_offsets: list[tuple[int, int]] = []
        self.waiting_documents: list[tuple[str, int]] = []

    def open_writer(
        self, name: str, schema: pa.Schema, encodings: dict[str, str] | None = None
    ) -> GroupWriter:
        return self.held.enter_context(
            GroupWriter(self.folder / f"{name}.parquet", schema, encodings, ROWS)
        )

    def sequence(self, tokens: Int32[ndarray, " token"]) -> None:
        self.waiting_tokens.append(tokens)
        self.waiting_offsets.append((self.tokens, self.documents))
        super().sequence(tokens)
        if len(self.waiting_offsets) >= HELD:
            self.hand_on()

    def end_document(self, name: str, text_hash: int) -> None:
        self.waiting_documents.append((name, text_hash))
        super().end_document(name, text_hash)
        if len(self.waiting_documents) >= HELD:
            self.hand_on()

    def hand_on(self) -> None:
        """Give the Parquet writers what has gathered."""
        if self.waiting_tokens:
            tokens = np.concatenate(self.waiting_tokens)
            self.token_file.add(token=tokens)
            self.counts += np.bincount(tokens, minlength=len(self.counts))
            offsets, documents = np.array(self.waiting_offsets, dtype=np.int64).T
            self.sequence_file.add(offset=offsets, document=documents)
        if self.waiting_documents:
            names, hashes = zip(*self.waiting_documents, strict=True)
            self.document_file.add(name=list(names), hash=np.array(hashes, dtype=np.uint64))
        self.waiting_tokens, self.waiting_offsets, self.waiting_documents = [], [], []

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.held.__exit__(kind, error, trace)
            return
        with self.held:
            self.hand_on()
            with GroupWriter(self.folder / "vocabulary.parquet", PIECES) as file:
                alike = self.alike(self.counts).tolist() if self.alike else [[]] * len(self.pieces)
                file.add(piece=list(self.pieces), alike=alike)
        groups = (
            np.arange(self.documents)
            if self.group_documents is None
            else self.group_documents(self.folder)
        )
        with GroupWriter(self.folder / "groups.parquet", GROUPS) as file:
            file.add(group=groups)
        counts: dict[str, str | int] = {
            "digest": self.hexadecimal,
            "tokens": self.tokens,
            "sequences": self.sequences,
        }
        counts |= {"documents": self.documents, "empty": self.empty}
        with disk_errors(self.folder):
            (self.folder / "manifest.json").write_bytes(
                seal_json(counts | {"footers": footer_digests(self.folder, FILES)})
            )
