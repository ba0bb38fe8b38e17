"""Reads new texts as the corpus was read, one feature at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray

from gloss.collect.code_shards import CodeTriples
from gloss.collect.site_reader import SiteReader
from gloss.collect.stretch_codes import encode_stretch
from gloss.models.dictionary import Dictionary
from gloss.store.corpus import Stretch

MOST_KEPT = 2**24  # codes of texts that were read: some 200 MB


@dataclass(frozen=True, eq=False)
class SubjectReader:
    """A subject and a dictionary that stay loaded."""

    forward: SiteReader
    dictionary: Dictionary
    room: int  # tokens of a sequence, the start token not among them
    # what was read, by its tokens and the lengths of its sequences
    kept: dict[tuple[bytes, tuple[int, ...]], CodeTriples] = field(
        default_factory=dict[tuple[bytes, tuple[int, ...]], CodeTriples], repr=False
    )

    def encode(self, text: str) -> Int32[ndarray, " token"]:
        """The text's tokens, as many as a sequence has room for."""
        return np.array(self.forward.subject.encode(text)[: self.room], np.int32)

    def read(
        self, sequences: Sequence[Int32[ndarray, " _"]], feature: int
    ) -> list[Float32[ndarray, " _"]]:
        """The feature's activation at every token of each sequence.

        Raises ValueError where one is empty.
        """
        lengths = tuple(map(len, sequences))
        if min(lengths, default=1) == 0:
            raise ValueError(
                f"sequence {lengths.index(0)} of {len(lengths)} is empty; leave it out"
            )
        values = np.zeros(sum(lengths), np.float32)
        if sequences:
            codes = self.codes(np.concatenate(sequences).astype(np.int32), lengths)
            its = codes.features == feature
            values[codes.positions[its]] = codes.values[its]
        return np.split(values, np.cumsum(lengths)[:-1]) if lengths else []

    def codes(self, tokens: Int32[ndarray, " token"], lengths: tuple[int, ...]) -> CodeTriples:
        """All features at every token of sequences, which are read once and kept: the same texts
        are the contrast of all features, and a feature's own are a control of others.
        """
        key = tokens.tobytes(), lengths
        if key not in self.kept:
            stretch = Stretch(0, 0, tokens, np.array(lengths, np.int64))
            self.kept[key] = encode_stretch(self.forward, self.dictionary, stretch)
            while len(self.kept) > 1 and sum(map(count_codes, self.kept.values())) > MOST_KEPT:
                self.kept.pop(next(iter(self.kept)))  # what was read first
        return self.kept[key]


def count_codes(codes: CodeTriples) -> int:
    return len(codes.values)
