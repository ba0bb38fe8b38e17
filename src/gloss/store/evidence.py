"""Everything that an explanation of one feature may be judged by."""

from dataclasses import dataclass

import numpy as np

from gloss.records import Examples, FeatureActivations, Neighbour
from gloss.store.corpus import Corpus

NOWHERE = FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))  # of a feature that never fires


@dataclass(frozen=True, slots=True)
class Evidence:
    """One feature's sampled contexts, and the whole corpus with its true activations everywhere in it."""

    examples: Examples
    corpus: Corpus
    activations: FeatureActivations
    neighbours: tuple[Neighbour, ...] = ()  # nearest first; for scorers that say `reads_neighbours = True`
