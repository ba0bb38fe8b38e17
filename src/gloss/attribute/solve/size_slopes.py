"""A linear account whose slopes change with how much is kept: one fit that holds among half-empty
masks and near the whole.

Models saturate: what a word adds to a short rest is not what it adds to a long one. The value is
c + Σ b(i) x(i) + s Σ d(i) x(i) + e s², with x = ±1 for a kept and a removed player and s the mean
of x: a polynomial of order 2 with 2n + 2 weights, so that few masks fix it.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import PlayerSet
from gloss.attribute.game import ValuedMasks
from gloss.attribute.solve.sparse_regression import ridge_weights

MOST_PLAYERS = 200  # whose pairs are still a table that can be gone through


@dataclass(frozen=True)
class SlopesFit:
    """The weights of such an account."""

    constant: float
    slopes: Float64[ndarray, " player"]  # b
    bends: Float64[ndarray, " player"]  # d: how slopes change with the share that is kept
    curve: float  # e

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value at each mask."""
        return self.constant + slope_columns(masks) @ np.concatenate(
            [self.slopes, self.bends, [self.curve]]
        )

    def fourier(self, share: float = 1.0) -> dict[PlayerSet, float]:
        """`share` times the function, as Fourier coefficients: s x(i) is the mean over j of
        x(j) x(i), and x(i) x(i) is 1.
        """
        n = len(self.slopes)
        bends = share * self.bends / n
        curve = share * self.curve / n
        found: dict[PlayerSet, float] = {(): share * self.constant + float(bends.sum()) + curve}
        found |= {(player,): share * float(slope) for player, slope in enumerate(self.slopes)}
        pairs = (bends[:, None] + bends[None, :] + 2 * curve / n).tolist()
        return found | {(i, j): pairs[i][j] for i, j in combinations(range(n), 2)}


def slope_columns(masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, "mask column"]:
    """x, s x and s² of each mask."""
    signs = masks * 2.0 - 1
    size = signs.mean(axis=1, keepdims=True)
    return np.concatenate([signs, size * signs, size**2], axis=1)


def fit_slopes(masks: ValuedMasks, weights: Float64[ndarray, " mask"]) -> SlopesFit:
    """Ridge regression with these weights of masks, its penalty by leaving masks out in turn."""
    n = masks.masks.shape[1]
    constant, found = ridge_weights(slope_columns(masks.masks), masks.values, weights)
    return SlopesFit(constant, found[:n], found[n : 2 * n], float(found[-1]))
