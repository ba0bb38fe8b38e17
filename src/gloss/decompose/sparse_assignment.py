"""One-to-one partners where all pairs are too many to be held: found among each feature's nearest,
with a bound that no choice of partners can exceed.

The bound is the dual of the assignment (Kuhn, 1955). Let each right feature have a price `v >= 0`,
whatever it is; what a left feature gains at most is `u = max(0, max of (closeness - v))` over the
right ones; and prices and gains together are no less than the closeness of any partners. To find
the gains is one pass over all pairs, some at a time. Pairs that gain the most in it join the
candidates, among which partners are found again (column generation: Dantzig and Wolfe, 1960). The
next pass asks the same of the right features, where gains are the prices: those that nobody wants
find who would have them at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.decompose.all_pairs import AllPairs, Partners
from gloss.decompose.auction import Candidates, hold_auction

CANDIDATES = 64  # of each feature at first
JOINING = 32  # of each feature at most, in each later round
GROUP = 64  # columns of which the largest is looked at before each of them is
STEPS = 4  # of an auction, in the gap that is asked for
FIRST = 8  # times that, in the first auction, where many bid for the same few
LEAST = 1e-7  # of the closeness of a feature's partner: the least step


def assign_among_nearest(pairs: AllPairs, gap: float, rounds: int) -> Partners:
    """One to one, so that closeness adds up to the most that can be had but for the share `gap`.

    Whoever would have a partner that is no nearer than nothing, 0, has none. Looks at all pairs
    `rounds` times at most, and then returns what it has; how far that may fall short is in its
    `gap`.
    """
    left, right = pairs.shape
    if left > right:  # those who are fewer bid
        return assign_among_nearest(pairs.turned(), gap, rounds).turned(left)
    candidates, most = Candidates.none(pairs.shape), np.inf
    prices, gains = np.zeros(right), np.zeros(left)
    nobody = np.empty(0, np.int64)
    found = Partners.of_some(left, nobody, nobody, nobody, None)
    for turn in range(rounds):
        if turn % 2:
            look = look_at_all(pairs.turned(), gains, JOINING)
            candidates = candidates.with_more(look.columns, look.rows, look.closeness)
        else:
            look = look_at_all(pairs, prices, JOINING if turn else CANDIDATES)
            candidates = candidates.with_more(look.rows, look.columns, look.closeness)
        most = min(most, look.bound)
        step = max(gap / STEPS, LEAST) * most / max(1, left)
        auction = hold_auction(candidates, step if turn else FIRST * step)
        prices, gains, has = auction.prices, auction.gains, auction.partner >= 0
        rows = np.flatnonzero(has)
        found = Partners.of_some(left, rows, auction.partner[rows], auction.closeness[rows], most)
        if found.gap is not None and found.gap <= gap:
            break
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
    asked = torch.from_numpy(prices.astype(np.float32))  # these are the prices, from here on
    number = min(number, right)
    gains = torch.zeros(left)
    columns, closeness = np.empty((left, number), np.int64), np.empty((left, number))
    held, maxima = torch.empty((0, right)), list[Tensor]()
    for part, some, tile in pairs.tiles():
        if not some.start:  # new rows, in the memory of those before
            held, maxima = held.resize_(len(tile), right), []
        values = torch.from_numpy(tile)
        held[:, some] = values
        maxima.append(largest_of_groups(values.sub_(asked[some])))
        if some.stop < right:
            continue
        largest = torch.cat(maxima, 1)
        gains[part] = largest.amax(1).clamp_min(0)
        groups = largest.topk(min(number, largest.shape[1]), sorted=False).indices
        places = (groups[:, :, None] * GROUP + torch.arange(GROUP)).flatten(1)
        values = held.gather(1, places.clamp_max(right - 1))
        values[places >= right] = -torch.inf
        best = (values - asked[places.clamp_max(right - 1)]).topk(number, sorted=False).indices
        columns[part] = places.gather(1, best).numpy()
        closeness[part] = values.gather(1, best).numpy()
    # a difference in single precision is off by half a unit of its last place at most
    off = float(np.finfo(np.float32).eps) if prices.any() else 0.0
    bound = float(gains.sum(dtype=torch.double)) * (1 + off) + float(asked.sum(dtype=torch.double))
    near = closeness > 0
    rows = np.broadcast_to(np.arange(left)[:, None], near.shape)
    return Look(rows[near], columns[near], closeness[near], bound)


def largest_of_groups(values: Float32[Tensor, "row column"]) -> Float32[Tensor, "row group"]:
    """Of each `GROUP` columns, of which the last may be fewer."""
    lacking = -values.shape[1] % GROUP
    if lacking:
        values = torch.nn.functional.pad(values, (0, lacking), value=-torch.inf)
    return values.unflatten(1, (-1, GROUP)).amax(2)
