"""Functions of known interactions: `flat` is made of random parities, `hier` of random sets with
all their subsets, `and` of conjunctions; `and_even` weighs each conjunction so that it adds as much
variance as any other, however large.
"""

from collections.abc import Iterator
from functools import partial
from itertools import combinations

import numpy as np

from benchmarks.attribute.predictions import Case
from gloss.attribute.bases import Basis, PlayerSet, convert_basis, evaluate_coefficients
from gloss.attribute.game import FunctionGame

LARGEST = 5
SETS = 50
MASKS = {20: 672, 64: 864, 128: 984, 256: 1104, 512: 1224, 1000: 1344}


def synthetic_games(seed: int, each: int, players: tuple[int, ...]) -> Iterator[Case]:
    """`each` functions of every kind, of 50 sets."""
    for n in players:
        for kind, drawn in KINDS.items():
            for number in range(each):
                rng = np.random.default_rng([seed, n, number])
                game = function_game(drawn(rng, n, SETS), n)
                yield Case(f"{kind}, {n} players", f"{kind} {n} {number}", game, MASKS[n])


def function_game(coefficients: dict[PlayerSet, float], players: int) -> FunctionGame:
    """The sum of these coefficients times the parities of their sets."""
    values = partial(evaluate_coefficients, coefficients, Basis.FOURIER)
    return FunctionGame(tuple(f"p{player}" for player in range(players)), values)


def flat(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """`sets` different parities of 1 to 5 players, weights uniform in [-1, 1].

    In the Fourier basis, as the others.
    """
    found: set[PlayerSet] = set()
    while len(found) < sets:
        found.add(drawn(rng, players, 1))
    return weighed(found, rng)


def hier(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """Random sets of 1 to 5 players with all their subsets, until there are `sets` parities,
    weights uniform in [-1, 1].
    """
    found: set[PlayerSet] = set()
    while len(found) < sets:
        whole = drawn(rng, players, 1)
        parts = [
            part
            for size in range(1, len(whole) + 1)
            for part in combinations(whole, size)
            if part not in found
        ]
        found.update(parts[: sets - len(found)])
    return weighed(found, rng)


def conjunctions(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """`sets` different conjunctions of 2 to 5 players that are kept, weights uniform in [-1, 1]."""
    found: set[PlayerSet] = set()
    while len(found) < sets:
        found.add(drawn(rng, players, 2))
    return convert_basis(weighed(found, rng), Basis.MOBIUS, Basis.FOURIER)


def even_conjunctions(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """The same with weights divided by each conjunction's own deviation over masks."""
    found: set[PlayerSet] = set()
    while len(found) < sets:
        found.add(drawn(rng, players, 2))
    weights = {
        one: weight / np.sqrt(0.5 ** len(one) - 0.25 ** len(one))
        for one, weight in weighed(found, rng).items()
    }
    return convert_basis(weights, Basis.MOBIUS, Basis.FOURIER)


def drawn(rng: np.random.Generator, players: int, least: int) -> PlayerSet:
    """A random set of `least` to 5 players, every size as likely."""
    size = int(rng.integers(least, LARGEST + 1))
    return tuple(sorted(rng.choice(players, size, replace=False).tolist()))


def weighed(sets: set[PlayerSet], rng: np.random.Generator) -> dict[PlayerSet, float]:
    """A weight for each set."""
    return {one: float(rng.uniform(-1, 1)) for one in sorted(sets)}


KINDS = {"flat": flat, "hier": hier, "and": conjunctions, "and_even": even_conjunctions}
