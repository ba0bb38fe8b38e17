"""Everything that an explanation of one feature may be judged by."""

from dataclasses import dataclass

from gloss.records import Examples, FeatureActivations, Neighbour
from gloss.store.corpus import Corpus


@dataclass(frozen=True, slots=True)
class Evidence:
    """One feature's sampled contexts, and the whole corpus with its true activations everywhere in it."""

    examples: Examples
    corpus: Corpus
    activations: FeatureActivations
    neighbours: tuple[Neighbour, ...] = ()  # nearest first; for scorers that say `reads_neighbours = True`
