"""Reads new texts as the planted subject would: each feature fires where its rule says."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray

from gloss.models.planted.plant import Planted
from gloss.rules import Passage, execute, parse_rule


class RuleReader:
    """A `NewTextReader` of planted features, which counts what it has read."""

    def __init__(self, planted: Planted) -> None:
        self.rules = [parse_rule(feature.rule) for feature in planted.features]
        self.strings = planted.corpus.vocabulary.strings
        self.ids = {string: number for number, string in enumerate(self.strings)}
        self.texts = 0

    def encode(self, text: str) -> Int32[ndarray, " token"]:
        """The tokens of words with a blank before each; a word that the text lacks is left out."""
        pieces = [f" {word}" for word in text.split()]
        return np.array([self.ids[piece] for piece in pieces if piece in self.ids], np.int32)

    def read(
        self, sequences: Sequence[Int32[ndarray, " _"]], feature: int
    ) -> list[Float32[ndarray, " _"]]:
        """What the feature's rule says of every token of each sequence."""
        if not sequences:
            return []
        self.texts += len(sequences)
        ends = np.cumsum([0, *map(len, sequences)]).astype(np.int64)
        tokens = np.concatenate(sequences).astype(np.int32)
        return np.split(
            execute(self.rules[feature], Passage(tokens, ends, self.strings)), ends[1:-1]
        )
