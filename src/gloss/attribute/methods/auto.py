"""The default: several decoders on the same masks, which double until held-out ones are predicted;
where they never are, the mean of decoders that are fitted to all parts but one in turn.

Sparse parities and signed conjunctions are pursued under a heredity prior, and second-order LASSO
stands beside them for games made of many small effects. Where most is unexplained, the last masks
are those of a code, which are learnt from like the others and read set by set too. If the budget
ends before the game is predicted, few sets are sought that give every value exactly; where there
are none, `gloss.attribute.solve.cross_fit` takes over, unless held-out masks say clearly that one
fit did better. R2 is stated for masks that keep half and for those near the whole.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np

from gloss.attribute.bases import Basis, PlayerSet, add_coefficients
from gloss.attribute.game import (
    NEAR_KIND,
    OTHER_KIND,
    UNIFORM_KIND,
    Evaluations,
    Game,
    ValuedMasks,
    as_evaluations,
)
from gloss.attribute.mask_budget import MOST_AGAIN, MaskBudget
from gloss.attribute.methods.exact import exact_interactions
from gloss.attribute.result.average_effects import average_effects, sets_of_interest, widen_by_noise
from gloss.attribute.result.faithfulness import MaskSplit, judge_fits, mask_parts
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.result.prediction_r2 import r2
from gloss.attribute.solve.cross_fit import (
    FRESH,
    LARGE_PARTS,
    LASSO_ORDER,
    NO_DECODERS,
    PARTS,
    CrossFit,
    Decoder,
    Sample,
    cross_fit,
    pursue,
)
from gloss.attribute.solve.lasso_path import (
    LassoPenalty,
    choose_penalty,
    fit_at_penalty,
    sets_on_a_path,
)
from gloss.attribute.solve.process_fit import ProcessFit, smooth_rest
from gloss.attribute.solve.sparse_regression import (
    MOST_CELLS,
    Atom,
    AtomFit,
    Pursuit,
    WeightedFits,
    fit_least_squares,
    predict_values,
    sum_fits,
)
from gloss.attribute.solve.spectral_peeling import CodedMasks
from gloss.errors import BadSettings, require_at_least
from gloss.records import Estimate

FIRST_MASKS = 256  # masks, or up to twice as many, before the budget is first doubled
EARLY_OPERATIONS = 6e8  # of screens while masks can still be added
# R2 below which the last masks are coded ones, unless conjunctions alone did best
CODED_BELOW_R2 = 0.9
CLEARLY = 2.0  # standard errors
# How much wider than a bootstrap the interval of a cross-fit's R2 is: its parts share masks, so
# that their errors are not independent (Bates, Hastie & Tibshirani, 2024). Measured on 96 games.
SHARED_MASKS = 1.35
FEWEST_TO_TELL = 32  # held-out masks by which a fit may be preferred to the mean of several
NOTHING_LEFT = 1e-6  # of the variance: rounding of a game that terms give exactly
FEWEST_PER_TERM = 4  # masks for each of so few terms that they cannot do so by chance
SOLVED_R2 = 0.995  # R2 on the validation masks from which on no other decoder is tried
PURSUITS = {"parities": True, "conjunctions": False}


@dataclass(frozen=True)
class Auto:
    """Finds what single players and sets of up to `order` of them do.

    Stops at an R2 of `enough`, among half-kept masks and near the whole, or when all is spent.
    """

    budget: int = 4096  # values at most
    order: int = 5
    enough: float = 0.99
    operations: float = 1.2e10  # multiplications that one screen of all larger sets may take
    near: float = 0.9  # share of the players that masks near the whole keep

    def __post_init__(self) -> None:
        require_at_least(1, self, "budget", "order", "operations")
        if not 0.5 < self.near < 1:
            raise BadSettings(
                f"near is {self.near}; give the share of the players that masks near the whole"
                " keep, above 0.5 and below 1, such as 0.9"
            )

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Fourier coefficients; all, where the budget pays for every mask and values do not differ
        when they are asked for again.

        Raises BadInput for too few values.
        """
        explored = self.explore(as_evaluations(game), rng)
        return finish(self.cross(explored, rng), explored.masks)

    def explore(self, known: Evaluations, rng: np.random.Generator) -> "Explored":
        """Ask about masks until single fits predict them, or all is spent."""
        masks = MaskBudget(known, round(100 * self.near), min(self.budget, known.available))
        search, coded = DecoderSearch(self.order), None
        chosen = {True, False}  # kinds of atoms that predicted best: parities, conjunctions
        if not masks.pays_for_all:  # what noise takes is not left to draw
            masks.draw(min(masks.left, MOST_AGAIN), rng)
            masks.ask_again()
        totals = doubling_budgets(masks.left)
        masks.draw(totals[0], rng)
        noise = masks.ask_again()
        noisy = bool(noise and noise.deviation)
        for following in [*totals[1:], None]:
            if masks.whole and not noisy:
                return Explored(masks, exact_interactions("auto", known.players, masks.uniform))
            if following is None and not coded:
                masks.draw(masks.left, rng)  # where masks near the whole were others, too
            split = masks.split(coded)
            scarce = following is None and split.everything.masks.size <= MOST_CELLS
            if scarce and not noisy and (solved := search.solve(split, chosen, self.operations)):
                return Explored(masks, judge_fits("auto", known.players, split, *solved, rng))
            sums = search.best(split, EARLY_OPERATIONS if following else self.operations, coded)
            found = judge_fits("auto", known.players, split, *sums, rng)
            if self.is_enough(found):
                return Explored(masks, found)
            if following is None:
                return Explored(masks, found, split, sums[0])
            chosen = {fit.parity for _, fit in sums[0] if isinstance(fit, AtomFit)}
            if (
                following == totals[-1]
                and True in chosen
                and found.faithfulness.r2.value < CODED_BELOW_R2
            ):
                coded = CodedMasks.of(known, following - masks.drawn, self.order, rng)
            masks.draw(following - (coded.cost if coded else 0), rng)
        raise AssertionError("the last round returns")

    def cross(
        self,
        explored: "Explored",
        rng: np.random.Generator,
        more: Mapping[str, Decoder] = NO_DECODERS,
    ) -> Interactions:
        """The cross-fit of all decoders, and `more`, where that is needed and as good."""
        split = explored.split
        if split is None:
            return explored.found
        crossed, fit = judge_cross_fit(split, self.order, explored.masks, rng, more)
        return crossed if is_as_good(fit, split, explored.before) else explored.found

    def is_enough(self, found: Interactions) -> bool:
        """Whether more masks are not needed: R2 is high among half-empty masks and near the
        whole.
        """
        trust = found.faithfulness
        return trust.r2.value >= self.enough and (
            trust.near_n == 0 or not trust.near.value < self.enough
        )


@dataclass(frozen=True)
class Explored:
    """What single fits found, and the masks on which a cross-fit may do better."""

    masks: MaskBudget
    found: Interactions
    split: MaskSplit | None = None  # None where nothing is left to do
    before: WeightedFits = ()  # of the single fit, which know nothing of what is held out


def finish(found: Interactions, masks: MaskBudget) -> Interactions:
    """With what was measured as it is, how noisy values are, and how many were used."""
    sizes = {one: abs(each.value) / 2 ** len(one) for one, each in found.averages.items()}
    measured = masks.measure(sorted(sizes, key=lambda one: (-sizes[one], one)))
    trust = replace(found.faithfulness, noise=masks.known.noise(), kept=masks.percent)
    deviation = trust.noise.deviation if trust.noise else 0.0
    return replace(
        found,
        faithfulness=trust,
        averages=widen_by_noise(found.averages, deviation, trust.n, masks.players),
        measured=measured,
        evaluations=found.evaluations + (0 if trust.whole else masks.beside),
        failed=found.failed + measured.failed,
    )


def judge_cross_fit(
    split: MaskSplit,
    order: int,
    masks: MaskBudget,
    rng: np.random.Generator,
    more: Mapping[str, Decoder] = NO_DECODERS,
) -> tuple[Interactions, CrossFit]:
    """The mean of several decoders' fits, judged on all masks by those that were not fitted to
    them.
    """
    everything, kinds = split.everything, split.kinds
    number = PARTS if everything.masks.size <= MOST_CELLS else LARGE_PARTS
    parts = np.where(kinds == OTHER_KIND, -1, mask_parts(everything.masks, number))
    crossed = cross_fit(Sample(everything, kinds), parts, order, EARLY_OPERATIONS, rng, more)
    missed = everything.values - crossed.predicted
    judged: dict[int, Estimate] = {}
    for kind, kept in ((UNIFORM_KIND, 0.5), (NEAR_KIND, masks.percent / 100)):
        own = kinds == kind
        values, predicted = everything.values[own], crossed.predicted[own]
        fresh = rng.random((FRESH if own.any() else 0, masks.players)) < kept
        less = crossed.disagreement(fresh) if own.any() else 0.0
        judged[kind] = r2(values, predicted, rng, less=less, wider=SHARED_MASKS)
    uniform, near = kinds == UNIFORM_KIND, kinds == NEAR_KIND
    smooth = [(share, fit) for share, fit in crossed.fits if isinstance(fit, ProcessFit)]
    coefficients = sum_fits([each for each in crossed.fits if not isinstance(each[1], ProcessFit)])
    rest = None
    if smooth:
        told = with_parts(sets_of_interest(coefficients, masks.players))
        rest = smooth_rest(smooth, told, rng.random((FRESH, masks.players)) < 0.5)
        coefficients = add_coefficients(coefficients, rest.listed)
    sets = sets_of_interest(coefficients, masks.players)
    found = Interactions(
        players=masks.known.players,
        coefficients=coefficients,
        basis=Basis.FOURIER,
        method="auto",
        faithfulness=Faithfulness(
            judged[UNIFORM_KIND],
            int(uniform.sum()),
            near=judged[NEAR_KIND],
            near_n=int(near.sum()),
            spread=float(everything.values[uniform].std()),
            near_spread=float(everything.values[near].std()) if near.any() else np.nan,
        ),
        evaluations=len(everything.values),
        failed=everything.failed,
        averages=average_effects(coefficients, sets, everything.masks[uniform], missed[uniform]),
        rest=rest,
    )
    return found, crossed


def with_parts(sets: Iterable[PlayerSet]) -> set[PlayerSet]:
    """These sets and all that lie in them."""
    return {
        part for one in sets for size in range(1, len(one) + 1) for part in combinations(one, size)
    }


def is_as_good(crossed: CrossFit, split: MaskSplit, before: WeightedFits) -> bool:
    """Whether a single fit does not do clearly better on masks that neither was fitted to: by more
    than two standard errors, where these are enough to tell.
    """
    out = split.out
    if out.sum() < FEWEST_TO_TELL:
        return True
    values, masks = split.everything.values[out], split.everything.masks[out]
    own = np.square(values - crossed.predicted[out])
    single = np.square(values - predict_values(before, masks))
    ahead = (own - single) * Sample(split.everything, split.kinds).weights[out]
    return bool(ahead.mean() <= CLEARLY * ahead.std(ddof=1) / np.sqrt(len(ahead)))


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
        # to fit to more masks what a decoder found on fewer
        again: dict[str, Callable[[ValuedMasks, AtomFit], AtomFit]] = {}
        for name, parity in PURSUITS.items():
            begun = self.atoms[parity]
            first[name] = pursue(split.train, self.order, operations, parity=parity, begun=begun)
            self.atoms[parity] = list(first[name].atoms)
            again[name] = self.pursue_further
            if parity and coded and coded.whole:
                fits = coded.fits(split.train, self.atoms[True], self.order)
                first["coded"] = min(
                    fits, key=lambda fit: weighted_fit_error([(1.0, fit)], split.validation)
                )
                again["coded"] = fit_same_atoms
            if (
                min(weighted_fit_error([(1.0, fit)], split.validation) for fit in first.values())
                < (1 - SOLVED_R2) * split.validation.values.var()
            ):
                break
        else:
            penalty, first["lasso"] = choose_penalty(split.train, split.validation, LASSO_ORDER)
            again["lasso"] = partial(fit_same_path, penalty)
        sums = [(name,) for name in first] + list(combinations(first, 2))
        errors = {
            names: weighted_fit_error(
                [(1 / len(names), first[name]) for name in names], split.validation
            )
            for names in sums
        }
        chosen = min(sums, key=lambda names: errors[names])
        share = 1 / len(chosen)
        before = {name: again[name](split.fitted, first[name]) for name in chosen}
        after = [again[name](split.everything, fit) for name, fit in before.items()]
        return [(share, fit) for fit in before.values()], [(share, fit) for fit in after]

    def pursue_further(self, masks: ValuedMasks, fit: AtomFit) -> AtomFit:
        """What a pursuit finds on these masks, begun at what was found on others."""
        return pursue(masks, self.order, 0.0, parity=fit.parity, begun=fit.atoms)

    def solve(
        self, split: MaskSplit, parities: set[bool], operations: float
    ) -> tuple[WeightedFits, WeightedFits] | None:
        """Few parities or conjunctions that leave nothing of any mask, fitted to what is not held
        out and to all; None where none are found.

        They are sought on all masks, because a few more of them often decide; that so few give
        every value to rounding is no chance.
        """
        masks = split.everything
        for pursuit in self.exact_pursuits(split, parities):
            pursuit.screened_share = NOTHING_LEFT
            pursuit.run(operations)
            before, after = (
                fit_least_squares(
                    each.masks, pursuit.atoms, each.values, parity=pursuit.literals.parity
                )
                for each in (split.fitted, masks)
            )
            few = len(pursuit.atoms) * FEWEST_PER_TERM < len(masks.values)
            if (
                few
                and weighted_fit_error([(1.0, after)], masks) < NOTHING_LEFT * masks.values.var()
            ):
                return [(1.0, before)], [(1.0, after)]
        return None

    def exact_pursuits(self, split: MaskSplit, parities: set[bool]) -> Iterator[Pursuit]:
        """Begun at what a path over all sets holds, where these are not too many; then
        conjunctions, with a mean of their own for masks near the whole, and without.
        """
        masks = split.everything
        if True in parities and (begun := sets_on_a_path(masks, self.order)):
            pursuit = Pursuit.over(masks.masks, masks.values, self.order, parity=True)
            pursuit.reset(begun)
            yield pursuit
        for apart in (split.kinds == NEAR_KIND, None) if False in parities else ():
            yield Pursuit.over(masks.masks, masks.values, self.order, parity=False, apart=apart)


def weighted_fit_error(fits: WeightedFits, masks: ValuedMasks) -> float:
    """The mean squared error of a weighted sum of fits."""
    return float(((masks.values - predict_values(fits, masks.masks)) ** 2).mean())


def fit_same_path(penalty: LassoPenalty, masks: ValuedMasks, fit: AtomFit) -> AtomFit:
    """The same path up to that penalty, over these masks; it goes on from no fit."""
    return fit_at_penalty(penalty, masks, LASSO_ORDER)


def fit_same_atoms(masks: ValuedMasks, fit: AtomFit) -> AtomFit:
    """The same atoms, fitted to these masks."""
    return fit_least_squares(masks.masks, fit.atoms, masks.values, parity=fit.parity)
