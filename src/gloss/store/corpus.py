"""The tokens that were read, cut into the sequences that the subject saw, each inside one document."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt64
from numpy import ndarray

from gloss.records import Split
from gloss.store.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path

SHOWN_SHARE = 0.5  # of the documents, by hash


@dataclass(frozen=True)
class Corpus:
    """Text tokens in reading order. Start tokens are not among them: the subject gets one before each sequence.

    A sequence is what one row of a forward pass held. Contexts and rules stay inside a sequence, because the subject
    saw nothing beyond it; splits go by document, because sequences of one document resemble each other.
    """

    tokens: Int32[ndarray, " token"]
    offsets: Int64[ndarray, " sequence_and_end"]  # of each sequence's first token, then the number of tokens
    documents: Int64[ndarray, " sequence"]  # the document that each sequence comes from, counted from 0
    hashes: UInt64[ndarray, " document"]  # of each document's text
    names: tuple[str, ...]  # of each document, for people
    vocabulary: Vocabulary

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def document_splits(self) -> Bool[ndarray, " document"]:
        """Whether each document is shown. Equal texts have equal hashes, so a copy never lands on the other side."""
        return self.hashes < np.uint64(int(SHOWN_SHARE * 2**64))

    def sequences_of(self, positions: Int64[ndarray, " position"]) -> Int64[ndarray, " position"]:
        """The sequence that each global token index lies in."""
        return np.searchsorted(self.offsets, positions, side="right") - 1

    def documents_of(self, positions: Int64[ndarray, " position"]) -> Int64[ndarray, " position"]:
        """The document that each global token index lies in."""
        return self.documents[self.sequences_of(positions)]

    @cached_property
    def shown(self) -> Bool[ndarray, " token"]:
        """Whether each token belongs to the shown split."""
        return np.repeat(self.document_splits[self.documents], np.diff(self.offsets))

    def in_split(self, split: Split) -> Bool[ndarray, " token"]:
        """Whether each token belongs to the split."""
        return self.shown if split is Split.SHOWN else ~self.shown

    @staticmethod
    def open(folder: "Path") -> "Corpus":
        """Read a corpus that `collect` wrote. Raises BadInput where there is none."""
        raise NotImplementedError
