"""What each constant of `auto` is good for: R2 and processor time with it doubled, halved or off.

    python -m benchmarks.attribute.ablations [--games 2] [--values 512] [--seed 0] [--only NAME ...]
        [--kept FOLDER]

Games are comments of three lengths, heads of the embedded subject, and functions of 50 known sets.
Each row is the mean over games of R2 on fresh masks less that of `auto` as it is,
with its standard error, and the ratio of processor times. Same masks, same seed, in all rows.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.attribute import heads
from benchmarks.attribute.predictions import Case, Truth
from benchmarks.attribute.real_games import of_comments
from benchmarks.attribute.synthetic import KINDS, SETS, function_game
from gloss.attribute import mask_budget
from gloss.attribute.game import Evaluations, Game
from gloss.attribute.methods import auto
from gloss.attribute.solve import cross_fit, lasso_path, mask_process, sparse_regression
from gloss.attribute.solve.boosted_trees import BoostingSettings

LONGEST = 60  # words of a comment
FUNCTIONS = (("hier", 20), ("and", 64))
FRESH = 2000


class Change(NamedTuple):
    """A constant and what it is changed to."""

    module: Any
    name: str
    value: Any

    @property
    def label(self) -> str:
        """What a row is called."""
        return f"{self.name} {getattr(self.module, self.name):g} → {self.value:g}"

    def made(self) -> AbstractContextManager[object]:
        """While it holds."""
        return patch.object(self.module, self.name, self.value)


CONSTANTS = (
    (mask_budget, "NEAR_SHARE", 4, 16),
    (mask_budget, "BOTH_SHARE", 4, 8),
    (mask_budget, "FEWEST_NEAR", 8, 64),
    (mask_budget, "WITHOUT_SHARE", 4, 1000),
    (mask_budget, "SINGLE_SHARE", 8, 32),
    (mask_budget, "STRONGEST_SHARE", 32, 128),
    (mask_budget, "LARGER_SHARE", 32, 128),
    (mask_budget, "LARGER_MEASURED", 4, 16),
    (mask_budget, "TRIED_AGAIN", 2, 16),
    (mask_budget, "MOST_AGAIN", 16, 64),
    (auto, "FIRST_MASKS", 128, 512),
    (auto, "EARLY_OPERATIONS", 1e8, 3e9),
    (auto, "CLEARLY", 0.0, 4.0),
    (auto, "FEWEST_TO_TELL", 16, 1000),
    (auto, "CODED_BELOW_R2", 0.0, 0.95),
    (auto, "SOLVED_R2", 0.98, 1.0),
    (auto, "NOTHING_LEFT", 1e-8, 1e-4),
    (auto, "FEWEST_PER_TERM", 2, 8),
    (auto, "PARTS", 3, 10),
    (cross_fit, "LEAST_SHARE", 0.0, 0.05),
    (cross_fit, "VALIDATED_EVERY", 4, 14),
    (cross_fit, "LASSO_ORDER", 1),
    (sparse_regression, "BEAM", 64, 256),
    (sparse_regression, "POOL", 256, 1024),
    (sparse_regression, "EXTRA_PRICE", 0.0, 2.0),
    (sparse_regression, "LEAST_GAIN", 3.0, 12.0),
    (lasso_path, "PROXIMAL_STEPS", 20, 80),
    (mask_process, "MOST_LEARNT", 128, 512),
    (mask_process, "STEPS", 15, 60),
)
NO_PROCESS = "trees and parities instead of the process"
TREES = {
    "depth": (2, 8),
    "rate": (0.05, 0.2),
    "smallest_leaf": (2, 10),
    "rows": (0.25, 1.0),
    "most_trees": (250, 1000),
}


@contextmanager
def grown_by(trees: BoostingSettings) -> Iterator[None]:
    """Trees with these settings, instead of the process."""
    with patch.object(cross_fit, "MOST_MASKS", 0), patch.object(cross_fit, "TREES", trees):
        yield


def changes() -> Iterator[tuple[str, AbstractContextManager[object]]]:
    """Every change, by its name."""
    yield "as it is", ExitStack()
    for module, name, *values in CONSTANTS:
        for value in values:
            change = Change(module, name, value)
            yield change.label, change.made()
    yield NO_PROCESS, patch.object(cross_fit, "MOST_MASKS", 0)
    for name, values in TREES.items():
        for value in values:
            trees = replace(cross_fit.TREES, **{name: value})
            before = getattr(cross_fit.TREES, name)
            yield f"trees, {name} {before:g} → {value:g}", grown_by(trees)
    for name in ("conjunctions", "lasso"):
        others = {other: decoder for other, decoder in cross_fit.DECODERS.items() if other != name}
        yield f"without {name}", patch.object(cross_fit, "DECODERS", others)
    for number, start in enumerate(mask_process.STARTS):
        one = patch.object(mask_process, "STARTS", (start,))
        yield f"the process from start {number + 1} alone", one
    yield "trees and parities beside the process", patch.object(cross_fit, "INSTEAD", ())
    unsolved = patch.object(auto.DecoderSearch, "solve", lambda *_: None)
    yield "without the search for an exact account", unsolved


def games(each: int, kept: Path | None, rng: np.random.Generator) -> Iterator[tuple[str, Game]]:
    """The same for each seed."""
    for length, _, game in of_comments(rng, each):
        if len(game.players) <= LONGEST:
            yield f"comment of {length} words", game
    subject = heads.embedded()
    some = heads.game(subject, heads.fixed_prompts(), heads.THREE_LAYERS)
    yield "heads", Evaluations(some, kept / "heads_embedded" if kept else None)
    for kind, players in FUNCTIONS:
        yield f"{kind}, {players}", function_game(KINDS[kind](rng, players, SETS), players)


def measured(game: Game, truth: Truth, values: int, seed: int) -> list[float]:
    """R2 of each kind of masks, and processor seconds."""
    asked = game.from_the_start() if isinstance(game, Evaluations) else game
    begun = time.process_time()
    found = auto.Auto(values).attribute(asked, np.random.default_rng(seed))
    seconds = time.process_time() - begun
    return [*truth.r2(found.predict(truth.masks)), seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", type=int, default=2, help="comments of each length")
    parser.add_argument("--values", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of changes")
    parser.add_argument("--kept", type=Path, help="a folder in which values are kept")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(asked.seed)
    chosen = list(games(asked.games, asked.kept, rng))
    cases = [Case(name, name, game, asked.values, FRESH) for name, game in chosen]
    truths = [Truth.of(case, asked.seed) for case in cases]
    print(f"seed {asked.seed}; {', '.join(name for name, _ in chosen)}")
    print("| change | half kept | near the whole | processor time |\n|---|---|---|---|")
    usual = np.empty((0, 3))
    for name, made in changes():
        if len(usual) and asked.only and not any(part in name for part in asked.only):
            continue
        with made:
            rows = np.array(
                [
                    measured(game, truth, asked.values, asked.seed)
                    for (_, game), truth in zip(chosen, truths, strict=True)
                ]
            )
        usual = usual if len(usual) else rows
        print(row(name, rows, usual), flush=True)


def row(name: str, found: np.ndarray, usual: np.ndarray) -> str:
    """A line of the table; of `auto` as it is the R2s themselves."""
    if found is usual:
        means = [f"{mean:.3f}" for mean in found[:, :2].mean(axis=0)]
        return f"| {name} | {means[0]} | {means[1]} | {found[:, 2].mean():.1f} s |"
    ahead = found[:, :2] - usual[:, :2]
    errors = ahead.std(axis=0, ddof=1) / np.sqrt(len(ahead))
    cells = [
        f"{mean:+.3f} ± {error:.3f}" for mean, error in zip(ahead.mean(axis=0), errors, strict=True)
    ]
    return f"| {name} | {cells[0]} | {cells[1]} | × {found[:, 2].sum() / usual[:, 2].sum():.2f} |"


if __name__ == "__main__":
    main()
