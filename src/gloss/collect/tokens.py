"""Text to tokens to sequences: a sequence never mixes two documents, and memory does not grow with
the text.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from numpy import ndarray

from gloss.collect.alike_tokens import alike_tokens
from gloss.collect.column_values import Dialogue, TokenNumbers
from gloss.collect.left_out_tokens import find_left_out_tokens, text_end_pattern, text_end_tokens
from gloss.collect.near_copies import near_copy_groups
from gloss.collect.texts import BLOCK, DialogueText, Document, SeparatedTexts, Texts
from gloss.errors import BadInput, BadSettings, Mismatch
from gloss.models.model_settings import SPECIAL, LeaveOut
from gloss.models.subject import Subject
from gloss.store.atomic import new_folder
from gloss.store.corpus_writer import CorpusDigest, CorpusWriter
from gloss.store.sealed_json import read_sealed_json


@dataclass(frozen=True, slots=True)
class DocumentEnd:
    """Closes a document in a stream of its pieces."""

    name: str
    text_hash: int


def read_texts(
    subject: Subject,
    texts: Texts,
    folder: Path,
    context_length: int = 256,
    max_tokens: int | None = None,
    leave_out: LeaveOut = SPECIAL,
) -> str:
    """Write the texts as a corpus into `folder`, which appears whole; give the corpus's digest.

    A sequence holds up to `context_length` tokens, the start token among them where the subject has
    one. Reading stops in the middle of a document at `max_tokens`. An end-of-text token that is to
    be left out ends a document. Where the folder holds a corpus already, the texts are read again
    and Mismatch is raised if they, the tokenizer or these settings would now give another. Raises
    BadInput for text that cannot be read, or where there is none, and Unwritable.
    """
    if context_length < 2:
        raise BadSettings(f"context_length is {context_length}; a sequence needs 2 tokens or more")
    if max_tokens is not None and max_tokens < 1:
        raise BadSettings(
            f"max_tokens is {max_tokens}; give 1 or more, or leave it out to read everything"
        )
    if subject.context is not None and context_length > subject.context:
        raise BadSettings(
            f"context_length is {context_length}; this model takes sequences of at most"
            f" {subject.context} tokens"
        )
    cutter = SequenceCutter(
        subject,
        context_length - (subject.start_token is not None),
        max_tokens,
        find_left_out_tokens(subject, leave_out),
    )
    if (folder / "manifest.json").is_file():
        found = read_sealed_json(folder / "manifest.json")["digest"]
        again = CorpusDigest(subject.vocabulary())
        cutter.cut(texts, again)
        if again.hexadecimal != found:
            raise Mismatch(
                f"{folder} was read from other texts, with another tokenizer or other settings;"
                " give another folder, or delete it"
            )
        return found
    grouped = partial(near_copy_groups, special=subject.tokens.special.numbers)
    alike = partial(alike_tokens, subject)
    with (
        new_folder(folder) as fresh,
        CorpusWriter(fresh, subject.vocabulary(), grouped, alike) as written,
    ):
        cutter.cut(texts, written)
    return written.hexadecimal


@dataclass(frozen=True, slots=True)
class SequenceCutter:
    """Cuts each document into sequences of `room` tokens, the last one shorter, up to `max_tokens`
    in all.

    A start token that a document itself begins with is dropped: its first sequence gets one anyway.
    """

    subject: Subject
    room: int
    max_tokens: int | None
    left_out: frozenset[int] = frozenset()

    def cut(self, texts: Texts, into: CorpusDigest) -> None:
        """Hand every sequence and every end of a document on.

        Documents without tokens are left out.
        """
        limit = self.max_tokens or 2**62
        document: list[Int32[ndarray, " token"]] = []
        begun = False
        for batch in batch_by_length(stream_pieces(self.subject, texts, self.left_out)):
            pieces = [item for item in batch if isinstance(item, str)]
            # Once there are tokens enough the document is read to its end for its hash alone.
            encoded = iter(
                self.encoded(pieces)
                if into.tokens + count_waiting_tokens(document) < limit
                else [np.empty(0, np.int32)] * len(pieces)
            )
            for item in batch:
                if not isinstance(item, DocumentEnd):
                    tokens = next(encoded) if isinstance(item, str) else item
                    tokens = (tokens if begun else self.without_start(tokens))[
                        : limit - into.tokens - count_waiting_tokens(document)
                    ]
                    begun |= len(tokens) > 0
                    document = self.hand_on([*document, tokens], into)
                    continue
                if rest := count_waiting_tokens(document):
                    into.sequence(np.concatenate(document)[:rest])
                if begun:
                    into.end_document(item.name, item.text_hash)
                else:
                    into.empty += 1
                document, begun = [], False
                if into.tokens >= limit:
                    return
        if into.tokens == 0:
            raise BadInput(
                "the texts are empty: no document holds a token; give texts with words in them"
            )

    def without_start(self, tokens: Int32[ndarray, " token"]) -> Int32[ndarray, " rest"]:
        return tokens[1:] if len(tokens) and tokens[0] == self.subject.start_token else tokens

    def hand_on(self, document: list[ndarray], into: CorpusDigest) -> list[ndarray]:
        """Hand on the full sequences and give what is left of the document."""
        if count_waiting_tokens(document) < self.room:
            return document
        tokens = np.concatenate(document)
        full = len(tokens) - len(tokens) % self.room
        for first in range(0, full, self.room):
            into.sequence(tokens[first : first + self.room])
        return [tokens[full:]]

    def encoded(self, pieces: list[str]) -> list[Int32[ndarray, " token"]]:
        tokenizer = self.subject.tokens.tokenizer
        return [
            np.array(each.ids, dtype=np.int32)
            for each in tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
        ]


def stream_pieces(
    subject: Subject, texts: Texts, left_out: frozenset[int]
) -> Iterator[str | Int32[ndarray, " token"] | DocumentEnd]:
    """The pieces of every document, each document closed by its name and the first 64 bits of its
    text's SHA-256.

    Text and token numbers end where a left-out token says that a text ends; what follows is a
    document of its own.
    """
    between, pads = (
        np.array(sorted(each), np.int32)
        for each in (text_end_tokens(subject, left_out), subject.tokens.special.pads & left_out)
    )
    for document in SeparatedTexts(texts, text_end_pattern(subject, left_out)):
        digest, number = hashlib.sha256(), 1
        for piece in document.pieces:
            if isinstance(piece, Dialogue):
                raise BadInput(
                    f"{document.name} is a dialogue, and nothing here puts dialogues as text; give"
                    " texts"
                )
            if isinstance(piece, TokenNumbers):
                *whole, read = split_at_text_ends(
                    strip_pads(checked_token_numbers(subject, piece, document), pads), between
                )
                for part in whole:
                    digest.update(part.tobytes())
                    yield part
                    yield document_end(document.name, number, digest.digest())
                    digest, number = hashlib.sha256(), number + 1
            else:
                read = piece.text if isinstance(piece, DialogueText) else piece
            digest.update(read.encode() if isinstance(read, str) else read.tobytes())
            yield read
        yield document_end(document.name, number, digest.digest())


def document_end(name: str, number: int, digest: bytes) -> DocumentEnd:
    return DocumentEnd(
        name if number == 1 else f"{name}:{number}", int.from_bytes(digest[:8], "big")
    )


def strip_pads(
    tokens: Int32[ndarray, " token"], pads: Int32[ndarray, " pad"]
) -> Int32[ndarray, " kept"]:
    """The tokens without what fills them up at either end."""
    kept = np.flatnonzero(~np.isin(tokens, pads))
    return tokens[kept[0] : kept[-1] + 1] if len(kept) else tokens[:0]


def split_at_text_ends(
    tokens: Int32[ndarray, " token"], between: Int32[ndarray, " end"]
) -> list[Int32[ndarray, " part"]]:
    """The tokens cut where one of `between` stands, without these.

    Parts that hold nothing are left out, but for a last one.
    """
    cut = np.isin(tokens, between)
    parts = [part[~np.isin(part, between)] for part in np.split(tokens, np.flatnonzero(cut))]
    return [part for part in parts if len(part)] or [tokens[:0]]


def checked_token_numbers(
    subject: Subject, given: TokenNumbers, document: Document
) -> Int32[ndarray, " token"]:
    """Token numbers as they came. Raises BadInput for those that the model does not have."""
    size = subject.model.get_input_embeddings().get_parameter("weight").shape[0]
    if outside := [number for number in given.numbers if not 0 <= number < size]:
        raise BadInput(
            f"{document.name} holds the token number {outside[0]}, and this model's go from 0 to"
            f" {size - 1:,}; give numbers of this model's tokenizer, or a column of text"
        )
    return np.array(given.numbers, np.int32)


def batch_by_length(
    items: Iterable[str | Int32[ndarray, " token"] | DocumentEnd],
) -> Iterator[list[str | Int32[ndarray, " token"] | DocumentEnd]]:
    """Lists of items that hold about BLOCK characters together: what is tokenised at a time."""
    batch: list[str | Int32[ndarray, " token"] | DocumentEnd] = []
    size = 0
    for item in items:
        batch.append(item)
        size += 1 if isinstance(item, DocumentEnd) else len(item)
        if size >= BLOCK:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def count_waiting_tokens(document: list[ndarray]) -> int:
    """The tokens that wait for their sequence to be full."""
    return sum(len(tokens) for tokens in document)
