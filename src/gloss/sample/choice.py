"""Which windows a sampler chose, and how strong each is among all of them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray


@dataclass(frozen=True, slots=True)
class Choice:
    """Windows by row, strongest first, each with the quantile that it belongs to; quantile 0 holds the strongest."""

    rows: Int64[ndarray, " chosen"]
    quantiles: Int64[ndarray, " chosen"]


def ranked(maxima: Float32[ndarray, " window"]) -> Int64[ndarray, " window"]:
    """The rows from the strongest to the weakest; equal ones keep their order."""
    return np.argsort(-maxima, kind="stable")


def labelled(ranks: Int64[ndarray, " chosen"], order: Int64[ndarray, " window"], quantiles: int) -> Choice:
    """The windows of these ranks, with the equal-count slice of all windows that each rank falls into."""
    ranks = np.sort(ranks)
    slices = np.searchsorted(edges(len(order), quantiles), ranks, side="right") - 1
    return Choice(order[ranks], slices)


def edges(windows: int, quantiles: int) -> Int64[ndarray, " edge"]:
    """The rank at which each slice begins, and the number of windows: slices differ in size by one at most."""
    return np.arange(quantiles + 1, dtype=np.int64) * windows // quantiles


def check_quantiles(quantiles: int) -> None:
    """Raise ValueError unless there is a slice at all."""
    if quantiles < 1:
        raise ValueError(f"contexts are cut into at least 1 quantile, got {quantiles}")
