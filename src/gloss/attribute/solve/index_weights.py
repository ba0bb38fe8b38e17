"""Shapley and Banzhaf indices of players and pairs as sums over masks, and of a Gaussian process in
closed form.

A product over players is multilinear: its Shapley index is the integral, over the chance t from 0
to 1 that each of the others is kept, of its derivative in the set's players (Owen, 1972), which
Gauss and Legendre's points give exactly; its Banzhaf index is that derivative at t = 1/2.
"""

from dataclasses import dataclass
from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import PlayerSet
from gloss.attribute.solve.mask_process import MaskProcess

MOST_POINTS = 64  # of an integral; exact for up to twice as many players less one


class Points(NamedTuple):
    """Where an integral over the chance of being kept is read."""

    chances: Float64[ndarray, " point"]
    weights: Float64[ndarray, " point"]


@dataclass(frozen=True, slots=True)
class SetIndex:
    """The Shapley or Banzhaf index of all sets of `size` players: 1 for values of players, 2 for
    what pairs add together (Grabisch & Roubens, 1999), and for Banzhaf 0 for the mean.
    """

    players: int
    size: int
    shapley: bool

    @property
    def sets(self) -> list[PlayerSet]:
        """In the order of all columns here."""
        if self.size < 2:
            return [(player,) for player in range(self.players)] if self.size else [()]
        return list(zip(*(each.tolist() for each in self.pairs), strict=True))

    @property
    def pairs(self) -> tuple[ndarray, ndarray]:
        """First and second player of each."""
        return np.triu_indices(self.players, 1)

    @property
    def points(self) -> Points:
        """Over which the derivative is summed."""
        if not self.shapley:
            return Points(np.array([0.5]), np.array([1.0]))
        chances, weights = np.polynomial.legendre.leggauss(min(self.players // 2 + 1, MOST_POINTS))
        return Points((chances + 1) / 2, weights / 2)

    def of_each_size(self) -> Float64[ndarray, "size kept"]:
        """The weight of a mask's value by its size and by how many of the set it keeps."""
        others = self.players - self.size
        found = np.zeros((self.players + 1, self.size + 1))
        for kept in range(self.size + 1):
            chances = np.exp(self._size_chances() - log_choices(others))
            found[kept : kept + others + 1, kept] = (-1) ** (self.size - kept) * chances
        return found

    def _size_chances(self) -> Float64[ndarray, " size"]:
        """The logarithm of how likely each number of the other players is: all alike for Shapley,
        each player with probability 1/2 for Banzhaf.
        """
        others = self.players - self.size
        if self.shapley:
            return np.full(others + 1, -np.log(others + 1))
        return log_choices(others) - others * np.log(2)

    def of_masks(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, "mask set"]:
        """The weight of each mask's value in each set's index."""
        kept = masks.astype(np.int64)
        if self.size == 0:
            kept = np.zeros((len(masks), 1), np.int64)
        elif self.size == 2:
            first, second = self.pairs
            kept = kept[:, first] + kept[:, second]
        return self.of_each_size()[masks.sum(axis=1)[:, None], kept]

    def of_process(
        self, process: MaskProcess, masks: Bool[ndarray, "mask player"]
    ) -> Float64[ndarray, "mask set"]:
        """The index of the covariance with each mask, as a function of the other one."""
        n, total = self.players, 0.0
        sizes = masks.sum(axis=1)
        for height, tilt, scale in zip(process.height, process.tilt, process.scale, strict=True):
            differs, step = np.exp(-scale * process.reach), tilt * process.unit / 2
            removed = np.where(masks, differs, 1.0)
            slope = np.where(masks, 1.0, differs) * np.exp(step) - removed
            before = height + step * (sizes - n)
            for chance, weight in zip(*self.points, strict=True):
                factors = removed + chance * slope
                product = weight * np.exp(before + np.log(factors).sum(axis=1))
                total = total + self._products(product, slope / factors)
        return np.asarray(total)

    def variance(self, process: MaskProcess) -> Float64[ndarray, " set"]:
        """Of the index under the process, when nothing is known of the game."""
        n, total = self.players, 0.0
        chances, weights = self.points
        one, other = chances[:, None, None], chances[None, :, None]
        for height, tilt, scale in zip(process.height, process.tilt, process.scale, strict=True):
            differs, step = np.exp(-scale * process.reach), np.exp(tilt * process.unit / 2)
            both = one * other * step**2 + (1 - one) * (1 - other)
            factors = both + (one + other - 2 * one * other) * differs * step
            slope = 1 - 2 * differs * step + step**2
            logs = height - tilt * process.unit * n / 2 + np.log(factors).sum(axis=2)
            product = weights[:, None] * weights * np.exp(logs)
            ratios = (slope / factors).reshape(-1, n)
            total = total + self._products(product.ravel(), ratios).sum(axis=0)
        return np.asarray(total)

    def own_variance(self, process: MaskProcess) -> float:
        """What masks have alone adds so much to the variance of each set's index: all masks, but
        for Shapley the empty and the full one, whose values are known.
        """
        n, others = self.players, np.arange(self.players - self.size + 1)
        weights, chances = self.of_each_size(), np.exp(self._size_chances())
        total = 0.0
        for kept in range(self.size + 1):
            sizes = others + kept
            own = process.own * np.exp(process.own_tilt * (sizes - n / 2) * process.unit)
            inner = (sizes > 0) & (sizes < n) if self.shapley else sizes >= 0
            share = comb(self.size, kept) * chances * np.abs(weights[sizes, kept])
            total += float((share * own)[inner].sum())
        return total

    def _products(
        self, product: Float64[ndarray, " row"], ratios: Float64[ndarray, "row player"]
    ) -> Float64[ndarray, "row set"]:
        """The product with each set's factors exchanged for their slopes."""
        if self.size == 0:
            return product[:, None]
        if self.size == 1:
            return product[:, None] * ratios
        first, second = self.pairs
        return product[:, None] * ratios[:, first] * ratios[:, second]


def log_choices(players: int) -> Float64[ndarray, " size"]:
    """The logarithm of how many masks of so many players each size has."""
    from scipy.special import gammaln

    sizes = np.arange(players + 1)
    return gammaln(players + 1) - gammaln(sizes + 1) - gammaln(players - sizes + 1)
