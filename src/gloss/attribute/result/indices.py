"""Closed forms of the indices that share an interaction out among players and small sets of them,
from Möbius coefficients.

Shapley (1953), Banzhaf (1965), their interaction indices (Grabisch & Roubens, 1999), Shapley-Taylor
(Sundararajan et al., 2020), Faith-Shapley and Faith-Banzhaf (Tsai et al., 2023). In all of them
each set T gives its coefficient to its subsets S.
"""

from collections.abc import Callable
from enum import StrEnum
from itertools import combinations
from math import comb

from gloss.attribute.bases import PlayerSet, drop_zero_coefficients
from gloss.errors import BadSettings


class Index(StrEnum):
    """How the value of a set that acts together is shared out."""

    SHAPLEY = "shapley"
    BANZHAF = "banzhaf"
    SHAPLEY_INTERACTION = "shapley_interaction"
    BANZHAF_INTERACTION = "banzhaf_interaction"
    SHAPLEY_TAYLOR = "shapley_taylor"
    FAITH_SHAPLEY = "faith_shapley"
    FAITH_BANZHAF = "faith_banzhaf"


def compute_index(
    mobius: dict[PlayerSet, float], index: Index, order: int = 2
) -> dict[PlayerSet, float]:
    """The index of every set of 1 to `order` players that is not 0.

    The faithful ones have one for the empty set as well.

    `mobius` holds coefficients of "all of these are kept". `shapley` and `banzhaf` are of single
    players, whatever the order. Raises BadSettings for an order below 1.
    """
    order = highest_order(index, order)
    share = SHARES[index]
    found: dict[PlayerSet, float] = {}
    for whole, value in mobius.items():
        for size in range(min(order, len(whole)) + 1):
            part = share(size, len(whole), order) * value
            if part and (size or index in (Index.FAITH_SHAPLEY, Index.FAITH_BANZHAF)):
                for subset in combinations(whole, size):
                    found[subset] = found.get(subset, 0.0) + part
    return drop_zero_coefficients(found)


def highest_order(index: Index, order: int) -> int:
    """Of the sets that have this index, asked for up to `order` players.

    Raises BadSettings for an order below 1.
    """
    if order < 1:
        raise BadSettings(f"the order is {order}; an index is of sets of at least 1 player")
    return 1 if index in (Index.SHAPLEY, Index.BANZHAF) else order


def shapley_interaction(size: int, whole: int, order: int) -> float:
    """The share of a subset of `size` players in the coefficient of `whole` players.

    The same below.
    """
    return 1 / (whole - size + 1)


def banzhaf_interaction(size: int, whole: int, order: int) -> float:
    """What a random set of the other players makes of it."""
    return 0.5 ** (whole - size)


def shapley_taylor(size: int, whole: int, order: int) -> float:
    """Below the highest order a set keeps its own; at it, equal parts."""
    if size < order:
        return float(size == whole)
    return 1 / comb(whole, order)


def faith_shapley(size: int, whole: int, order: int) -> float:
    """The best polynomial of that order under Shapley's weights of coalitions, exact on the empty
    and the full one.
    """
    if whole <= order:
        return float(size == whole)
    if size == 0:
        return 0.0
    sign = (-1) ** (order - size)
    return (
        sign
        * size
        / (order + size)
        * comb(order, size)
        * comb(whole - 1, order)
        / comb(whole + order - 1, order + size)
    )


def faith_banzhaf(size: int, whole: int, order: int) -> float:
    """The best polynomial of that order under equal weights of all coalitions."""
    if whole <= order:
        return float(size == whole)
    return (-1) ** (order - size) * 0.5 ** (whole - size) * comb(whole - size - 1, order - size)


SHARES: dict[Index, Callable[[int, int, int], float]] = {
    Index.SHAPLEY: shapley_interaction,
    Index.BANZHAF: banzhaf_interaction,
    Index.SHAPLEY_INTERACTION: shapley_interaction,
    Index.BANZHAF_INTERACTION: banzhaf_interaction,
    Index.SHAPLEY_TAYLOR: shapley_taylor,
    Index.FAITH_SHAPLEY: faith_shapley,
    Index.FAITH_BANZHAF: faith_banzhaf,
}
