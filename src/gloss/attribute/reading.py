"""The part of an attribution that people can read: small sets, where larger ones cancel each other out."""

from dataclasses import dataclass

from gloss.attribute.interactions import EXPLAINED, Interactions
from gloss.attribute.kinds import Term, terms
from gloss.attribute.transforms import Basis

MOST_TERMS = 1 << 18  # subsets gone through in search of the order


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found, told by sets of at most `order` players."""

    found: Interactions  # in the Möbius basis
    terms: tuple[Term, ...]  # the same function without its constant, the strongest first
    order: int
    share: float  # of the variation of all that was found

    @property
    def explains(self) -> bool:
        """Whether the game would count as explained by this part alone: its share of the held-out R2 is 0.5 or more."""
        return self.share * self.found.faithfulness.r2.value >= EXPLAINED

    def coverage(self, most: int) -> float:
        """The share of all terms, by size, that the `most` strongest make up."""
        sizes = [abs(term.weight) for term in self.terms]
        return sum(sizes[:most]) / sum(sizes) if sizes else 0.0


def reading(found: Interactions, most: int = 5) -> Reading:
    """The order whose `most` strongest terms tell the largest share of what was found, among those that still explain the game.

    Where none does that can be gone through, the highest that can.
    """
    series = found.into(Basis.FOURIER).coefficients
    read: list[Reading] = []
    for order in sorted({max(len(one), 1) for one in series} | {1}):
        if read and sum(2 ** len(one) for one in series if len(one) <= order) > MOST_TERMS:
            break
        told, share = found.up_to(order)
        read.append(Reading(told, tuple(terms(told.coefficients)), order, share))
    enough = [one for one in read if one.explains]
    return max(enough, key=lambda one: one.share * one.coverage(most)) if enough else read[-1]
