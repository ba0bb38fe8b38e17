"""Functions of known interactions: `flat` (random parities), `hier` (sets with all their subsets), `and` (conjunctions)."""

from itertools import combinations

import numpy as np

from gloss.attribute.transforms import Basis, PlayerSet, converted

LARGEST = 5


def flat(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """`sets` different parities of 1 to 5 players, weights uniform in [-1, 1]; in the Fourier basis, as the others."""
    found: set[PlayerSet] = set()
    while len(found) < sets:
        found.add(drawn(rng, players, 1))
    return weighed(found, rng)


def hier(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """Random sets of 1 to 5 players with all their subsets, until there are `sets` parities, weights uniform in [-1, 1]."""
    found: set[PlayerSet] = set()
    while len(found) < sets:
        whole = drawn(rng, players, 1)
        parts = [part for size in range(1, len(whole) + 1) for part in combinations(whole, size) if part not in found]
        found.update(parts[: sets - len(found)])
    return weighed(found, rng)


def conjunctions(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """`sets` different conjunctions of 2 to 5 players that are kept, weights uniform in [-1, 1]."""
    found: set[PlayerSet] = set()
    while len(found) < sets:
        found.add(drawn(rng, players, 2))
    return converted(weighed(found, rng), Basis.MOBIUS, Basis.FOURIER)


def drawn(rng: np.random.Generator, players: int, least: int) -> PlayerSet:
    """A random set of `least` to 5 players, every size as likely."""
    size = int(rng.integers(least, LARGEST + 1))
    return tuple(sorted(rng.choice(players, size, replace=False).tolist()))


def weighed(sets: set[PlayerSet], rng: np.random.Generator) -> dict[PlayerSet, float]:
    """A weight for each set."""
    return {one: float(rng.uniform(-1, 1)) for one in sorted(sets)}


KINDS = {"flat": flat, "hier": hier, "and": conjunctions}
