"""The samplers choose among the windows in which a feature fires.

They take the strongest, any, some of every strength, or a mix.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

SHORT = 512  # windows that are sorted as they are
FEW = 64  # times as many windows as are drawn: of more, none is looked at that is not drawn


@dataclass(frozen=True, slots=True)
class WindowChoice:
    """Windows by row, strongest first, each with the quantile that it belongs to.

    Quantile 0 holds the strongest.
    """

    rows: Int64[ndarray, " chosen"]
    quantiles: Int64[ndarray, " chosen"]


def rank_windows(maxima: Float32[ndarray, " window"]) -> Int64[ndarray, " window"]:
    """The rows from the strongest to the weakest; equal ones keep their order."""
    if len(maxima) < SHORT:
        return np.argsort(-maxima, kind="stable")
    # numbers that rise as the maxima fall, with the row behind: sorted in a third of the time
    bits = (maxima + np.float32(0)).view(np.int32)
    rising = np.where(bits < 0, bits, ~bits & 0x7FFFFFFF).view(np.uint32).astype(np.uint64)
    ordered = np.sort((rising << np.uint64(32)) | np.arange(len(maxima), dtype=np.uint64))
    return (ordered & np.uint64(0xFFFFFFFF)).astype(np.int64)


def label_quantiles(
    ranks: Int64[ndarray, " chosen"], order: Int64[ndarray, " window"], quantiles: int
) -> WindowChoice:
    """The windows of these ranks, with the equal-count slice of all windows that each rank falls
    into.
    """
    ranks = np.sort(ranks)
    slices = np.searchsorted(quantile_edges(len(order), quantiles), ranks, side="right") - 1
    return WindowChoice(order[ranks], slices)


def quantile_edges(windows: int, quantiles: int) -> Int64[ndarray, " edge"]:
    """The rank at which each slice begins, and the number of windows: slices differ in size by one
    at most.
    """
    return np.arange(quantiles + 1, dtype=np.int64) * windows // quantiles


def check_quantiles(quantiles: int) -> None:
    """Raise ValueError unless there is a slice at all."""
    if quantiles < 1:
        raise ValueError(f"contexts are cut into at least 1 quantile, got {quantiles}")


@dataclass(frozen=True)
class Top:
    """Take the windows with the strongest peaks.

    Shows a feature at its clearest, and hides what it does else.
    """

    quantiles: int = 10  # that the chosen windows are labelled with

    def __post_init__(self) -> None:
        check_quantiles(self.quantiles)

    def choose(
        self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator
    ) -> WindowChoice:
        """The `number` strongest windows; among equals the first in the corpus."""
        order = rank_windows(maxima)
        return label_quantiles(np.arange(min(number, len(order))), order, self.quantiles)


@dataclass(frozen=True)
class Random:
    """Draw windows uniformly without replacement: what a feature does most of the time."""

    quantiles: int = 10  # that the chosen windows are labelled with

    def __post_init__(self) -> None:
        check_quantiles(self.quantiles)

    def choose(
        self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator
    ) -> WindowChoice:
        """`number` windows drawn without replacement."""
        order = rank_windows(maxima)
        ranks = rng.choice(len(order), min(number, len(order)), replace=False)
        return label_quantiles(ranks, order, self.quantiles)


@dataclass(frozen=True)
class Quantiles:
    """Cut the windows, strongest first, into slices of equal count, and draw equally many from
    each.

    What does not divide is spread, never dropped: slices differ in size by one at most, and so do
    the numbers drawn from them, save that a slice which is exhausted hands its share to the others.
    """

    quantiles: int = 10

    def __post_init__(self) -> None:
        check_quantiles(self.quantiles)

    def choose(
        self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator
    ) -> WindowChoice:
        """Exactly `number` windows, or all where there are fewer."""
        order = rank_windows(maxima)
        return label_quantiles(
            draw_stratified(len(order), number, self.quantiles, rng), order, self.quantiles
        )


def draw_stratified(
    windows: int, number: int, quantiles: int, rng: np.random.Generator
) -> Int64[ndarray, " chosen"]:
    """`number` of the ranks below `windows`, spread evenly over equal-count slices and drawn at
    random in each; all ranks where there are no more.
    """
    if number >= windows:
        return np.arange(windows)
    starts = quantile_edges(windows, quantiles)
    sizes = starts[1:] - starts[:-1]
    shares = even_shares(number, sizes, rng)
    if windows > FEW * number:
        drawn = [
            rng.choice(size, share, replace=False) + start
            for size, share, start in zip(sizes, shares, starts, strict=False)
        ]
        return np.concatenate(drawn)
    # every window has a random number, and the least of its slice are drawn
    slices = np.repeat(np.arange(quantiles), sizes)
    order = np.argsort(slices + rng.random(windows))
    return order[np.arange(windows) - starts[slices] < shares[slices]]


def even_shares(
    number: int, sizes: Int64[ndarray, " slice"], rng: np.random.Generator
) -> Int64[ndarray, " slice"]:
    """How many to draw from each slice: as even as the sizes allow, with the remainder at random.

    Wants number <= sum(sizes).
    """
    shares = np.minimum(number // len(sizes), sizes)
    while left := number - int(shares.sum()):
        open_slices = np.flatnonzero(sizes > shares)
        each = left // len(open_slices)
        if each:
            shares = np.minimum(shares + np.where(sizes > shares, each, 0), sizes)
        else:
            shares[rng.permutation(open_slices)[:left]] += 1
    return shares


@dataclass(frozen=True)
class Mix:
    """Take a share of the number from the top, and draw the rest from equal-count slices of the
    other windows.
    """

    top_share: float = 0.2  # of the number asked for
    quantiles: int = 10  # slices of the other windows, and of all windows for the labels

    def __post_init__(self) -> None:
        check_quantiles(self.quantiles)
        if not 0 <= self.top_share <= 1:
            raise ValueError(f"top_share is a share from 0 to 1, got {self.top_share}")

    def choose(
        self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator
    ) -> WindowChoice:
        """Exactly `number` windows, or all where there are fewer.

        Each is labelled with its quantile among all windows.
        """
        order = rank_windows(maxima)
        number = min(number, len(order))
        top = round(self.top_share * number)
        others = top + draw_stratified(len(order) - top, number - top, self.quantiles, rng)
        return label_quantiles(np.concatenate([np.arange(top), others]), order, self.quantiles)
