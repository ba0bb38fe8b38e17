"""Some of the strongest contexts, and the rest of every strength."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gloss.sample.choice import Choice, check_quantiles, labelled, ranked
from gloss.sample.quantiles import stratified


@dataclass(frozen=True)
class Mix:
    """Take a share of the number from the top, and draw the rest from equal-count slices of the other windows."""

    top_share: float = 0.2  # of the number asked for
    quantiles: int = 10  # slices of the other windows, and of all windows for the labels

    def __post_init__(self) -> None:
        check_quantiles(self.quantiles)
        if not 0 <= self.top_share <= 1:
            raise ValueError(f"top_share is a share from 0 to 1, got {self.top_share}")

    def choose(self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator) -> Choice:
        """Exactly `number` windows, or all where there are fewer; each is labelled with its quantile among all windows."""
        order = ranked(maxima)
        number = min(number, len(order))
        top = round(self.top_share * number)
        others = top + stratified(len(order) - top, number - top, self.quantiles, rng)
        return labelled(np.concatenate([np.arange(top), others]), order, self.quantiles)
