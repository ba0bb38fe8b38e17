"""The default: several decoders on the same uniform masks, which double until held-out ones are
predicted; the best is kept.

Sparse parities and signed conjunctions are pursued under a heredity prior, and second-order LASSO
stands beside them for games made of many small effects. Where most is unexplained, the last masks
are those of a code, which are learnt from like the others and read set by set too. Which fit, or
which two averaged, is kept is chosen on masks that neither fitted nor judge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from gloss.attribute.game import Game, ValuedMasks, as_evaluations
from gloss.attribute.methods.exact import exact_interactions
from gloss.attribute.result.faithfulness import MaskSplit, judge_fits, split_masks
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.solve.lasso_path import choose_penalty, fit_at_penalty
from gloss.attribute.solve.sparse_regression import (
    Atom,
    AtomFit,
    Pursuit,
    WeightedFits,
    fit_least_squares,
    make_literals,
    predict_values,
)
from gloss.attribute.solve.spectral_peeling import CodedMasks
from gloss.errors import require_at_least

FIRST_MASKS = 256  # masks, or up to twice as many, before the budget is first doubled
EARLY_OPERATIONS = 6e8  # of screens while masks can still be added
SINGLE_FIT_TOLERANCE = 1.03  # how much worse a fit alone may be than the mean of two
# R2 below which the last masks are coded ones, unless conjunctions alone did best
CODED_BELOW_R2 = 0.9
SOLVED_R2 = 0.995  # R2 on the validation masks from which on no other decoder is tried
PURSUITS = {"parities": True, "conjunctions": False}
LASSO_ORDER = 2


@dataclass(frozen=True)
class Auto:
    """Finds parities and conjunctions of up to `order` players.

    Stops at a held-out R2 of `enough`, or when all is spent.
    """

    budget: int = 4096  # masks at most
    order: int = 5
    enough: float = 0.99
    operations: float = 1.2e10  # multiplications that one screen of all larger sets may take

    def __post_init__(self) -> None:
        require_at_least(1, self, "budget", "order", "operations")

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Fourier coefficients; all, where the budget pays for every mask.

        Raises BadInput for too few values.
        """
        known = as_evaluations(game)
        totals = doubling_budgets(min(self.budget, known.available))
        search = DecoderSearch(self.order)
        masks, coded = known.uniform(totals[0], rng), None
        for following in [*totals[1:], None]:
            if len(masks.values) == 2 ** len(game.players):
                return exact_interactions("auto", game.players, masks)
            split = split_masks(masks, coded.once if coded else None)
            sums = search.best(split, EARLY_OPERATIONS if following else self.operations, coded)
            found = judge_fits("auto", game.players, split, *sums, rng)
            if following is None or found.faithfulness.r2.value >= self.enough:
                return found
            more = following - len(masks.values) - masks.failed
            parities = any(fit.parity for _, fit in sums[0])
            if (
                following == totals[-1]
                and parities
                and found.faithfulness.r2.value < CODED_BELOW_R2
            ):
                coded = CodedMasks.of(known, more, self.order, rng)
            masks = masks.concatenate(known.uniform(more - (coded.cost if coded else 0), rng))
        raise AssertionError("the last round returns")


def doubling_budgets(budget: int) -> list[int]:
    """Numbers of masks, each twice the one before, the last of them the budget."""
    totals = [budget]
    while totals[0] >= 2 * FIRST_MASKS:
        totals.insert(0, totals[0] // 2)
    return totals


class DecoderSearch:
    """The decoders. Each pursuit goes on from what it found when there were fewer masks."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.atoms: dict[bool, list[Atom]] = {True: [], False: []}  # of parities, of conjunctions

    def best(
        self, split: MaskSplit, operations: float, coded: CodedMasks | None
    ) -> tuple[WeightedFits, WeightedFits]:
        """The fit, or the mean of two, that predicts the validation masks best: made of the fitted
        masks, and of all of them.
        """
        first: dict[str, AtomFit] = {}
        again: dict[str, Callable[[ValuedMasks], AtomFit]] = {}
        for name, parity in PURSUITS.items():
            first[name] = self.pursue(split.train, operations, parity=parity)
            self.atoms[parity] = list(first[name].atoms)
            again[name] = partial(self.pursue, operations=0.0, parity=parity)
            if parity and coded and coded.whole:
                fits = coded.fits(split.train, self.atoms[True], self.order)
                read = min(fits, key=lambda fit: weighted_fit_error([(1.0, fit)], split.validation))
                first["coded"] = read
                again["coded"] = partial(fit_parities, read.atoms)
            if (
                min(weighted_fit_error([(1.0, fit)], split.validation) for fit in first.values())
                < (1 - SOLVED_R2) * split.validation.values.var()
            ):
                break
        else:
            penalty = choose_penalty(split.train, split.validation, LASSO_ORDER)
            again["lasso"] = partial(fit_at_penalty, penalty, order=LASSO_ORDER)
            first["lasso"] = again["lasso"](split.train)
        sums = [(name,) for name in first] + list(combinations(first, 2))
        errors = {
            names: (
                weighted_fit_error(
                    [(1 / len(names), first[name]) for name in names], split.validation
                )
                / SINGLE_FIT_TOLERANCE ** (2 - len(names))
            )
            for names in sums
        }
        chosen = min(sums, key=lambda names: errors[names])
        before = [(1 / len(chosen), again[name](split.fitted)) for name in chosen]
        after = [(1 / len(chosen), again[name](split.everything)) for name in chosen]
        return before, after

    def pursue(self, masks: ValuedMasks, operations: float, *, parity: bool) -> AtomFit:
        """What the pursuit finds on these masks, begun at what it last found on train masks."""
        pursuit = Pursuit(make_literals(masks.masks, parity=parity), masks.values, self.order)
        pursuit.reset(self.atoms[parity])
        pursuit.run(operations)
        return fit_least_squares(pursuit.literals, pursuit.atoms, masks.values)


def weighted_fit_error(fits: WeightedFits, masks: ValuedMasks) -> float:
    """The mean squared error of a weighted sum of fits."""
    return float(((masks.values - predict_values(fits, masks.masks)) ** 2).mean())


def fit_parities(atoms: tuple[Atom, ...], masks: ValuedMasks) -> AtomFit:
    """The fit of these parities."""
    return fit_least_squares(make_literals(masks.masks, parity=True), atoms, masks.values)
