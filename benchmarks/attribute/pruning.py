"""Which heads to keep: those that an attribution names, against LASSO, greedy removal, and the best
of random sets.

    python -m benchmarks.attribute.pruning [--evaluations FOLDER]

Twelve heads of three layers of the embedded subject copy an argument's name (`heads.py`). All 4,096
sets are valued, so the best set of each size is known. Each chosen set is also tried on prompts
that nothing was chosen by.
"""

import argparse
import tempfile
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64
from numpy import ndarray

from benchmarks.attribute import heads
from gloss.attribute.bases import all_masks
from gloss.attribute.game import Evaluations, FunctionGame, Game
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.lasso import Lasso
from gloss.statistics.intervals import student_interval

SIZES = (2, 3, 4, 6, 8)
SEEDS = 5


def sets_of(players: int, size: int) -> Bool[ndarray, "set player"]:
    """All masks that keep so many."""
    rows = list(combinations(range(players), size))
    masks = np.zeros((len(rows), players), np.bool_)
    np.put_along_axis(masks, np.array(rows, dtype=np.int64), True, axis=1)
    return masks


def exhaustive(game: Game, size: int) -> Bool[ndarray, " player"]:
    """The best set that there is."""
    masks = sets_of(len(game.players), size)
    return masks[game.values(masks).argmax()]


def named(
    method: Auto | Lasso, game: Game, size: int, rng: np.random.Generator
) -> Bool[ndarray, " player"]:
    """The set of which the attribution predicts the most.

    The game is asked for nothing but the attribution's masks.
    """
    masks = sets_of(len(game.players), size)
    return masks[method.attribute(game, rng).predict(masks).argmax()]


def greedy(game: Game, size: int) -> Bool[ndarray, " player"]:
    """One head after another is removed, that without which the value is highest."""
    kept = np.ones(len(game.players), np.bool_)
    while kept.sum() > size:
        fewer = kept & ~np.eye(len(kept), dtype=np.bool_)[kept]
        kept = fewer[game.values(fewer).argmax()]
    return kept


def best_of_random(
    game: Game, size: int, count: int, rng: np.random.Generator
) -> Bool[ndarray, " player"]:
    """The best of so many random sets."""
    masks = rng.permuted(np.tile(np.arange(len(game.players)) < size, (count, 1)), axis=1)
    return masks[game.values(masks).argmax()]


Choice = Callable[[Game, int, np.random.Generator], Bool[ndarray, " player"]]
CHOICES: dict[str, Choice] = {
    "exhaustive": lambda game, size, rng: exhaustive(game, size),
    "`auto`": lambda game, size, rng: named(Auto(budget=256, enough=1.0), game, size, rng),
    "`lasso`, order 1": lambda game, size, rng: named(Lasso(256, 1), game, size, rng),
    "`lasso`, order 2": lambda game, size, rng: named(Lasso(256, 2), game, size, rng),
    "greedy": lambda game, size, rng: greedy(game, size),
    "best of 256 random": lambda game, size, rng: best_of_random(game, size, 256, rng),
    "random": lambda game, size, rng: best_of_random(game, size, 1, rng),
}
FIXED = ("exhaustive", "greedy")  # which draw nothing


def rows(game: Evaluations, other: Evaluations) -> list[str]:
    """A line for each way to choose.

    In each cell the value on the prompts chosen by, then on the others.
    """
    whole, nobody = (np.full((1, len(game.players)), kept) for kept in (True, False))
    found = [
        f"all heads {game.values(whole)[0]:.2f}, on other prompts {other.values(whole)[0]:.2f}; no"
        " head "
    ]
    found[0] += f"{game.values(nobody)[0]:.2f}, on other prompts {other.values(nobody)[0]:.2f}"
    found += [
        "| choice | sets valued |"
        f" {' | '.join(f'{size} of {len(game.players)}' for size in SIZES)} |"
    ]
    found += [f"|---|---|{'---|' * len(SIZES)}"]
    for name, choice in CHOICES.items():
        asked, cells = 0, list[str]()
        for size in SIZES:
            chosen: list[Bool[ndarray, " player"]] = []
            for seed in range(1 if name in FIXED else SEEDS):
                counted = Evaluations(FunctionGame(game.players, game.values))
                chosen.append(choice(counted, size, np.random.default_rng(seed)))
                asked = max(asked, counted.paid)
            both = (each.values(np.stack(chosen)) for each in (game, other))
            cells.append("; ".join(map(mean_and_half_width, both)))
        found.append(f"| {name} | {asked:,} | {' | '.join(cells)} |")
    return found


def mean_and_half_width(values: Float64[ndarray, " seed"]) -> str:
    """Mean and half the width of Student's interval over seeds."""
    mean = student_interval(values)
    return (
        f"{values.mean():.2f}"
        if len(values) < 2
        else f"{mean.value:.2f} ± {mean.high - mean.value:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--evaluations",
        type=Path,
        help="a folder in which values are kept; that of real.py will do",
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    subject = heads.embedded()
    with tempfile.TemporaryDirectory() as passing:
        kept = asked.evaluations or Path(passing)
        kept.mkdir(parents=True, exist_ok=True)
        game = heads.game(subject, heads.fixed_prompts(), heads.THREE_LAYERS)
        game = Evaluations(game, kept / f"{len(game.players)} heads")
        other = Evaluations(heads.game(subject, heads.other_prompts(), heads.THREE_LAYERS))
        print(f"deviation over all sets {game.values(all_masks(len(game.players))).std():.2f}")
        print("\n".join(rows(game, other)))
        for size in SIZES:
            print(f"best {size}: " + ", ".join(np.array(game.players)[exhaustive(game, size)]))


if __name__ == "__main__":
    main()
