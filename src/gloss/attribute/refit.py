"""Weights for sets of players that somebody else has chosen: ridge regression on the products of their signs."""

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.transforms import PlayerSet

RIDGES = (1e-6, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # tried; in units of one mask


def products(sets: list[PlayerSet], kept: Bool[ndarray, "mask player"]) -> Float64[ndarray, "mask set"]:
    """The product of the players' signs for each set: +1 where an even number of them is ablated."""
    ablated = ~kept
    odd = np.stack([np.bitwise_xor.reduce(ablated[:, list(each)], axis=1) for each in sets], axis=1)
    return 1.0 - 2.0 * odd


def refitted(
    sets: list[PlayerSet], kept: Bool[ndarray, "mask player"], values: Float64[ndarray, " mask"]
) -> dict[PlayerSet, float]:
    """New weights for these sets and the constant, by ridge regression with the least error on masks left out in turn."""
    chosen = [each for each in sets if each]
    if not chosen:
        return {(): float(values.mean())}
    design = products(chosen, kept)
    centre, mean = design.mean(0), values.mean()
    u, scale, v = np.linalg.svd(design - centre, full_matrices=False)
    along = u.T @ (values - mean)
    best, weights = np.inf, np.zeros(len(chosen))
    for ridge in RIDGES:
        shrunk = scale**2 / (scale**2 + ridge)
        left = (values - mean - u @ (shrunk * along)) / np.maximum(1 - (u**2 @ shrunk) - 1 / len(values), 1e-9)
        if (error := float(np.square(left).mean())) < best:
            best, weights = error, v.T @ (scale / (scale**2 + ridge) * along)
    return {(): float(mean - centre @ weights), **dict(zip(chosen, weights.tolist(), strict=True))}
