"""Writes tokens of which a rule holds: what to put where, drawn as text draws it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from gloss.rules.language import (
    After,
    Alternative,
    Before,
    IsClass,
    LineBegins,
    Matches,
    OneOf,
    Predicate,
    PredicateUnit,
    TokenState,
)
from gloss.rules.lexicon import recent_lexicon

NEWLINE = IsClass(PredicateUnit.TOKEN, "newline")
LINE = 4  # tokens at most from the first of a line to the place


@dataclass(frozen=True, eq=False)
class TokenSupply:
    """Tokens of a vocabulary, each as likely as it is in a text."""

    counts: Int64[ndarray, " vocabulary"]  # how often each stands in the text
    strings: tuple[str, ...]
    # up to each token, of those of which a predicate holds
    totals: dict[Predicate | None, Int64[ndarray, " vocabulary"]] = field(
        default_factory=dict, repr=False
    )

    def draw(self, predicate: Predicate | None, rng: np.random.Generator) -> int:
        """A token of which the predicate holds, any without one; -1 where the text has none."""
        if predicate not in self.totals:
            truths = 1 if predicate is None else self.truths(predicate)
            self.totals[predicate] = np.cumsum(self.counts * truths)
        totals = self.totals[predicate]
        if not totals[-1]:
            return -1
        return int(np.searchsorted(totals, rng.random() * totals[-1], side="right"))

    def truths(self, predicate: Predicate) -> Bool[ndarray, " vocabulary"]:
        """Whether the predicate holds of each token by itself."""
        return recent_lexicon(self.strings).truths(predicate)


def tokens_for_alternative(
    alternative: Alternative, place: int, supply: TokenSupply, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Where to put tokens, and which, so that the alternative may hold at a place.

    What is negated is left to chance.
    """
    for condition in (term.condition for term in alternative.terms if not term.negated):
        match condition:
            case After(nearest, farthest, predicate):
                yield (
                    place - int(rng.integers(nearest, farthest + 1)),
                    supply.draw(predicate, rng),
                )
            case Before(nearest, farthest, predicate):
                yield (
                    place + int(rng.integers(nearest, farthest + 1)),
                    supply.draw(predicate, rng),
                )
            case LineBegins(predicate):
                first = place - int(rng.integers(1, LINE + 1))
                yield first - 1, supply.draw(NEWLINE, rng)
                yield first, supply.draw(predicate, rng)
            case TokenState.START_OF_LINE:
                yield place - 1, supply.draw(NEWLINE, rng)
            case OneOf() | Matches() | IsClass():
                yield place, supply.draw(condition, rng)
            case _:
                pass
