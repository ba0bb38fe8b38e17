"""What sets of players do: alone, more together than apart (synergy), or less (redundancy); and the terms that say it shortest.

Möbius coefficients spell "any one of these is enough" out as an alternating sum over all subsets; here it is one term again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from gloss.attribute.transforms import PlayerSet

MOST_EITHER = 6  # players of whom any one may be found to be enough
NOTHING = 0.1  # share of a set's coefficient below which another is nothing beside it


class Kind(StrEnum):
    """What a set's coefficient is."""

    ALONE = "alone"
    SYNERGY = "synergy"
    REDUNDANCY = "redundancy"


@dataclass(frozen=True, slots=True)
class Term:
    """What a set adds where all its players are kept; or, for `either`, where any one is."""

    players: PlayerSet
    weight: float  # in the game's unit
    either: bool = False


def kind(one: PlayerSet, mobius: Mapping[PlayerSet, float]) -> Kind:
    """Redundancy is where a part of what the set takes is what its players add one by one."""
    if len(one) == 1:
        return Kind.ALONE
    return Kind.REDUNDANCY if either(one, mobius) else Kind.SYNERGY


def either(one: PlayerSet, mobius: Mapping[PlayerSet, float]) -> float:
    """The largest weight of "any one of these" that the coefficients of the set and all its subsets hold; 0 for none."""
    if not 2 <= len(one) <= MOST_EITHER:
        return 0.0
    parts = [(-1) ** (len(part) + 1) * mobius.get(part, 0.0) for part in subsets(one)]
    if all(value > 0 for value in parts):
        return min(parts)
    return max(parts) if all(value < 0 for value in parts) else 0.0


def terms(mobius: Mapping[PlayerSet, float]) -> list[Term]:
    """The same function, without its constant, as few terms: the largest first.

    "Any one" is said wherever it takes the place of two coefficients or more; what is left of them stays.
    """
    left = {one: value for one, value in mobius.items() if one and value}
    found: list[Term] = []
    for one in sorted(left, key=lambda one: (-len(one), -abs(left[one]), one)):
        weight = either(one, left)
        after = {part: left.get(part, 0.0) + (-1) ** len(part) * weight for part in subsets(one)} if weight else {}
        gone = [part for part, value in after.items() if abs(value) <= NOTHING * abs(weight)]
        if len(gone) >= 2:
            found.append(Term(one, weight, either=True))
            left.update(after)
    found += [Term(one, value) for one, value in left.items() if value]
    return sorted(found, key=lambda term: (-abs(term.weight), len(term.players), term.players))


def subsets(one: PlayerSet) -> list[PlayerSet]:
    """All of them but the empty one."""
    return [part for size in range(1, len(one) + 1) for part in combinations(one, size)]
