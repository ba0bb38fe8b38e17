"""Exact conversion between bases of functions of sets: each is a product over players, so a set
becomes its subsets.

With x = 1 for a player that is kept and 0 for one that is removed: `fourier` multiplies 2x - 1,
`mobius` x (all are kept), `absent` 1 - x (all are removed).
"""

from enum import StrEnum
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.errors import BadInput

PlayerSet = tuple[int, ...]  # sorted, without repetition
MOST_TERMS = 1 << 24  # subsets that a sparse conversion may go through
DENSE_PLAYERS = 20  # functions of at most so many players may be laid out whole


class Basis(StrEnum):
    """What a coefficient multiplies: a product over the players of its set."""

    FOURIER = "fourier"  # +1 for an even number of removed players, -1 for an odd one
    MOBIUS = "mobius"  # 1 where all are kept, else 0
    ABSENT = "absent"  # 1 where all are removed, else 0


# One player's factor in the first basis is `inside` times its factor in the second, plus `outside`.
FACTORS: dict[tuple[Basis, Basis], tuple[float, float]] = {
    (Basis.FOURIER, Basis.MOBIUS): (2.0, -1.0),
    (Basis.MOBIUS, Basis.FOURIER): (0.5, 0.5),
    (Basis.FOURIER, Basis.ABSENT): (-2.0, 1.0),
    (Basis.ABSENT, Basis.FOURIER): (-0.5, 0.5),
    (Basis.MOBIUS, Basis.ABSENT): (-1.0, 1.0),
    (Basis.ABSENT, Basis.MOBIUS): (-1.0, 1.0),
}


def convert_basis(
    coefficients: dict[PlayerSet, float], given: Basis, wanted: Basis
) -> dict[PlayerSet, float]:
    """The same function in another basis.

    Costs 2^|S| for each set S, or u 2^u for u <= 20 players in all where that is less.

    Raises BadInput where the sets are so large that this cannot be done.
    """
    if given == wanted:
        return dict(coefficients)
    inside, outside = FACTORS[given, wanted]
    players = sorted({player for one in coefficients for player in one})
    terms = sum(2 ** len(one) for one in coefficients)
    if len(players) <= DENSE_PLAYERS and len(players) * 2 ** len(players) <= 2 * terms:
        return convert_dense(coefficients, players, inside, outside)
    if terms > MOST_TERMS:
        largest = max(map(len, coefficients))
        raise BadInput(
            f"converting {len(coefficients)} sets of up to {largest} players needs {terms:.0e}"
            " terms; keep smaller sets"
        )
    found: dict[PlayerSet, float] = {}
    for one, value in coefficients.items():
        for size in range(len(one) + 1):
            part = value * inside**size * outside ** (len(one) - size)
            for subset in combinations(one, size):
                found[subset] = found.get(subset, 0.0) + part
    return drop_zero_coefficients(found)


def convert_dense(
    coefficients: dict[PlayerSet, float], players: list[int], inside: float, outside: float
) -> dict[PlayerSet, float]:
    """The conversion of a function that is laid out whole, a player at a time."""
    bit = {player: 1 << index for index, player in enumerate(players)}
    table = np.zeros(2 ** len(players))
    for one, value in coefficients.items():
        table[sum(bit[player] for player in one)] = value
    for index in range(len(players)):
        pairs = table.reshape(-1, 2, 2**index)
        pairs[:, 0] += outside * pairs[:, 1]
        pairs[:, 1] *= inside
    return drop_zero_coefficients(
        {
            players_from_bits(int(code), players): float(table[code])
            for code in np.flatnonzero(table)
        }
    )


def players_from_bits(code: int, players: list[int]) -> PlayerSet:
    """The players whose bits are set."""
    return tuple(player for index, player in enumerate(players) if code >> index & 1)


def add_coefficients(
    one: dict[PlayerSet, float], other: dict[PlayerSet, float]
) -> dict[PlayerSet, float]:
    """The coefficients of the sum of two functions, in the basis that both are in."""
    found = dict(one)
    for each, value in other.items():
        found[each] = found.get(each, 0.0) + value
    return found


def drop_zero_coefficients(coefficients: dict[PlayerSet, float]) -> dict[PlayerSet, float]:
    """Without what rounding left of zeros, and small sets first."""
    largest = max(map(abs, coefficients.values()), default=0.0)
    kept = {one: value for one, value in coefficients.items() if abs(value) > 1e-14 * largest}
    return dict(sorted(kept.items(), key=lambda item: (len(item[0]), item[0])))


def conjunction_coefficients(
    kept: PlayerSet, removed: PlayerSet, weight: float
) -> dict[PlayerSet, float]:
    """The Fourier coefficients of `weight` where all of one set are kept and all of the other are
    removed, 0 elsewhere.
    """
    everyone = tuple(sorted((*kept, *removed)))
    scale = weight / 2 ** len(everyone)
    return {
        part: scale * (-1) ** len(set(part) & set(removed))
        for size in range(len(everyone) + 1)
        for part in combinations(everyone, size)
    }


def walsh_hadamard_coefficients(
    values: Float64[ndarray, " mask"], players: int
) -> dict[PlayerSet, float]:
    """The Fourier coefficients of a function known everywhere, by the fast Walsh-Hadamard
    transform.

    `values[code]` belongs to the mask that keeps the players whose bits are set in `code`.
    """
    table = np.array(values, dtype=np.float64)
    for index in range(players):
        pairs = table.reshape(-1, 2, 2**index)
        removed, kept = pairs[:, 0].copy(), pairs[:, 1].copy()
        pairs[:, 0], pairs[:, 1] = (kept + removed) / 2, (kept - removed) / 2
    names = list(range(players))
    return drop_zero_coefficients(
        {players_from_bits(code, names): value for code, value in enumerate(table.tolist())}
    )


def all_masks(players: int) -> Bool[ndarray, "mask player"]:
    """Every mask; row `code` keeps the players whose bits are set in `code`."""
    codes: Int64[ndarray, " mask"] = np.arange(2**players)
    return (codes[:, None] >> np.arange(players) & 1).astype(np.bool_)


def evaluate_coefficients(
    coefficients: dict[PlayerSet, float], basis: Basis, masks: Bool[ndarray, "mask player"]
) -> Float64[ndarray, " mask"]:
    """What the function gives for each mask."""
    if len(masks) * masks.shape[1] > MOST_TERMS:
        parts = np.array_split(masks, -(-masks.size // MOST_TERMS))
        return np.concatenate([evaluate_coefficients(coefficients, basis, one) for one in parts])
    total = np.full(len(masks), coefficients.get((), 0.0))
    factors = {
        Basis.FOURIER: masks * 2.0 - 1,
        Basis.MOBIUS: masks * 1.0,
        Basis.ABSENT: 1.0 - masks,
    }[basis]
    for one, value in coefficients.items():
        if one:
            total += value * factors[:, list(one)].prod(axis=1)
    return total


def changes_by_player(
    coefficients: dict[PlayerSet, float], basis: Basis, mask: Bool[ndarray, " player"]
) -> Float64[ndarray, " player"]:
    """What the function changes by when each player, alone, leaves the mask or enters it."""
    kept, removed = {
        Basis.FOURIER: (1.0, -1.0),
        Basis.MOBIUS: (1.0, 0.0),
        Basis.ABSENT: (0.0, 1.0),
    }[basis]
    factors, changed = np.where(mask, kept, removed), np.where(mask, removed, kept)
    by_size: dict[int, list[PlayerSet]] = {}
    for one in coefficients:
        by_size.setdefault(len(one), []).append(one)
    total = np.zeros(len(mask))
    for size, sets in by_size.items():
        players = np.array(sets, np.int64).reshape(len(sets), size)
        weights = np.array([coefficients[one] for one in sets])
        for place in range(size):
            others = factors[np.delete(players, place, axis=1)].prod(axis=1)
            total += np.bincount(players[:, place], weights * others, len(mask))
    return total * (changed - factors)
