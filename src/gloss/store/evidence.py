"""Everything that an explanation of one feature may be judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray

from gloss.records import Effect, Examples, FeatureActivations, Neighbour
from gloss.store.corpus import Corpus

NOWHERE = FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))  # of a feature that never fires


@runtime_checkable
class Reader(Protocol):
    """Runs the subject over text that the corpus does not hold, in the way in which the corpus was collected."""

    def encode(self, text: str) -> Int32[ndarray, " token"]:
        """The text's tokens, cut off where a sequence of the corpus would end."""
        ...

    def read(self, sequences: Sequence[Int32[ndarray, " _"]], feature: int) -> list[Float32[ndarray, " _"]]:
        """The feature's activation at every token of each sequence, each read by itself; none may be empty."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """One feature's sampled contexts, and the whole corpus with its true activations everywhere in it."""

    examples: Examples
    corpus: Corpus
    activations: FeatureActivations
    neighbours: tuple[Neighbour, ...] = ()  # nearest first; for scorers that say `reads_neighbours = True`
    reader: Reader | None = None  # for scorers that say `reads_texts = True`
    effects: tuple[Effect, ...] = ()  # after held-out contexts, controls among them; for scorers that say `reads_effects = True`
