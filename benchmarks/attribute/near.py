"""How well methods predict comments among half-kept masks and near the whole, at equal numbers of
values; or how often the intervals of `auto` hold the truth.

    python -m benchmarks.attribute.near [--games 10] [--values 1000] [--seed 0] [--coverage]

Comments of GoEmotions of four lengths, read by a classifier that is trained here. R2 is on fresh
masks. With `--coverage` each comment is asked about twice, once with noise of 0.4 of its values'
standard deviation, and R2 is that of values as they are given.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from numpy import ndarray

from benchmarks.attribute import comments
from benchmarks.quality.data import found
from gloss.attribute.game import FunctionGame, Game
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.methods.proxy_spex import ProxySpex
from gloss.attribute.result.interactions import Interactions
from gloss.statistics.intervals import student_interval

LENGTHS = {"14 to 19": 1, "20 to 28": 1, "35 to 60": 2, "90 to 130": 6}  # words; comments joined
FRESH = 6000
NOISE = 0.4
KEPT = {"half kept": 0.5, "near": 0.9}


class Truth(NamedTuple):
    """Fresh masks of a kind and their values."""

    masks: Bool[ndarray, "mask player"]
    values: Float64[ndarray, " mask"]

    def r2(self, found: Interactions) -> float:
        """Of the attribution's predictions."""
        error = self.values - found.predict(self.masks)
        return 1 - float(np.square(error).mean() / self.values.var())


def texts(games: int, rng: np.random.Generator) -> Iterator[tuple[str, FunctionGame]]:
    """Comments of each length that the classifier never saw, as games."""
    folder = found("goemotions")
    if folder is None:
        raise SystemExit("skipped, for there is no folder goemotions in GLOSS_DATA")
    train, test = (comments.comments(folder, split) for split in ("train", "test"))
    model = comments.trained(train, rng)
    for length, joined in LENGTHS.items():
        least, most = map(int, length.split(" to "))
        pool = [
            [word for words, _ in test[begin : begin + joined] for word in words]
            for begin in range(0, len(test), joined)
        ]
        fitting = [words for words in pool if least <= len(words) <= most]
        for number in rng.permutation(len(fitting))[:games].tolist():
            yield length, comments.game(model, fitting[number])


def compare(asked: argparse.Namespace, rng: np.random.Generator) -> None:
    """Mean R2 of each method, and by how much `auto` is better."""
    out = asked.values // 8
    methods = {
        "auto": Auto(asked.values, enough=1.0),
        "lasso, order 1": Lasso(asked.values, 1),
        "lasso, order 2": Lasso(asked.values, 2),
        "proxy_spex": ProxySpex(budget=asked.values - out, held_out=out),
    }
    rows: dict[tuple[str, str, str], list[float]] = {}
    for number, (length, game) in enumerate(texts(asked.games, rng)):
        truths = fresh_truths(game, rng)
        for name, method in methods.items():
            found = method.attribute(game, np.random.default_rng([asked.seed, number]))
            for kind, truth in truths.items():
                rows.setdefault((length, kind, name), []).append(truth.r2(found))
    print("| words | masks | method | R2 | `auto` minus it |\n|---|---|---|---|---|")
    for (length, kind, name), values in rows.items():
        ahead = student_interval(np.array(rows[length, kind, "auto"]) - values)
        print(
            f"| {length} | {kind} | {name} | {np.mean(values):.3f} | {ahead.value:.3f}"
            f" [{ahead.low:.3f}, {ahead.high:.3f}] |"
        )


def fresh_truths(game: Game, rng: np.random.Generator, count: int = FRESH) -> dict[str, Truth]:
    """Of each kind."""
    masks = {kind: rng.random((count, len(game.players))) < kept for kind, kept in KEPT.items()}
    return {kind: Truth(each, game.values(each)) for kind, each in masks.items()}


def cover(asked: argparse.Namespace, rng: np.random.Generator) -> None:
    """The share of intervals that hold the truth."""
    held: dict[str, list[bool]] = {kind: [] for kind in KEPT}
    for _, clean in texts(asked.games, rng):
        spread = clean.values(rng.random((FRESH, len(clean.players))) < 0.5).std()
        for noise in (0.0, NOISE * spread):
            game = noisy(clean, noise, rng)
            trust = (found := Auto(asked.values).attribute(game, rng)).faithfulness
            truths = fresh_truths(game, rng)
            for kind, claimed in zip(KEPT, (trust.r2, trust.near), strict=True):
                held[kind].append(claimed.low <= truths[kind].r2(found) <= claimed.high)
    for kind, each in held.items():
        print(f"{kind}: the interval of R2 holds the truth in {np.mean(each):.3f} of {len(each)}")


def noisy(game: FunctionGame, deviation: float, rng: np.random.Generator) -> FunctionGame:
    """The game with noise on every value."""
    return FunctionGame(
        game.players, lambda masks: game.values(masks) + deviation * rng.normal(size=len(masks))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=10, help="comments of each length")
    parser.add_argument("--values", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coverage", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(asked.seed)
    print(f"seed {asked.seed}")
    (cover if asked.coverage else compare)(asked, rng)


if __name__ == "__main__":
    main()
