"""Are planted pairs of training examples found: two copies, of which one is enough, and two corners
of an XOR?

    python -m benchmarks.attribute.planted_examples [--points 10] [--budget 1000]

The games are those of `examples.planted`: logistic regression on 100 examples, most of them
scikit-learn's breast cancer data.
"""

import argparse
from typing import NamedTuple

import numpy as np

from benchmarks.attribute import examples
from gloss.attribute.bases import PlayerSet
from gloss.attribute.game import Game
from gloss.attribute.methods.auto import Auto
from gloss.attribute.result.indices import Index
from gloss.statistics.intervals import student_interval, wilson_interval


class Pairs(NamedTuple):
    """What was found at one test point."""

    # Banzhaf interaction of the duplicates, in the margin's unit; 0 where their pair is not named
    copies: float
    corners: float  # of the corners of the XOR
    copies_rank: int  # among all pairs by size, from 1
    corners_rank: int
    r2: float


def found(game: Game, budget: int, rng: np.random.Generator) -> Pairs:
    """What `auto` says of the two planted pairs."""
    attribution = Auto(budget=budget).attribute(game, rng)
    index = {
        one: value
        for one, value in attribution.index(Index.BANZHAF_INTERACTION).items()
        if len(one) == 2
    }
    ranked = sorted(index, key=lambda one: -abs(index[one]))

    def rank(one: PlayerSet) -> int:
        return ranked.index(one) + 1 if one in index else len(ranked) + 1

    sizes = (index.get(one, 0.0) for one in (examples.DUPLICATES, examples.CORNERS))
    ranks = (rank(examples.DUPLICATES), rank(examples.CORNERS))
    return Pairs(*sizes, *ranks, attribution.faithfulness.r2.value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10)
    parser.add_argument("--budget", type=int, default=1000)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    every = [found(examples.planted(rng), asked.budget, rng) for _ in range(asked.points)]
    r2 = student_interval(np.array([one.r2 for one in every]))
    print(
        f"held-out R2 {r2.value:.3f} [{r2.low:.3f}, {r2.high:.3f}], {asked.points} test points,"
        f" {asked.budget:,} evaluations each"
    )
    print(
        "| pair | wanted | so at | interaction | rank among pairs: median (worst)"
        " |\n|---|---|---|---|---|"
    )
    for name, wanted, sign in (("copies", "negative", -1), ("corners", "positive", 1)):
        values = np.array([getattr(one, name) for one in every])
        ranks = [getattr(one, f"{name}_rank") for one in every]
        hits = wilson_interval(int((values * sign > 0).sum()), len(values))
        mean = student_interval(values)
        print(
            f"| {name} | {wanted} | {hits.value:.2f} [{hits.low:.2f}, {hits.high:.2f}] |"
            f" {mean.value:+.3f} [{mean.low:+.3f}, {mean.high:+.3f}] | {np.median(ranks):.0f}"
            f" ({max(ranks)}) |"
        )


if __name__ == "__main__":
    main()
