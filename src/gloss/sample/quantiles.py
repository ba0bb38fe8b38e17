"""Contexts of every strength, equally many of each (Paulo et al., 2024)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from gloss.sample.choice import Choice, check_quantiles, edges, labelled, ranked


@dataclass(frozen=True)
class Quantiles:
    """Cut the windows, strongest first, into slices of equal count, and draw equally many from each.

    What does not divide is spread, never dropped: slices differ in size by one at most, and so do the numbers drawn
    from them, save that a slice which is exhausted hands its share to the others.
    """

    quantiles: int = 10

    def __post_init__(self) -> None:
        check_quantiles(self.quantiles)

    def choose(self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator) -> Choice:
        """Exactly `number` windows, or all where there are fewer."""
        order = ranked(maxima)
        return labelled(stratified(len(order), number, self.quantiles, rng), order, self.quantiles)


def stratified(windows: int, number: int, quantiles: int, rng: np.random.Generator) -> Int64[ndarray, " chosen"]:
    """`number` of the ranks below `windows`, spread evenly over equal-count slices and drawn at random in each."""
    starts = edges(windows, quantiles)
    sizes = np.diff(starts)
    shares = spread(min(number, windows), sizes, rng)
    drawn = [rng.choice(size, share, replace=False) + start for size, share, start in zip(sizes, shares, starts, strict=False)]
    return np.concatenate(drawn)


def spread(number: int, sizes: Int64[ndarray, " slice"], rng: np.random.Generator) -> Int64[ndarray, " slice"]:
    """How many to draw from each slice: as even as the sizes allow, with the remainder at random. Wants number <= sum(sizes)."""
    shares = np.zeros_like(sizes)
    while left := number - int(shares.sum()):
        open_slices = rng.permutation(np.flatnonzero(sizes > shares))
        each = left // len(open_slices)
        if each:
            shares = np.minimum(shares + np.where(sizes > shares, each, 0), sizes)
        else:
            shares[open_slices[:left]] += 1
    return shares
