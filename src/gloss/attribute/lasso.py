"""LASSO on parities of up to three players: what costs nothing and is hard to beat on real games (Tibshirani, 1996).

Solved by accelerated proximal steps (Beck & Teboulle, 2009) along a path of penalties, over the parities that go best with the
values where there are too many (Fan & Lv, 2008). The penalty is the one that foretells best masks that were not fitted to.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from gloss.attribute.evaluations import Valued, remembered
from gloss.attribute.fits import Fit, least_squares, literals_of
from gloss.attribute.game import Game
from gloss.attribute.interactions import Interactions
from gloss.attribute.judging import judged, parted
from gloss.attribute.screens import Atom, Literals, affordable, deep, pairs
from gloss.errors import require_at_least

MOST_ATOMS = 6000
MOST_WHOLE = 2500  # parities that are taken without a screen
PENALTIES = np.geomspace(0.9, 0.01, 25)  # as shares of the least one that leaves nothing
STEPS = 40  # at each penalty
DEEP_OPERATIONS = 1e10


@dataclass(frozen=True)
class Lasso:
    """Sparse regression on all parities of up to `order` players (1, 2 or 3)."""

    budget: int = 2000  # masks
    order: int = 2

    def __post_init__(self) -> None:
        require_at_least(1, self, "budget")
        if not 1 <= self.order <= 3:
            raise ValueError(f"order is {self.order}; lasso takes 1, 2 or 3")

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Fourier coefficients from uniform masks, an eighth of them held out. Raises BadInput for too few values."""
        parts = parted(remembered(game).uniform(self.budget, rng))
        penalty = chosen_penalty(parts.learning, parts.choosing, self.order)
        before, after = (at(penalty, masks, self.order) for masks in (parts.fitted, parts.everything))
        return judged("lasso", game.players, parts, [(1.0, before)], [(1.0, after)], rng)


class Penalty(NamedTuple):
    """How strongly the path is penalised at its end, and whether what it then holds is fitted again without a penalty."""

    place: int  # in PENALTIES
    refitted: bool


def chosen_penalty(learning: Valued, choosing: Valued, order: int) -> Penalty:
    """The one under which masks that were not fitted to are foretold best."""
    literals, atoms, values = prepared(learning, order)
    best, least = Penalty(0, refitted=False), np.inf
    for place, weights in enumerate(path(literals.centred(atoms), values)):
        for again in (False, True):
            fit = fit_of(weights, atoms, learning, literals, again=again)
            error = float(((choosing.values - fit.foretold(choosing.masks)) ** 2).sum())
            if error < least:
                best, least = Penalty(place, again), error
    return best


def at(penalty: Penalty, masks: Valued, order: int) -> Fit:
    """The fit to these masks under that penalty."""
    literals, atoms, values = prepared(masks, order)
    *_, weights = path(literals.centred(atoms), values, PENALTIES[: penalty.place + 1])
    return fit_of(weights, atoms, masks, literals, again=penalty.refitted)


def prepared(masks: Valued, order: int) -> tuple[Literals, list[Atom], Float32[ndarray, " mask"]]:
    """Players as columns, the parities to choose from, and the values less their mean."""
    literals = literals_of(masks.masks, parity=True)
    values = (masks.values - masks.values.mean()).astype(np.float32)
    return literals, parities(literals, values, order), values


def fit_of(weights: Float32[ndarray, " atom"], atoms: list[Atom], masks: Valued, literals: Literals, *, again: bool) -> Fit:
    """What the path holds, as it is or fitted again where there are masks enough for that."""
    chosen = np.flatnonzero(weights)
    some = tuple(atoms[place] for place in chosen)
    if not some or (again and len(some) < len(masks.values) // 3):
        return least_squares(literals, some, masks.values)
    shrunk = weights[chosen].astype(np.float64)
    constant = float(masks.values.mean() - shrunk @ literals.products(some).mean(axis=1))
    return Fit(some, shrunk, constant, parity=True, players=literals.players)


def parities(literals: Literals, left: Float32[ndarray, " mask"], order: int) -> list[Atom]:
    """All parities up to the order, or those that go best with the values."""
    players = range(len(literals))
    found: list[Atom] = [(player,) for player in players]
    screened = pairs(literals, left, MOST_ATOMS) if order > 1 else {}
    for size in range(2, order + 1):
        every = [] if len(players) ** size > 8 * MOST_WHOLE else list(combinations(players, size))
        if not every and size == 3:
            screened = deep(literals, left, 3) if affordable(literals, 3, DEEP_OPERATIONS) else {}
        ranked = sorted(screened, key=lambda atom: -screened[atom])
        found += every or [atom for atom in ranked if len(atom) == size]
    return found[:MOST_ATOMS]


def path(
    rows: Float32[ndarray, "atom mask"], values: Float32[ndarray, " mask"], penalties: Float64[ndarray, " penalty"] = PENALTIES
) -> list[Float32[ndarray, " atom"]]:
    """The weights at each penalty, from the strongest, each begun at the last; only atoms near the penalty are moved.

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
        weights[moving] = descended(some @ some.T / masks, some @ values / masks, weights[moving], float(penalty))
        along = rows @ (values - weights[moving] @ some) / masks
        found.append(weights)
        before = penalty
    return found


def descended(
    products: Float32[ndarray, "atom atom"],
    aims: Float32[ndarray, " atom"],
    weights: Float32[ndarray, " atom"],
    penalty: float,
) -> Float32[ndarray, " atom"]:
    """Accelerated proximal steps on a quadratic with an L1 penalty."""
    step = 1 / max(float(np.linalg.norm(products, 2)), 1e-12) if len(products) < 64 else 1 / largest_eigenvalue(products)
    ahead, momentum = weights, 1.0
    for _ in range(STEPS):
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
