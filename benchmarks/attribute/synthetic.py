"""How many masks, and how much processor time, functions of known interactions take to be found.

    python benchmarks/attribute/synthetic.py [--kinds flat hier and] [--players 20 64] [--sets 50]
    [--times 1] [--seeds 5]

`flat` is made of random parities, `hier` of random sets with all their subsets, `and` of
conjunctions; `and_even` weighs each conjunction so that it adds as much variance as any other,
however large. R2 is measured on 10,000 masks that no method saw. Processor time is without the
function's own.
"""

import argparse
import time
from itertools import combinations

import numpy as np
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, convert_basis, evaluate_coefficients
from gloss.attribute.game import FunctionGame, Game
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.methods.proxy_spex import ProxySpex
from gloss.attribute.methods.spex import Spex
from gloss.errors import GlossError

LARGEST = 5
MASKS = {20: 672, 64: 864, 128: 984, 256: 1104, 512: 1224, 1000: 1344}
HELD_OUT = 10_000
METHODS = {
    "auto": lambda budget: Auto(budget=budget),
    "lasso": lambda budget: Lasso(budget=budget),
    "spex": lambda budget: Spex(budget=budget),
    "proxy_spex": lambda budget: ProxySpex(budget=budget),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["flat", "hier", "and"], choices=KINDS)
    parser.add_argument("--players", nargs="+", type=int, default=list(MASKS))
    parser.add_argument("--sets", nargs="+", type=int, default=[10, 50, 100])
    parser.add_argument(
        "--times",
        nargs="+",
        type=float,
        default=[1.0],
        help="of the least number of masks: 672 to 1,344",
    )
    parser.add_argument("--methods", nargs="+", default=["auto", "lasso"], choices=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    print(
        "| kind, n, s, masks | method | R2: median (least) | claimed | masks used | processor s"
        " |\n|---|---|---|---|---|---|"
    )
    for kind in asked.kinds:
        for players in asked.players:
            for sets in asked.sets:
                for times in asked.times:
                    for method in asked.methods:
                        print(
                            row(
                                kind,
                                players,
                                sets,
                                round(MASKS[players] * times),
                                method,
                                asked.seeds,
                            ),
                            flush=True,
                        )


def row(kind: str, players: int, sets: int, masks: int, method: str, seeds: int) -> str:
    """One line of the table."""
    cell = f"| {kind}, {players}, {sets}, {masks:,} | {method} |"
    try:
        found = np.array(
            [measured(kind, players, sets, masks, method, seed) for seed in range(seeds)]
        )
    except GlossError as refused:
        return f"{cell} {refused} | | | |"
    truth, claimed, used, seconds = np.median(found, axis=0)
    return (
        f"{cell} {truth:.3f} ({found[:, 0].min():.3f}) | {claimed:.3f} | {used:.0f} |"
        f" {seconds:.2f} |"
    )


def measured(
    kind: str, players: int, sets: int, masks: int, method: str, seed: int
) -> tuple[float, float, int, float]:
    """R2 on fresh masks, R2 as claimed, masks used, processor seconds."""
    rng = np.random.default_rng(seed)
    game, spent = timed(KINDS[kind](rng, players, sets), players)
    fresh = rng.random((HELD_OUT, players)) < 0.5
    values = game.values(fresh)
    spent.clear()
    begun = time.process_time()
    found = METHODS[method](masks).attribute(game, rng)
    seconds = time.process_time() - begun - sum(spent)
    truth = 1 - float(((values - found.predict(fresh)) ** 2).mean() / values.var())
    return truth, found.faithfulness.r2.value, found.evaluations, seconds


def timed(coefficients: dict[PlayerSet, float], players: int) -> tuple[Game, list[float]]:
    """A game, and the processor seconds of each time it is asked."""
    spent: list[float] = []

    def value(masks: ndarray) -> ndarray:
        begun = time.process_time()
        values = evaluate_coefficients(coefficients, Basis.FOURIER, masks)
        spent.append(time.process_time() - begun)
        return values

    return FunctionGame(tuple(f"p{player}" for player in range(players)), value), spent


def flat(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """`sets` different parities of 1 to 5 players, weights uniform in [-1, 1].

    In the Fourier basis, as the others.
    """
    found: set[PlayerSet] = set()
    while len(found) < sets:
        found.add(drawn(rng, players, 1))
    return weighed(found, rng)


def hier(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """Random sets of 1 to 5 players with all their subsets, until there are `sets` parities,
    weights uniform in [-1, 1].
    """
    found: set[PlayerSet] = set()
    while len(found) < sets:
        whole = drawn(rng, players, 1)
        parts = [
            part
            for size in range(1, len(whole) + 1)
            for part in combinations(whole, size)
            if part not in found
        ]
        found.update(parts[: sets - len(found)])
    return weighed(found, rng)


def conjunctions(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """`sets` different conjunctions of 2 to 5 players that are kept, weights uniform in [-1, 1]."""
    found: set[PlayerSet] = set()
    while len(found) < sets:
        found.add(drawn(rng, players, 2))
    return convert_basis(weighed(found, rng), Basis.MOBIUS, Basis.FOURIER)


def even_conjunctions(rng: np.random.Generator, players: int, sets: int) -> dict[PlayerSet, float]:
    """The same with weights divided by each conjunction's own deviation over masks."""
    found: set[PlayerSet] = set()
    while len(found) < sets:
        found.add(drawn(rng, players, 2))
    weights = {
        one: weight / np.sqrt(0.5 ** len(one) - 0.25 ** len(one))
        for one, weight in weighed(found, rng).items()
    }
    return convert_basis(weights, Basis.MOBIUS, Basis.FOURIER)


def drawn(rng: np.random.Generator, players: int, least: int) -> PlayerSet:
    """A random set of `least` to 5 players, every size as likely."""
    size = int(rng.integers(least, LARGEST + 1))
    return tuple(sorted(rng.choice(players, size, replace=False).tolist()))


def weighed(sets: set[PlayerSet], rng: np.random.Generator) -> dict[PlayerSet, float]:
    """A weight for each set."""
    return {one: float(rng.uniform(-1, 1)) for one in sorted(sets)}


KINDS = {"flat": flat, "hier": hier, "and": conjunctions, "and_even": even_conjunctions}

if __name__ == "__main__":
    main()
