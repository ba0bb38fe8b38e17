"""The strongest contexts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gloss.sample.choice import Choice, check_quantiles, labelled, ranked


@dataclass(frozen=True)
class Top:
    """Take the windows with the strongest peaks. Shows a feature at its clearest, and hides what it does else."""

    quantiles: int = 10  # that the chosen windows are labelled with

    def __post_init__(self) -> None:
        check_quantiles(self.quantiles)

    def choose(self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator) -> Choice:
        """The `number` strongest windows; among equals the first in the corpus."""
        order = ranked(maxima)
        return labelled(np.arange(min(number, len(order))), order, self.quantiles)
