"""What sets of players do (alone, synergy, redundancy), as few terms; and the truncation to small
sets that people can read.

Möbius coefficients spell "any one of these is enough" out as an alternating sum over all subsets;
here it is one term again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from gloss.attribute.bases import Basis, PlayerSet
from gloss.attribute.result.interactions import EXPLAINED_R2, Interactions

MOST_EITHER = 6  # players of whom any one may be found to be enough
NEGLIGIBLE_SHARE = 0.1  # share of a set's coefficient below which another is nothing beside it


class InteractionKind(StrEnum):
    """What a set's coefficient is."""

    ALONE = "alone"
    SYNERGY = "synergy"
    REDUNDANCY = "redundancy"


@dataclass(frozen=True, slots=True)
class InteractionTerm:
    """What a set adds where all its players are kept; or, for `any_one`, where any one is."""

    players: PlayerSet
    weight: float  # in the game's unit
    any_one: bool = False


def interaction_kind(one: PlayerSet, mobius: Mapping[PlayerSet, float]) -> InteractionKind:
    """Redundancy is where a part of what the set takes is what its players add one by one."""
    if len(one) == 1:
        return InteractionKind.ALONE
    return InteractionKind.REDUNDANCY if any_one_weight(one, mobius) else InteractionKind.SYNERGY


def any_one_weight(one: PlayerSet, mobius: Mapping[PlayerSet, float]) -> float:
    """The largest weight of "any one of these" that the coefficients of the set and all its subsets
    hold; 0 for none.
    """
    if not 2 <= len(one) <= MOST_EITHER:
        return 0.0
    parts = [(-1) ** (len(part) + 1) * mobius.get(part, 0.0) for part in nonempty_subsets(one)]
    if all(value > 0 for value in parts):
        return min(parts)
    return max(parts) if all(value < 0 for value in parts) else 0.0


def compact_terms(mobius: Mapping[PlayerSet, float]) -> list[InteractionTerm]:
    """The same function, without its constant, as few terms: the largest first.

    "Any one" is said wherever it takes the place of two coefficients or more; what is left of them
    stays.
    """
    left = {one: value for one, value in mobius.items() if one and value}
    found: list[InteractionTerm] = []
    for one in sorted(left, key=lambda one: (-len(one), -abs(left[one]), one)):
        weight = any_one_weight(one, left)
        after = (
            {
                part: left.get(part, 0.0) + (-1) ** len(part) * weight
                for part in nonempty_subsets(one)
            }
            if weight
            else {}
        )
        gone = [
            part for part, value in after.items() if abs(value) <= NEGLIGIBLE_SHARE * abs(weight)
        ]
        if len(gone) >= 2:
            found.append(InteractionTerm(one, weight, any_one=True))
            left.update(after)
    found += [InteractionTerm(one, value) for one, value in left.items() if value]
    return sorted(found, key=lambda term: (-abs(term.weight), len(term.players), term.players))


def nonempty_subsets(one: PlayerSet) -> list[PlayerSet]:
    """All of them but the empty one."""
    return [part for size in range(1, len(one) + 1) for part in combinations(one, size)]


MOST_SUBSETS = 1 << 18  # subsets gone through in search of the order


@dataclass(frozen=True, slots=True)
class Truncation:
    """What was found, told by sets of at most `order` players."""

    found: Interactions  # in the Möbius basis
    # the same function without its constant, the strongest first
    terms: tuple[InteractionTerm, ...]
    order: int
    share: float  # of the variation of all that was found

    @property
    def explains(self) -> bool:
        """Whether the game would count as explained by this part alone: its share of the held-out
        R2 is 0.5 or more.
        """
        return self.share * self.found.faithfulness.r2.value >= EXPLAINED_R2

    def coverage(self, most: int) -> float:
        """The share of all terms, by size, that the `most` strongest make up."""
        sizes = [abs(term.weight) for term in self.terms]
        return sum(sizes[:most]) / sum(sizes) if sizes else 0.0


def choose_truncation(found: Interactions, most: int = 5) -> Truncation:
    """The order whose `most` strongest terms tell the largest share of what was found, among those
    that still explain the game.

    Where none does that can be gone through, the highest that can.
    """
    series = found.into(Basis.FOURIER).coefficients
    read: list[Truncation] = []
    for order in sorted({max(len(one), 1) for one in series} | {1}):
        if read and sum(2 ** len(one) for one in series if len(one) <= order) > MOST_SUBSETS:
            break
        truncated, share = found.truncate(order)
        read.append(
            Truncation(truncated, tuple(compact_terms(truncated.coefficients)), order, share)
        )
    enough = [one for one in read if one.explains]
    return max(enough, key=lambda one: one.share * one.coverage(most)) if enough else read[-1]
