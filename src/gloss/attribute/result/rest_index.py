"""Indices of a sum of products over players, of which a process is made: exact, though no set of it
is listed.

Such a product is multilinear. Its derivative in the players of a set S, where each of the others is
kept with the chance z, is the sum over the sets T that hold S of a(T) z^(|T| - |S|), with a(T) the
Möbius coefficients; an index is that derivative at one chance or summed over several, for each
index' share of S in a(T) is an integral of z^(|T| - |S|) times a polynomial (for Shapley: Owen,
1972), which Gauss and Legendre's points give exactly.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import comb, factorial, prod
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, convert_basis
from gloss.attribute.result.indices import Index, highest_order
from gloss.errors import BadInput

MOST_PRODUCTS = 1 << 38  # multiplications of one size of sets
MOST_CHUNK = 1 << 22  # numbers that are held at a time
STEEPEST = 1 - 1e-15  # of a slope, so that what is kept by no chance may be divided by


class ProductSum(Protocol):
    """A function of masks: a constant, and products over players summed."""

    def products(self) -> Iterable[tuple[Float64[ndarray, " row"], Float64[ndarray, "row player"]]]:
        """Each constant · product over players of (1 + slope · sign), in several parts."""
        ...


@runtime_checkable
class Rest(Protocol):
    """A function of masks, 0 in the mean over all, that has no share in the sets that are told: the
    weighted sum of `fits` less what `listed` says.
    """

    @property
    def variance(self) -> float:
        """Over all masks."""
        ...

    @property
    def fits(self) -> Sequence[tuple[float, ProductSum]]:
        """With the share of each."""
        ...

    @property
    def listed(self) -> Mapping[PlayerSet, float]:
        """Fourier coefficients."""
        ...

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """What it adds to the value of each mask."""
        ...


class Chances(NamedTuple):
    """With which others are kept, and the weight of the derivative at each."""

    chances: Float64[ndarray, " chance"]
    weights: Float64[ndarray, " chance"]


def fourier_of_fits(rest: Rest, players: int, order: int) -> dict[PlayerSet, float]:
    """The Fourier coefficients of all sets of 1 to `order` players, of `fits`.

    Raises BadInput where these are too many.
    """
    found = index_of_fits(rest, players, Index.BANZHAF_INTERACTION, order)
    return {one: value / 2 ** len(one) for one, value in found.items()}


def index_of_fits(rest: Rest, players: int, index: Index, order: int) -> dict[PlayerSet, float]:
    """The index of all sets of 1 to `order` players, of `fits`; and for Faith-Banzhaf of the empty
    set, the mean of `fits` taken away.

    Raises BadInput where these are too many.
    """
    if index == Index.FAITH_BANZHAF:
        return convert_basis(fourier_of_fits(rest, players, order), Basis.FOURIER, Basis.MOBIUS)
    order = min(highest_order(index, order), players)
    found: dict[PlayerSet, float] = {}
    for size in range(1, order + 1):
        values = sum_derivatives(rest, players, size, chances_of(index, size, order, players))
        found |= dict(zip(combinations(range(players), size), values.tolist(), strict=True))
    return found


def chances_of(index: Index, size: int, order: int, players: int) -> Chances:
    """Where the derivative in a set of `size` players is read."""
    if index in (Index.BANZHAF, Index.BANZHAF_INTERACTION):
        return Chances(np.array([0.5]), np.array([1.0]))
    if index == Index.SHAPLEY_TAYLOR and size < order:
        return Chances(np.array([0.0]), np.array([1.0]))
    chances, weights = np.polynomial.legendre.leggauss((players + order) // 2 + 1)
    chances, weights = (chances + 1) / 2, weights / 2
    if index == Index.SHAPLEY_TAYLOR:  # 1 / C(t, k) is k times the integral of z^(t-k) (1-z)^(k-1)
        weights = weights * order * (1 - chances) ** (order - 1)
    if index == Index.FAITH_SHAPLEY:
        weights = weights * faith_shapley_density(chances, size, order)
    return Chances(chances, weights)


def faith_shapley_density(
    chances: Float64[ndarray, " chance"], size: int, order: int
) -> Float64[ndarray, " chance"]:
    """The polynomial whose integral with z^(t - size) is the share in a set of t players.

    That share is a product over i of (t - i), from size + 1 to the order, over one of (t + j), from
    0 to the order less 1: a sum of fractions 1 / (t + j).
    """
    scale = (-1) ** (order - size) * size * comb(order, size) / (order + size)
    scale *= factorial(order + size) // factorial(order)
    total = np.zeros_like(chances)
    for j in range(order):
        above = prod(-j - i for i in range(size + 1, order + 1))
        below = prod(other - j for other in range(order) if other != j)
        total += above / below * chances ** (size - 1 + j)
    return scale * total


def sum_derivatives(
    rest: Rest, players: int, size: int, points: Chances
) -> Float64[ndarray, " set"]:
    """The weighted sum, over chances, of the derivative in each set of so many players."""
    firsts = np.array(list(combinations(range(players), size - 1)), np.int64)
    firsts = firsts.reshape(comb(players, size - 1), size - 1)
    total = np.zeros((len(firsts), players))  # of all players of a set but the last, and the last
    for share, fit in rest.fits:
        for constant, slopes in fit.products():
            require_few_products(total.size * len(slopes) * len(points.chances), players, size)
            steps = np.clip(slopes, -STEEPEST, STEEPEST)
            rows = max(1, MOST_CHUNK // (size * len(steps)))
            for chance, weight in zip(*points, strict=True):
                factors = 1 + (2 * chance - 1) * steps
                whole = share * weight * constant * factors.prod(axis=1)
                ratios = 2 * steps / factors
                for begin in range(0, len(firsts), rows):
                    some = slice(begin, begin + rows)
                    total[some] += (ratios.T[firsts[some]].prod(axis=1) * whole) @ ratios
    last = np.arange(players) > (firsts[:, -1:] if size > 1 else -1)
    return total[np.broadcast_to(last, total.shape)]


def require_few_products(number: int, players: int, size: int) -> None:
    """Raises BadInput for more than are worked out."""
    if number > MOST_PRODUCTS:
        raise BadInput(
            f"the index of all sets of {size} of {players} players needs {number:.0e}"
            " multiplications, for the account has a rest of which no set is listed; give a lower"
            " order"
        )
