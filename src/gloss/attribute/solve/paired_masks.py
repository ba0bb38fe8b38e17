"""Different masks, each with its complement: sizes that the budget pays for whole, then random ones
of the others.

What a player adds depends on the difference between a mask and its complement alone, so that pairs
take half of what varies away (Covert & Lee, 2021). Without replacement no mask is paid for twice
(Musco & Witter, 2025, "Provably accurate Shapley value estimation via leverage score sampling").
"""

from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

ENUMERATED = 1 << 16  # masks of one size that are listed rather than drawn where half are wanted


def shapley_sizes(players: int) -> Float64[ndarray, " size"]:
    """All sizes alike but none and all: the leverage of masks in Shapley's regression."""
    chances = np.ones(players + 1)
    chances[[0, -1]] = 0
    return chances / chances.sum()


def draw_paired_masks(
    count: int, chances: Float64[ndarray, " size"], rng: np.random.Generator
) -> Bool[ndarray, "mask player"]:
    """At most `count` different masks, complements one after the other.

    `chances` are of the sizes 0 to n, the same for a size and its complement's. No size gets more
    masks than it has, and what that leaves goes to the others.
    """
    players = len(chances) - 1
    rows: list[Bool[ndarray, "mask player"]] = []
    for size, wanted in enumerate(pairs_of_each_size(count // 2, chances)):
        some = distinct_masks(players, size, int(wanted), rng)
        rows.append(np.stack([some, ~some], axis=1).reshape(-1, players))
    return np.concatenate(rows)


def pairs_of_each_size(
    pairs: int, chances: Float64[ndarray, " size"]
) -> Int64[ndarray, " half_size"]:
    """How many pairs begin with each size up to one half: in proportion, and no more than there
    are.
    """
    n = len(chances) - 1
    sizes = np.arange(n // 2 + 1)
    there = [comb(n, size) // (2 if 2 * size == n else 1) for size in sizes.tolist()]
    weight = np.where(2 * sizes == n, 0.5, 1.0) * chances[: len(sizes)]
    found = np.zeros(len(sizes), np.int64)
    is_open = weight > 0
    while is_open.any():
        left = pairs - int(found.sum())
        share = np.where(is_open, weight, 0) / weight[is_open].sum() * left
        open_sizes = np.flatnonzero(is_open).tolist()
        whole = [size for size in open_sizes if float(share[size]) >= there[size]]
        if whole:
            found[whole] = [there[size] for size in whole]
            is_open[whole] = False
            continue
        found += share.astype(np.int64)
        last = np.argsort(-(share - share.astype(np.int64)), kind="stable")
        found[last[: pairs - int(found.sum())]] += 1
        break
    return found


def distinct_masks(
    players: int, size: int, count: int, rng: np.random.Generator
) -> Bool[ndarray, "mask player"]:
    """So many different masks of a size; of two complements of one size only the one with the
    first player.
    """
    middle = 2 * size == players
    first = (0,) if middle else ()
    free, taken = range(len(first), players), size - len(first)
    there = comb(len(free), taken)
    chosen: dict[tuple[int, ...], None] = {}
    if there <= ENUMERATED and 2 * count > there:
        every = list(combinations(free, taken))
        for number in np.sort(rng.permutation(there)[:count]).tolist():
            chosen[every[number]] = None
    while len(chosen) < count:
        order = rng.random((count - len(chosen), len(free))).argsort(axis=1)[:, :taken]
        drawn = np.sort(order, axis=1) + len(first)
        chosen.update(dict.fromkeys(map(tuple, drawn.tolist())))
    found = np.zeros((count, players), np.bool_)
    for row, one in zip(found, chosen, strict=True):
        row[[*first, *one]] = True
    return found
