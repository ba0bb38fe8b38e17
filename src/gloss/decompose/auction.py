"""One-to-one partners among candidates by an auction (Bertsekas, 1988, Annals of Operations
Research 14): whoever has no partner bids for the one that gains it the most, up to where the next
best would gain it as much and a step more, and takes it from whoever has it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

# bids of each of so many features at least, after which they become twice as coarse, so that ties
# come to an end; a round of few counts for more, since it takes as long
PATIENCE, FEATURES, ROUND = 100, 100, 16


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

    def with_more(
        self,
        rows: Int64[ndarray, " more"],
        columns: Int64[ndarray, " more"],
        closeness: Float64[ndarray, " more"],
    ) -> "Candidates":
        """These and others, of which some may be among them."""
        rows = np.concatenate([self.rows, rows])
        columns = np.concatenate([self.columns, columns])
        closeness = np.concatenate([self.closeness, closeness])
        _, first = np.unique(rows * self.shape[1] + columns, return_index=True)
        return Candidates(self.shape, rows[first], columns[first], closeness[first])


@dataclass(frozen=True, eq=False)
class Auction:
    """Partners, and prices that go with them: where all bids were of one step, the closeness of no
    partners among the candidates adds up to more than that of these and a step for each.
    """

    partner: Int64[ndarray, " left"]  # -1 for none
    closeness: Float64[ndarray, " left"]  # of partners; 0 for none
    prices: Float64[ndarray, " right"]  # 0 for whom nobody has
    gains: Float64[ndarray, " left"]  # what is left to each at these prices, at most


def hold_auction(candidates: Candidates, step: float) -> Auction:
    """The partners among candidates whose closeness adds up to the most but for a step for each.

    A left feature may go without, which gains it nothing, as a right one may. Costs the less the
    more right features there are.

    >>> rows, columns = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> closeness = np.array([0.9, 0.8, 0.7, 0.1])
    >>> hold_auction(Candidates((2, 2), rows, columns, closeness), 0.001).partner.tolist()
    [1, 0]
    """
    left, right = candidates.shape
    columns, closeness = candidates.columns, candidates.closeness
    counts = np.bincount(candidates.rows, minlength=left)
    begins = np.cumsum(counts) - counts
    prices, owner = np.zeros(right), np.full(right, -1)
    chosen, highest = np.full(left, -1), np.empty(right, np.int64)
    bidders = np.flatnonzero(counts)
    patience = bids_left = PATIENCE * max(left, FEATURES)
    while len(bidders):
        bids_left -= max(len(bidders), ROUND)
        if bids_left < 0:
            step, bids_left = 2 * step, patience
        # what each pair of a bidder's would gain it: the most, which that is, and the second most
        ends = np.cumsum(counts[bidders])
        firsts = ends - counts[bidders]
        pairs = np.arange(ends[-1]) + np.repeat(begins[bidders] - firsts, counts[bidders])
        gains = closeness[pairs] - prices[columns[pairs]]
        most = np.maximum.reduceat(gains, firsts)
        best = np.flatnonzero(gains == np.repeat(most, counts[bidders]))
        best = best[np.diff(np.searchsorted(ends, best, side="right"), prepend=-1) > 0]
        gains[best] = 0  # going without is the least of seconds
        bids = most - np.maximum.reduceat(gains, firsts) + step
        # who gains nothing any more goes without; of bids for the same one, the highest has it
        order = np.flatnonzero(most > 0)
        bids += prices[columns[pairs[best]]]
        order = order[np.argsort(bids[order], kind="stable")]
        bidders, bids, pairs = bidders[order], bids[order], pairs[best[order]]
        wanted = columns[pairs]
        highest[wanted] = np.arange(len(wanted))
        wins = highest[wanted] == np.arange(len(wanted))
        losers, before = bidders[~wins], owner[wanted[wins]]
        before = before[before >= 0]
        chosen[before] = -1
        owner[wanted[wins]], chosen[bidders[wins]] = bidders[wins], pairs[wins]
        prices[wanted[wins]] = bids[wins]
        bidders = np.concatenate([losers, before])
    has, some = chosen >= 0, np.flatnonzero(counts)
    partner, close, gains = np.full(left, -1, np.int64), np.zeros(left), np.zeros(left)
    partner[has], close[has] = columns[chosen[has]], closeness[chosen[has]]
    if len(some):
        gains[some] = np.maximum.reduceat(closeness - prices[columns], begins[some])
    return Auction(partner, close, prices, np.maximum(0, gains))
