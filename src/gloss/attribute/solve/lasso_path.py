"""LASSO along a path of penalties, over the parities that go best with the values (Tibshirani,
1996).

Solved by accelerated proximal steps (Beck & Teboulle, 2009); where there are too many parities,
those that correlate most with the values are kept (Fan & Lv, 2008). The penalty is the one that
predicts best masks that were not fitted to.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from gloss.attribute.game import ValuedMasks
from gloss.attribute.solve.sparse_regression import (
    Atom,
    AtomFit,
    Literals,
    fit_least_squares,
    is_screen_affordable,
    make_literals,
    screen_larger_sets,
    screen_pairs,
)

MOST_ATOMS = 6000
MOST_UNSCREENED = 2500  # parities that are taken without a screen
PENALTIES = np.geomspace(0.9, 0.01, 25)  # as shares of the least one that leaves nothing
PROXIMAL_STEPS = 40  # at each penalty
DEEP_OPERATIONS = 1e10


class LassoPenalty(NamedTuple):
    """How strongly the path is penalised at its end, and whether what it then holds is fitted again
    without a penalty.
    """

    step: int  # of PENALTIES, the last that is taken
    refitted: bool


def choose_penalty(train: ValuedMasks, validation: ValuedMasks, order: int) -> LassoPenalty:
    """The one under which masks that were not fitted to are predicted best."""
    literals, atoms, values = prepare_lasso(train, order)
    best, least = LassoPenalty(0, refitted=False), np.inf
    for step, weights in enumerate(lasso_path(literals.centred_products(atoms), values)):
        for again in (False, True):
            fit = fit_from_weights(weights, atoms, train, literals, again=again)
            error = float(((validation.values - fit.predict(validation.masks)) ** 2).sum())
            if error < least:
                best, least = LassoPenalty(step, again), error
    return best


def fit_at_penalty(penalty: LassoPenalty, masks: ValuedMasks, order: int) -> AtomFit:
    """The fit to these masks under that penalty."""
    literals, atoms, values = prepare_lasso(masks, order)
    *_, weights = lasso_path(
        literals.centred_products(atoms), values, PENALTIES[: penalty.step + 1]
    )
    return fit_from_weights(weights, atoms, masks, literals, again=penalty.refitted)


def prepare_lasso(
    masks: ValuedMasks, order: int
) -> tuple[Literals, list[Atom], Float32[ndarray, " mask"]]:
    """Players as columns, the parities to choose from, and the values less their mean."""
    literals = make_literals(masks.masks, parity=True)
    values = (masks.values - masks.values.mean()).astype(np.float32)
    return literals, candidate_parities(literals, values, order), values


def fit_from_weights(
    weights: Float32[ndarray, " atom"],
    atoms: list[Atom],
    masks: ValuedMasks,
    literals: Literals,
    *,
    again: bool,
) -> AtomFit:
    """What the path holds, as it is or fitted again where there are masks enough for that."""
    chosen = np.flatnonzero(weights)
    some = tuple(atoms[index] for index in chosen)
    if not some or (again and len(some) < len(masks.values) // 3):
        return fit_least_squares(literals, some, masks.values)
    shrunk = weights[chosen].astype(np.float64)
    constant = float(masks.values.mean() - shrunk @ literals.products(some).mean(axis=1))
    return AtomFit(some, shrunk, constant, parity=True, players=literals.players)


def candidate_parities(
    literals: Literals, left: Float32[ndarray, " mask"], order: int
) -> list[Atom]:
    """All parities up to the order, or those that go best with the values."""
    players = range(len(literals))
    found: list[Atom] = [(player,) for player in players]
    screened = screen_pairs(literals, left, MOST_ATOMS) if order > 1 else {}
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
    return found[:MOST_ATOMS]


def lasso_path(
    rows: Float32[ndarray, "atom mask"],
    values: Float32[ndarray, " mask"],
    penalties: Float64[ndarray, " penalty"] = PENALTIES,
) -> list[Float32[ndarray, " atom"]]:
    """The weights at each penalty, from the strongest, each begun at the last.

    Only atoms near the penalty are moved.

    It ends early where more of them would move than there are masks.
    """
    masks = len(values)
    weights = np.zeros(len(rows), np.float32)
    along = rows @ values / masks
    strongest = float(np.abs(along).max(initial=0.0))
    found: list[Float32[ndarray, " atom"]] = []
    before = strongest
    for penalty in penalties * strongest:
        moving = np.flatnonzero((weights != 0) | (np.abs(along) >= 2 * penalty - before))
        if found and len(moving) > masks:
            break
        some = rows[moving]
        weights = weights.copy()
        weights[moving] = proximal_descent(
            some @ some.T / masks, some @ values / masks, weights[moving], float(penalty)
        )
        along = rows @ (values - weights[moving] @ some) / masks
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
