"""What shapiq's SPEX and ProxySPEX predict of the same functions; needs shapiq 1.8,
sparse-transform, galois and lightgbm, which want Python 3.12, and gloss on the path (`make
bench-attribute` makes such an environment).

    PYTHONPATH=src .bench/bin/python benchmarks/attribute/peer.py KIND PLAYERS SETS MASKS SEEDS

The Fourier coefficients are taken before they are turned into an index, which is not counted in the
processor time.
"""

import sys
import time
import warnings

import numpy as np
import shapiq.approximator.sparse.base as peer
from shapiq.approximator import SPEX, ProxySPEX
from synthetic import HELD_OUT, KINDS, timed

from gloss.attribute.bases import Basis, evaluate_coefficients


class Read(Exception):
    """Carries what was found out of the peer, before it is converted."""


def stop(found: dict) -> None:
    raise Read(found)


def main() -> None:
    kind, players, sets, masks, seeds = sys.argv[1], *map(int, sys.argv[2:])
    warnings.simplefilter("ignore")
    peer.fourier_to_moebius = stop
    ProxySPEX.fourier_to_moebius = lambda _, found: stop(found)
    for method in (SPEX, ProxySPEX):
        cell = measured(method, kind, players, sets, masks, seeds)
        print(
            f"| {kind}, {players}, {sets}, {masks:,} | shapiq {method.__name__} | {cell} |",
            flush=True,
        )


def measured(method: type, kind: str, players: int, sets: int, masks: int, seeds: int) -> str:
    """The median R2, the least of them, and the median of processor seconds without the function's
    own.
    """
    rows: list[tuple[float, float]] = []
    for seed in (0, *range(seeds)):  # what the first run compiles does not count
        rng = np.random.default_rng(seed)
        game, spent = timed(KINDS[kind](rng, players, sets), players)
        fresh = rng.random((HELD_OUT, players)) < 0.5
        values = game.values(fresh)
        spent.clear()
        begun = time.process_time()
        try:
            method(n=players, random_state=seed).approximate(masks, game.values)
        except Read as read:
            found = read.args[0]
        seconds = time.process_time() - begun - sum(spent)
        # Theirs is -1 to the number of players kept, ours to the number removed.
        ours = {
            tuple(map(int, one)): float(value) * (-1) ** len(one) for one, value in found.items()
        }
        rows.append(
            (
                1
                - float(
                    ((values - evaluate_coefficients(ours, Basis.FOURIER, fresh)) ** 2).mean()
                    / values.var()
                ),
                seconds,
            )
        )
    r2, seconds = np.median(rows[1:], axis=0)
    return f"{r2:.3f} ({min(row[0] for row in rows[1:]):.3f}) | {seconds:.2f}"


if __name__ == "__main__":
    main()
