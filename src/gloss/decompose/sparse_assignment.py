"""One-to-one partners where all pairs are too many to be held: found among each feature's nearest,
with a bound that no choice of partners can exceed.

The bound is the dual of the assignment (Kuhn, 1955). Let each right feature have a price `v >= 0`,
whatever it is; what a left feature gains at most is `u = max(0, max of (closeness - v))` over the
right ones; and prices and gains together are no less than the closeness of any partners. To find
the gains is one pass over all pairs, some at a time. Pairs that gain the most in it join the
candidates, among which it is solved again (column generation: Dantzig and Wolfe, 1960).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from gloss.decompose.all_pairs import AllPairs, Partners

CANDIDATES = 16  # of each feature at first
JOINING = 8  # of each feature at most, in each later round
GROUP = 64  # columns of which the largest is looked at before each of them is
STEPS = 2000  # along which prices are handed on from feature to feature, at most
ROUNDING = 1e-12  # by which prices may still rise


def assign_among_nearest(pairs: AllPairs, gap: float, rounds: int) -> Partners:
    """One to one, so that closeness adds up to the most that can be had but for the share `gap`.

    Whoever would have a partner that is no nearer than nothing, 0, has none. Looks at all pairs
    `rounds` times at most, and then returns what it has; how far that may fall short is in its
    `gap`.
    """
    candidates, prices, most = Candidates.none(pairs.shape), np.zeros(pairs.shape[1]), np.inf
    nobody = np.empty(0, np.int64)
    found = Partners.of_some(pairs.shape[0], nobody, nobody, nobody, None)
    for turn in range(rounds):
        look = look_at_all(pairs, prices, JOINING if turn else CANDIDATES)
        most = min(most, look.bound)
        candidates = candidates.with_more(look)
        partner, close = candidates.assigned()
        rows = np.flatnonzero(partner >= 0)
        found = Partners.of_some(len(partner), rows, partner[rows], close[rows], most)
        if found.gap is not None and found.gap <= gap:
            break
        prices = candidates.prices(partner, close)
    return found


@dataclass(frozen=True, eq=False)
class Look:
    """What a pass over all pairs found, given prices."""

    rows: Int64[ndarray, " pair"]
    columns: Int64[ndarray, " pair"]
    closeness: Float64[ndarray, " pair"]
    bound: float  # that no partners' closeness exceeds


def look_at_all(pairs: AllPairs, prices: Float64[ndarray, " right"], number: int) -> Look:
    """For each left feature those right ones that are the most above their prices; and the bound.

    Prices may be any that are not below 0: the bound holds for all.
    """
    left, right = pairs.shape
    asked = prices.astype(np.float32)  # these are the prices, from here on
    gains = np.zeros(left)
    number = min(number, right)
    columns = np.empty((left, number), np.int64)
    closeness = np.empty((left, number))
    for part, values in pairs.blocks() if right else ():
        above = values - asked if asked.any() else values
        columns[part] = best = largest_columns(above, number)
        gains[part] = np.maximum(0, np.take_along_axis(above, best, 1).max(1))
        closeness[part] = np.take_along_axis(values, best, 1)
    # a difference in single precision is off by half a unit of its last place at most
    off = float(np.finfo(np.float32).eps) if asked.any() else 0.0
    bound = float(gains.sum()) * (1 + off) + float(asked.sum(dtype=np.float64))
    near = closeness > 0
    rows = np.broadcast_to(np.arange(left)[:, None], near.shape)
    return Look(rows[near], columns[near], closeness[near], bound)


def largest_columns(
    values: Float32[ndarray, "row column"], number: int
) -> Int64[ndarray, "row number"]:
    """The columns of the largest values of each row, in any order.

    They lie in those groups of columns that have the largest maxima.

    >>> largest_columns(np.array([[3, 1, 2]], np.float32), 2).tolist()
    [[2, 0]]
    """
    rows, columns = values.shape
    whole = columns // GROUP
    if whole <= 2 * number:
        return np.argpartition(values, columns - number, axis=1)[:, columns - number :]
    groups = values[:, : whole * GROUP].reshape(rows, whole, GROUP)
    best = np.argpartition(groups.max(2), whole - number, axis=1)[:, whole - number :]
    places = (best[:, :, None] * GROUP + np.arange(GROUP)).reshape(rows, -1)
    rest = np.broadcast_to(np.arange(whole * GROUP, columns), (rows, columns - whole * GROUP))
    places = np.concatenate([places, rest], axis=1)
    some = np.take_along_axis(values, places, 1)
    cut = some.shape[1] - number
    return np.take_along_axis(places, np.argpartition(some, cut, axis=1)[:, cut:], 1)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs that may be partners, each once and by left feature; all are closer than 0."""

    shape: tuple[int, int]
    rows: Int64[ndarray, " pair"]
    columns: Int64[ndarray, " pair"]
    closeness: Float64[ndarray, " pair"]

    @staticmethod
    def none(shape: tuple[int, int]) -> "Candidates":
        return Candidates(shape, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    def with_more(self, look: Look) -> "Candidates":
        """These and others, of which some may be among them."""
        rows = np.concatenate([self.rows, look.rows])
        columns = np.concatenate([self.columns, look.columns])
        closeness = np.concatenate([self.closeness, look.closeness])
        _, first = np.unique(rows * self.shape[1] + columns, return_index=True)
        return Candidates(self.shape, rows[first], columns[first], closeness[first])

    def assigned(self) -> tuple[Int64[ndarray, " left"], Float64[ndarray, " left"]]:
        """The partners that add up to the most, and their closeness; -1 and 0 for none.

        Each left feature may also have a partner of its own, that is as near as nothing.
        """
        left, right = self.shape
        own = np.arange(left)
        costs = np.concatenate([2 - self.closeness, np.full(left, 2.0)])
        rows = np.concatenate([self.rows, own])
        columns = np.concatenate([self.columns, right + own])
        graph = csr_matrix((costs, (rows, columns)), shape=(left, right + left))
        rows, columns = min_weight_full_bipartite_matching(graph)
        partner, close = np.full(left, -1, np.int64), np.zeros(left)
        partner[rows] = np.where(columns < right, columns, -1)
        chosen = partner[self.rows] == self.columns
        close[self.rows[chosen]] = self.closeness[chosen]
        return partner, close

    def prices(
        self, partner: Int64[ndarray, " left"], close: Float64[ndarray, " left"]
    ) -> Float64[ndarray, " right"]:
        """What each right feature is worth where these are the best partners: halfway between the
        least and the most that fits them.
        """
        left, right = self.shape
        has = partner >= 0
        owner = np.full(right, -1)
        owner[partner[has]] = np.flatnonzero(has)
        taken = owner >= 0
        worth = np.where(taken, close[owner], 0.0)

        def most_of(gain: Float64[ndarray, " left"]) -> Float64[ndarray, " right"]:
            return np.where(taken, worth - gain[owner], 0.0)

        def gain_of(price: Float64[ndarray, " right"]) -> Float64[ndarray, " left"]:
            return np.where(has, close - price[partner], 0.0)

        gain = risen(
            left, self.rows, has, lambda gain: self.closeness - most_of(gain)[self.columns]
        )
        order = np.argsort(self.columns, kind="stable")
        rows, columns, closeness = self.rows[order], self.columns[order], self.closeness[order]
        least = risen(right, columns, taken, lambda price: closeness - gain_of(price)[rows])
        return np.maximum(0, (least + most_of(gain)) / 2)


def risen(
    number: int,
    ordered: Int64[ndarray, " pair"],
    may: ndarray,
    asked: Callable[[Float64[ndarray, " _"]], Float64[ndarray, " pair"]],
) -> Float64[ndarray, " _"]:
    """The least values, from 0, that are no less than each pair asks of whom it belongs to; what
    pairs ask depends on the values.
    """
    values = np.zeros(number)
    if not len(ordered):
        return values
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    whose = ordered[begins]
    for _ in range(STEPS):
        wanted = np.maximum(values[whose], np.maximum.reduceat(asked(values), begins))
        wanted[~may[whose]] = 0
        if (wanted - values[whose]).max() <= ROUNDING:
            break
        values[whose] = wanted
    return values
