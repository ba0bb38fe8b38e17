"""The default: several decoders on the same uniform masks, which double until held-out ones are foretold; the best is kept.

Sparse parities and signed conjunctions are pursued under a heredity prior, and second-order LASSO stands beside them for games
made of many small effects. Where most is unexplained, the last masks are those of a code, which are learnt from like the others
and read set by set too. Which fit, or which two averaged, is kept is chosen on masks that neither fitted nor judge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from gloss.attribute.coded import Coded
from gloss.attribute.evaluations import Valued, remembered
from gloss.attribute.exact import whole
from gloss.attribute.fits import Fit, Sum, foretold, least_squares, literals_of
from gloss.attribute.game import Game
from gloss.attribute.interactions import Interactions
from gloss.attribute.judging import Parts, judged, parted
from gloss.attribute.lasso import at, chosen_penalty
from gloss.attribute.pursuit import Pursuit
from gloss.attribute.screens import Atom
from gloss.errors import require_at_least

FIRST = 256  # masks, or up to twice as many, before the budget is first doubled
EARLY_OPERATIONS = 6e8  # of screens while masks can still be added
CLOSE = 1.03  # how much worse a fit alone may be than the mean of two
FLAT = 0.9  # R2 below which the last masks are coded ones, unless conjunctions alone did best
CLEAR = 0.995  # R2 on the choosing masks from which on no other decoder is tried
PURSUITS = {"parities": True, "conjunctions": False}
LASSO_ORDER = 2


@dataclass(frozen=True)
class Auto:
    """Finds parities and conjunctions of up to `order` players; stops at a held-out R2 of `enough`, or when all is spent."""

    budget: int = 4096  # masks at most
    order: int = 5
    enough: float = 0.99
    operations: float = 1.2e10  # multiplications that one screen of all larger sets may take

    def __post_init__(self) -> None:
        require_at_least(1, self, "budget", "order", "operations")

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Fourier coefficients; all, where the budget pays for every mask. Raises BadInput for too few values."""
        known = remembered(game)
        totals = doubling(min(self.budget, known.available))
        search = Search(self.order)
        masks, coded = known.uniform(totals[0], rng), None
        for following in [*totals[1:], None]:
            if len(masks.values) == 2 ** len(game.players):
                return whole("auto", game.players, masks)
            parts = parted(masks, coded.once if coded else None)
            sums = search.best(parts, EARLY_OPERATIONS if following else self.operations, coded)
            found = judged("auto", game.players, parts, *sums, rng)
            if following is None or found.faithfulness.r2.value >= self.enough:
                return found
            more = following - len(masks.values) - masks.failed
            parities = any(fit.parity for _, fit in sums[0])
            if following == totals[-1] and parities and found.faithfulness.r2.value < FLAT:
                coded = Coded.of(known, more, self.order, rng)
            masks = masks.joined(known.uniform(more - (coded.cost if coded else 0), rng))
        raise AssertionError("the last round returns")


def doubling(budget: int) -> list[int]:
    """Numbers of masks, each twice the one before, the last of them the budget."""
    totals = [budget]
    while totals[0] >= 2 * FIRST:
        totals.insert(0, totals[0] // 2)
    return totals


class Search:
    """The decoders. Each pursuit goes on from what it found when there were fewer masks."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.atoms: dict[bool, list[Atom]] = {True: [], False: []}  # of parities, of conjunctions

    def best(self, parts: Parts, operations: float, coded: Coded | None) -> tuple[Sum, Sum]:
        """The fit, or the mean of two, that foretells the choosing masks best: made of the fitted masks, and of all of them."""
        first: dict[str, Fit] = {}
        again: dict[str, Callable[[Valued], Fit]] = {}
        for name, parity in PURSUITS.items():
            first[name] = self.pursued(parts.learning, operations, parity=parity)
            self.atoms[parity] = list(first[name].atoms)
            again[name] = partial(self.pursued, operations=0.0, parity=parity)
            if parity and coded and coded.whole:
                fits = coded.fits(parts.learning, self.atoms[True], self.order)
                read = min(fits, key=lambda fit: error_of([(1.0, fit)], parts.choosing))
                first["coded"] = read
                again["coded"] = partial(of_atoms, read.atoms)
            if min(error_of([(1.0, fit)], parts.choosing) for fit in first.values()) < (1 - CLEAR) * parts.choosing.values.var():
                break
        else:
            penalty = chosen_penalty(parts.learning, parts.choosing, LASSO_ORDER)
            again["lasso"] = partial(at, penalty, order=LASSO_ORDER)
            first["lasso"] = again["lasso"](parts.learning)
        sums = [(name,) for name in first] + list(combinations(first, 2))
        errors = {
            names: error_of([(1 / len(names), first[name]) for name in names], parts.choosing) / CLOSE ** (2 - len(names))
            for names in sums
        }
        chosen = min(sums, key=lambda names: errors[names])
        before = [(1 / len(chosen), again[name](parts.fitted)) for name in chosen]
        after = [(1 / len(chosen), again[name](parts.everything)) for name in chosen]
        return before, after

    def pursued(self, masks: Valued, operations: float, *, parity: bool) -> Fit:
        """What the pursuit finds on these masks, begun at what it last found on learning masks alone."""
        pursuit = Pursuit(literals_of(masks.masks, parity=parity), masks.values, self.order)
        pursuit.reset(self.atoms[parity])
        pursuit.run(operations)
        return least_squares(pursuit.literals, pursuit.atoms, masks.values)


def error_of(fits: Sum, masks: Valued) -> float:
    """The mean squared error of a weighted sum of fits."""
    return float(((masks.values - foretold(fits, masks.masks)) ** 2).mean())


def of_atoms(atoms: tuple[Atom, ...], masks: Valued) -> Fit:
    """The fit of these parities."""
    return least_squares(literals_of(masks.masks, parity=True), atoms, masks.values)
