"""Experiment 8: games whose interactions are known.

Are they found, and is what cannot be found flagged instead of explained?
"""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from math import factorial

import numpy as np
from numpy import ndarray

from benchmarks.quality.rows import Row
from gloss.attribute.bases import (
    Basis,
    PlayerSet,
    all_masks,
    convert_basis,
    evaluate_coefficients,
    walsh_hadamard_coefficients,
)
from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.result.indices import Index, compute_index
from gloss.attribute.result.interactions import Interactions

EXPERIMENT = "8 interactions"
NEGLIGIBLE = 1e-3  # of a coefficient, where planted ones are 0.3 and more


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """Closed forms, planted parities and conjunctions, peaks that must be flagged, noise,
    neighbours that act together.
    """
    sizes = (20, 64) if small else (20, 64, 256, 1000)
    return [
        closed_forms(rng, 8 if small else 12),
        *(support(rng, players) for players in sizes),
        *(parity(rng, order) for order in range(2, 6)),
        *peaks(rng),
        *(covered(rng, noise, 2 if small else 20) for noise in (0.05, 0.1, 0.2)),
        *neighbours(rng),
    ]


def game_of(coefficients: dict[PlayerSet, float], players: int) -> FunctionGame:
    """The game with these Fourier coefficients."""
    return FunctionGame(
        tuple(f"p{player}" for player in range(players)),
        partial(evaluate_coefficients, coefficients, Basis.FOURIER),
    )


def drawn(rng: np.random.Generator, players: int, order: int) -> PlayerSet:
    """A random set of that size."""
    return tuple(sorted(rng.choice(players, order, replace=False).tolist()))


def strong(found: Interactions) -> set[PlayerSet]:
    """The sets whose coefficients are not negligible."""
    return {one for one, value in found.coefficients.items() if one and abs(value) > NEGLIGIBLE}


def closed_forms(rng: np.random.Generator, players: int) -> Row:
    """The largest difference of Shapley values from their definition, and of Faith-Banzhaf from its
    least squares.
    """
    values, masks = rng.normal(size=2**players), all_masks(players)
    mobius = convert_basis(
        walsh_hadamard_coefficients(values, players), Basis.FOURIER, Basis.MOBIUS
    )
    sizes = masks.sum(axis=1)
    weights = np.array(
        [
            factorial(size) * factorial(players - size - 1) / factorial(players)
            for size in range(players)
        ]
    )
    shapley = compute_index(mobius, Index.SHAPLEY)
    worst = 0.0
    for player in range(players):
        without = np.flatnonzero(~masks[:, player])
        known = float(
            (weights[sizes[without]] * (values[without + (1 << player)] - values[without])).sum()
        )
        worst = max(worst, abs(known - shapley[player,]))
    sets = [one for size in range(3) for one in combinations(range(players), size)]
    columns = np.stack([masks[:, list(one)].all(axis=1) for one in sets], axis=1).astype(np.float64)
    fitted = np.linalg.lstsq(columns, values, rcond=None)[0]
    faithful = compute_index(mobius, Index.FAITH_BANZHAF, 2)
    worst = max(
        worst,
        *(abs(value - faithful[one]) for one, value in zip(sets, fitted.tolist(), strict=True)),
    )
    return Row.exact(
        f"{EXPERIMENT}: closed forms, n = {players}",
        "0 from brute force, to 1e-9",
        worst,
        worst < 1e-9,
    )


def support(rng: np.random.Generator, players: int) -> Row:
    """How many sets are missed or made up where ten sets of two to four players act with all their
    subsets.
    """
    planted: dict[PlayerSet, float] = {}
    for _ in range(10):
        whole = drawn(rng, players, int(rng.integers(2, 5)))
        parts = [part for size in range(1, len(whole) + 1) for part in combinations(whole, size)]
        planted |= {part: float(rng.choice([-1, 1]) * rng.uniform(0.3, 1)) for part in parts}
    found = Auto(budget=1344, enough=1.0).attribute(game_of(planted, players), rng)
    wrong = len(strong(found) ^ planted.keys())
    known = f"0 of {len(planted)} sets missed or made up within 1,344 masks"
    return Row.exact(f"{EXPERIMENT}: hierarchy, n = {players}", known, wrong, wrong == 0)


def parity(rng: np.random.Generator, order: int) -> Row:
    """The coefficient that a lone parity is given; any other set would take from it."""
    one = drawn(rng, 40, order)
    found = Auto(budget=1000).attribute(game_of({one: 1.0}, 40), rng)
    height = found.coefficients.get(one, 0.0)
    return Row.exact(
        f"{EXPERIMENT}: parity of {order} of 40",
        "coefficient 1",
        height,
        abs(height - 1) < NEGLIGIBLE,
    )


def peaks(rng: np.random.Generator) -> list[Row]:
    """Ten fives without their parts (Butler et al., 2025, B.4): held-out R2 flags whom they escape,
    and is true of others.
    """
    rows: list[Row] = []
    for players, method in ((40, Lasso(1000)), (400, Auto(budget=400)), (400, Auto(budget=1000))):
        planted = {drawn(rng, players, 5): float(rng.uniform(-1, 1)) for _ in range(10)}
        game = game_of(planted, players)
        found = method.attribute(game, rng)
        name = f"{EXPERIMENT}: peaks, n = {players}, {found.method}, {method.budget} masks"
        if method.budget < 1000 or found.method == "lasso":
            passed = not found.faithfulness.explained and found.summary_sentence().startswith(
                "Not explained"
            )
            rows.append(Row.of(name, "R2 below 0.5, and flagged", found.faithfulness.r2, passed))
            continue
        fresh = rng.random((10_000, players)) < 0.5
        values = game.values(fresh)
        truth = 1 - float(((values - found.predict(fresh)) ** 2).mean() / values.var())
        claimed = found.faithfulness.r2
        known = f"no more than fresh masks bear out, {truth:.3f}: the interval begins below it"
        rows.append(Row.of(name, known, claimed, claimed.low - 0.002 <= truth))
    return rows


def covered(rng: np.random.Generator, noise: float, repeats: int) -> Row:
    """How far the middle of claimed R2 is from the best that noise leaves, and whether most
    intervals hold the truth.
    """
    best, hits, claims = 1 / (1 + noise**2), 0, []
    for _ in range(repeats):
        planted = {
            drawn(rng, 30, int(order)): float(rng.uniform(0.3, 1))
            for order in rng.integers(1, 4, 15)
        }
        clean = game_of(planted, 30)
        deviation = noise * np.sqrt(sum(value**2 for value in planted.values()))
        noisy = FunctionGame(clean.players, added(clean.values, deviation, rng))
        found = Auto(budget=800).attribute(noisy, rng)
        fresh = rng.random((10_000, 30)) < 0.5
        values = noisy.values(fresh)
        truth = 1 - float(((values - found.predict(fresh)) ** 2).mean() / values.var())
        hits += found.faithfulness.r2.low - 0.002 <= truth <= found.faithfulness.r2.high + 0.002
        claims.append(found.faithfulness.r2.value)
    middle = float(np.median(claims))
    known = f"claimed R2 {best:.3f}, intervals hold the truth in 8 of 10 repeats or more"
    return Row.exact(
        f"{EXPERIMENT}: noise {noise:.0%}",
        known,
        middle,
        abs(middle - best) < 0.02 and hits >= 0.8 * repeats,
    )


def added(
    values: Callable[[ndarray], ndarray], deviation: float, rng: np.random.Generator
) -> Callable[[ndarray], ndarray]:
    """The same function with noise."""
    return lambda masks: values(masks) + deviation * rng.normal(size=len(masks))


def neighbours(rng: np.random.Generator) -> list[Row]:
    """Training examples of a k-nearest-neighbour vote, the nearest two of one class, all others of
    the other.

    With k = 1 either of the two is enough: they are duplicates, their interaction is -1. With k = 3
    both are needed: it is +1.
    """
    labels = np.array([1, 1] + [0] * 28)  # by distance from the test point
    rows: list[Row] = []
    for neighbours_asked, name, known in ((1, "duplicates", -1.0), (3, "synergy", 1.0)):
        vote = partial(voted, labels, neighbours_asked)
        found = (
            Auto(budget=600)
            .attribute(FunctionGame(tuple(f"example {i}" for i in range(30)), vote), rng)
            .into(Basis.MOBIUS)
        )
        height = found.coefficients.get((0, 1), 0.0)
        rows.append(
            Row.exact(
                f"{EXPERIMENT}: {name}", f"pair {known:+.0f}", height, abs(height - known) < 0.01
            )
        )
    return rows


def voted(labels: ndarray, neighbours_asked: int, masks: ndarray) -> ndarray:
    """Whether most of the nearest kept examples have label 1."""
    nearest = masks & (masks.cumsum(axis=1) <= neighbours_asked)
    return ((nearest @ labels) * 2 > nearest.sum(axis=1)).astype(np.float64)
