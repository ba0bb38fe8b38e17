"""How often the intervals of `auto` hold the truth.

    python -m benchmarks.attribute.coverage [--games 10] [--values 512] [--seed 0]

Comments of four lengths, read by a classifier that is trained here. Each is asked about twice, once
with noise of 0.4 of its values' standard deviation. R2 is on fresh masks, of values as they are
given.
"""

import argparse

import numpy as np
import torch

from benchmarks.attribute.predictions import KEPT, KINDS_OF_MASKS, Case, Truth
from benchmarks.attribute.real_games import of_comments
from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.auto import Auto

FRESH = 6000
NOISE = 0.4


def noisy(game: FunctionGame, deviation: float, rng: np.random.Generator) -> FunctionGame:
    """The game with noise on every value."""
    return FunctionGame(
        game.players, lambda masks: game.values(masks) + deviation * rng.normal(size=len(masks))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=10, help="comments of each length")
    parser.add_argument("--values", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(asked.seed)
    held: dict[str, list[bool]] = {kind: [] for kind in KEPT}
    for length, number, clean in of_comments(rng, asked.games):
        spread = clean.values(rng.random((FRESH, len(clean.players))) < 0.5).std()
        for noise in (0.0, NOISE * spread):
            game = noisy(clean, noise, rng)
            trust = (found := Auto(asked.values).attribute(game, rng)).faithfulness
            truth = Truth.of(Case(length, str(number), game, asked.values, FRESH), asked.seed)
            reached = truth.r2(found.predict(truth.masks))
            for kind, claimed, r2 in zip(KEPT, (trust.r2, trust.near), reached, strict=True):
                held[kind].append(claimed.low <= r2 <= claimed.high)
    for kind, each in held.items():
        share = np.mean(each)
        print(f"{KINDS_OF_MASKS[kind]}: R2 in its interval in {share:.3f} of {len(each)}")


if __name__ == "__main__":
    main()
