"""Reads new texts as the corpus was read, one feature at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray

from gloss.collect.code_shards import CodeTriples
from gloss.collect.collect import encode_stretch
from gloss.collect.site_reader import SiteReader
from gloss.models.dictionary import Dictionary
from gloss.store.corpus import Stretch


@dataclass(frozen=True, eq=False)
class SubjectReader:
    """A subject and a dictionary that stay loaded."""

    forward: SiteReader
    dictionary: Dictionary
    room: int  # tokens of a sequence, the start token not among them

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
            codes = remember_codes(
                self, np.concatenate(sequences).astype(np.int32).tobytes(), lengths
            )
            its = codes.features == feature
            values[codes.positions[its]] = codes.values[its]
        return np.split(values, np.cumsum(lengths)[:-1]) if lengths else []


@lru_cache(maxsize=4)
def remember_codes(reading: SubjectReader, tokens: bytes, lengths: tuple[int, ...]) -> CodeTriples:
    """All features at every token.

    Kept, because the same texts are the contrast of many features.
    """
    stretch = Stretch(0, 0, np.frombuffer(tokens, np.int32), np.array(lengths, np.int64))
    return encode_stretch(reading.forward, reading.dictionary, stretch)
