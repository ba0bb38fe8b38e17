"""LASSO along a path of penalties, over the parities that go best with the values (Tibshirani,
1996).

Solved by accelerated proximal steps (Beck & Teboulle, 2009); where there are too many parities,
those that correlate most with the values are kept (Fan & Lv, 2008). The penalty is the one that
predicts best masks that were not fitted to.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray

from gloss.attribute.game import ValuedMasks
from gloss.attribute.solve.sparse_regression import (
    MOST_CELLS,
    Atom,
    AtomFit,
    AtomMoments,
    Literals,
    fit_least_squares,
    is_screen_affordable,
    make_literals,
    screen_larger_sets,
    screen_pairs,
    spread_rows,
)

MOST_ATOMS = 6000
MOST_PRODUCTS = 1.2e11  # multiplications that form the products of all pairs of them over masks
MOST_UNSCREENED = 2500  # parities that are taken without a screen
PENALTIES = np.geomspace(0.9, 0.01, 25)  # as shares of the least one that leaves nothing
PROXIMAL_STEPS = 40  # at each penalty
DEEP_OPERATIONS = 1e10
MOST_SET_CELLS = 1 << 24  # of a table of all sets by masks: 20 players with 750 masks


class LassoPenalty(NamedTuple):
    """How strongly the path is penalised at its end, and whether what it then holds is fitted again
    without a penalty.
    """

    step: int  # of PENALTIES, the last that is taken
    refitted: bool


@dataclass(frozen=True)
class LassoProblem:
    """Parities to choose from, and how they go with each other and with the values: as products of
    all pairs where there are more masks than parities, or else as rows of masks.
    """

    masks: ValuedMasks
    atoms: list[Atom]
    moments: AtomMoments | None
    rows: Float32[ndarray, "row mask"]  # less their means; none beside moments
    aims: Float32[ndarray, " atom"]  # the mean product of each with the values less theirs

    @staticmethod
    def of(masks: ValuedMasks, order: int) -> "LassoProblem":
        """All parities up to the order, or those that go best with the values."""
        number = len(masks.values)
        some = spread_rows(number, MOST_CELLS // masks.masks.shape[1])
        literals = make_literals(masks.masks[some], parity=True)
        left = (masks.values[some] - masks.values[some].mean()).astype(np.float32)
        atoms = candidate_parities(literals, left, order, most_atoms(literals.players, number))
        if len(atoms) <= number:
            moments = AtomMoments.of(masks.masks, atoms, masks.values, parity=True)
            aims = (moments.along / number).astype(np.float32)
            return LassoProblem(masks, atoms, moments, np.empty((0, 0), np.float32), aims)
        rows = literals.centred_products(atoms)
        return LassoProblem(masks, atoms, None, rows, rows @ left / number)

    def step(
        self,
        weights: Float32[ndarray, " atom"],
        moving: Int64[ndarray, " moving"],
        penalty: float,
    ) -> tuple[Float32[ndarray, " atom"], Float32[ndarray, " atom"]]:
        """New weights under a penalty, of which only some move; and how each parity then goes with
        what is left.
        """
        number = len(self.masks.values)
        weights = weights.copy()
        if self.moments:
            products = (self.moments.products[:, moving] / number).astype(np.float32)
            among = np.ascontiguousarray(products[moving])
            weights[moving] = proximal_descent(among, self.aims[moving], weights[moving], penalty)
            return weights, self.aims - products @ weights[moving]
        some = self.rows[moving]
        among = some @ some.T / number
        weights[moving] = proximal_descent(among, self.aims[moving], weights[moving], penalty)
        return weights, self.aims - self.rows @ (weights[moving] @ some) / number

    def fit(self, weights: Float32[ndarray, " atom"], *, again: bool) -> AtomFit:
        """What a path holds, as it is or fitted again where there are masks enough for that."""
        chosen = np.flatnonzero(weights)
        some, masks = tuple(self.atoms[index] for index in chosen), self.masks
        refitted = again and len(some) < len(masks.values) // 3
        if not some or (refitted and not self.moments):
            return fit_least_squares(masks.masks, some, masks.values, parity=True)
        found = weights[chosen].astype(np.float64)
        if self.moments:
            means = self.moments.means[chosen]
            found = self.moments.weights(chosen) if refitted else found
        else:
            means = make_literals(masks.masks, parity=True).products(some).mean(axis=1)
        constant = float(masks.values.mean() - found @ means)
        return AtomFit(some, found, constant, parity=True, players=masks.masks.shape[1])


def most_atoms(players: int, masks: int) -> int:
    """How many parities a path chooses from: so many that all their products can be formed."""
    return max(min(MOST_ATOMS, players), min(MOST_ATOMS, int(np.sqrt(MOST_PRODUCTS / masks))))


def choose_penalty(
    train: ValuedMasks, validation: ValuedMasks, order: int
) -> tuple[LassoPenalty, AtomFit]:
    """The one under which masks that were not fitted to are predicted best, and the fit under
    it.
    """
    problem = LassoProblem.of(train, order)
    best, found, least = LassoPenalty(0, refitted=False), None, np.inf
    for step, weights in enumerate(lasso_path(problem)):
        for again in (False, True):
            fit = problem.fit(weights, again=again)
            error = float(((validation.values - fit.predict(validation.masks)) ** 2).sum())
            if found is None or error < least:
                best, found, least = LassoPenalty(step, again), fit, error
    assert found is not None, "a path has a first step"
    return best, found


def fit_at_penalty(penalty: LassoPenalty, masks: ValuedMasks, order: int) -> AtomFit:
    """The fit to these masks under that penalty."""
    problem = LassoProblem.of(masks, order)
    *_, weights = lasso_path(problem, PENALTIES[: penalty.step + 1])
    return problem.fit(weights, again=penalty.refitted)


def candidate_parities(
    literals: Literals, left: Float32[ndarray, " mask"], order: int, most: int
) -> list[Atom]:
    """All parities up to the order, or those that go best with the values."""
    players = range(len(literals))
    found: list[Atom] = [(player,) for player in players]
    screened = screen_pairs(literals, left, most) if order > 1 else {}
    for size in range(2, order + 1):
        every = (
            [] if len(players) ** size > 8 * MOST_UNSCREENED else list(combinations(players, size))
        )
        if not every and size == 3:
            screened = (
                screen_larger_sets(literals, left, 3)
                if is_screen_affordable(literals, 3, DEEP_OPERATIONS)
                else {}
            )
        ranked = sorted(screened, key=lambda atom: -screened[atom])
        found += every or [atom for atom in ranked if len(atom) == size]
    return found[:most]


def sets_on_a_path(masks: ValuedMasks, order: int) -> list[Atom]:
    """What a path over all sets of up to `order` players ends with, the strongest first, at most
    one for four masks. Nothing where there are too many sets.
    """
    players, number = range(masks.masks.shape[1]), len(masks.values)
    if sum(comb(len(players), size) for size in range(1, order + 1)) * number > MOST_SET_CELLS:
        return []
    sets = [one for size in range(1, order + 1) for one in combinations(players, size)]
    rows = make_literals(masks.masks, parity=True).centred_products(sets)
    left = (masks.values - masks.values.mean()).astype(np.float32)
    problem = LassoProblem(masks, sets, None, rows, rows @ left / number)
    weights = np.abs(lasso_path(problem, most_moving=3 * number)[-1])
    ranked = np.argsort(-weights, kind="stable")[: min(number // 4, np.count_nonzero(weights))]
    return [sets[index] for index in ranked]


def lasso_path(
    problem: LassoProblem,
    penalties: Float64[ndarray, " penalty"] = PENALTIES,
    most_moving: int | None = None,
) -> list[Float32[ndarray, " atom"]]:
    """The weights at each penalty, from the strongest, each begun at the last.

    Only atoms near the penalty are moved.

    It ends early where more of them would move than that, or than there are masks.
    """
    most_moving = most_moving or len(problem.masks.values)
    weights, along = np.zeros(len(problem.atoms), np.float32), problem.aims
    strongest = float(np.abs(along).max(initial=0.0))
    if not strongest:
        return [weights]  # nothing goes with the values, at any penalty
    found: list[Float32[ndarray, " atom"]] = []
    before = strongest
    for penalty in (penalties * strongest).tolist():
        moving = np.flatnonzero((weights != 0) | (np.abs(along) >= 2 * penalty - before))
        if found and len(moving) > most_moving:
            break
        weights, along = problem.step(weights, moving, penalty)
        found.append(weights)
        before = penalty
    return found


def proximal_descent(
    products: Float32[ndarray, "atom atom"],
    aims: Float32[ndarray, " atom"],
    weights: Float32[ndarray, " atom"],
    penalty: float,
) -> Float32[ndarray, " atom"]:
    """Accelerated proximal steps on a quadratic with an L1 penalty."""
    step = (
        1 / max(float(np.linalg.norm(products, 2)), 1e-12)
        if len(products) < 64
        else 1 / largest_eigenvalue(products)
    )
    ahead, momentum = weights, 1.0
    for _ in range(PROXIMAL_STEPS):
        moved = ahead - step * (products @ ahead - aims)
        new = np.sign(moved) * np.maximum(np.abs(moved) - step * penalty, 0)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + np.float32((momentum - 1) / following) * (new - weights)
        weights, momentum = new, following
    return weights


def largest_eigenvalue(products: Float32[ndarray, "atom atom"]) -> float:
    """A little above it, by power steps."""
    vector = np.ones(len(products), np.float32)
    for _ in range(12):
        vector = products @ (vector / np.linalg.norm(vector))
    return 1.1 * float(np.linalg.norm(vector))
