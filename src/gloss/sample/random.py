"""Any contexts, each as likely as any other."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gloss.sample.choice import Choice, check_quantiles, labelled, ranked


@dataclass(frozen=True)
class Random:
    """Draw windows uniformly without replacement: what a feature does most of the time."""

    quantiles: int = 10  # that the chosen windows are labelled with

    def __post_init__(self) -> None:
        check_quantiles(self.quantiles)

    def choose(self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator) -> Choice:
        """`number` windows drawn without replacement."""
        order = ranked(maxima)
        ranks = rng.choice(len(order), min(number, len(order)), replace=False)
        return labelled(ranks, order, self.quantiles)
