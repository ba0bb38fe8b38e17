"""How well each method predicts games of real models, at equal numbers of evaluations.

    python -m benchmarks.attribute.real [--only words heads examples] [--small] [--evaluations
    FOLDER]

R2 is over all masks of games of up to 12 players, over 2,000 that no method asked for otherwise.
`auto` may not stop early here. Values are kept in FOLDER, so that a later run asks the models
nothing again.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.attribute import comments, examples, heads
from benchmarks.quality.data import found
from gloss.attribute.bases import all_masks
from gloss.attribute.game import Evaluations, FunctionGame, Game
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.faithful import Faithful
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.methods.proxy_spex import ProxySpex
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.methods.spex import Spex
from gloss.attribute.result.interactions import Interactions
from gloss.errors import GlossError
from gloss.statistics.intervals import student_interval

MOST_EXHAUSTED = 12
FRESH = 2000
SIZES = {
    "10 to 12 words": (10, 12),
    "20 to 26 words": (20, 26),
    "40 to 56 words (two comments)": (40, 56),
}


class Case(NamedTuple):
    """A game of a kind, the masks that methods may use, and the seed from which they are drawn."""

    kind: str
    game: Game
    budget: int
    seed: int


class Attributor(NamedTuple):
    """Anything that attributes."""

    attribute: Callable[[Game, np.random.Generator], Interactions]


def methods(budget: int) -> dict[str, Attributor]:
    """Every method with so many evaluations, what it holds out included."""
    out = budget // 8
    each = {
        "auto": Auto(budget=budget, enough=1.0),
        "lasso, order 1": Lasso(budget, 1),
        "lasso, order 2": Lasso(budget, 2),
        "spex": Spex(budget=budget - out, held_out=out),
        "proxy_spex": ProxySpex(budget=budget - out, held_out=out),
        "shapley": Shapley(budget),
        "banzhaf": Banzhaf(budget),
        "faithful": Faithful(budget),
    }
    return {name: Attributor(method.attribute) for name, method in each.items()}


def words(rng: np.random.Generator, small: bool, kept: Path) -> Iterator[Case]:
    """Comments that the classifier never saw."""
    folder = found("goemotions")
    if folder is None:
        print("words: skipped, for there is no folder goemotions in GLOSS_DATA")
        return
    train, test = (comments.comments(folder, split) for split in ("train", "test"))
    model = comments.trained(train[:4000] if small else train, rng)
    print(
        f"classifier: {np.mean(comments.right(model, test)):.3f} of {len(test):,} held-out comments"
        " right"
    )
    for kind, (least, most) in SIZES.items():
        pool = [one for one, _ in test if most > 30 or least <= len(one) <= most]
        texts = pool if most <= 30 else [one + other for one, other in pairwise(pool)]
        fitting = [text for text in texts if least <= len(text) <= most]
        for number in rng.permutation(len(fitting))[: 1 if small else 8].tolist():
            yield Case(
                kind,
                comments.game(model, fitting[number]),
                512 if most <= MOST_EXHAUSTED else 1000,
                number,
            )


def of_heads(rng: np.random.Generator, small: bool, kept: Path) -> Iterator[Case]:
    """The embedded subject's, on a fixed set of prompts.

    Every seed draws other masks of the same game.
    """
    subject, pairs = heads.embedded(), heads.fixed_prompts()
    for layers, seeds in ((heads.THREE_LAYERS, 5), ((), 2)):
        game = heads.game(subject, pairs, layers[:1] if small else layers)
        game = Evaluations(game, kept / f"{len(game.players)} heads")
        for seed in range(1 if small else seeds):
            yield Case(
                f"{len(game.players)} heads", game, 64 if len(game.players) < 10 else 512, seed
            )


def of_examples(rng: np.random.Generator, small: bool, kept: Path) -> Iterator[Case]:
    """Test points of two linear models, each of which has its own 100 examples."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        print("examples: skipped, for scikit-learn is not installed")
        return
    for kind, game in (
        ("ridge, 100 examples", examples.ridge),
        ("logistic, 100 examples", examples.logistic),
    ):
        for number in range(1 if small else 6):
            yield Case(kind, game(rng), 1000, number)


GAMES = {"words": words, "heads": of_heads, "examples": of_examples}


def measured(case: Case) -> dict[str, float]:
    """R2 of each method; missing where it refuses."""
    n = len(case.game.players)
    fresh = np.random.default_rng(10_000).random((FRESH, n)) < 0.5
    truth = all_masks(n) if n <= MOST_EXHAUSTED else fresh
    values = case.game.values(truth)
    found: dict[str, float] = {}
    for name, method in methods(case.budget).items():
        # so that every method pays for its own masks
        unremembered = FunctionGame(case.game.players, case.game.values)
        try:
            attributed = method.attribute(unremembered, np.random.default_rng(case.seed))
            predicted = attributed.predict(truth)
            found[name] = 1 - float(((values - predicted) ** 2).mean() / values.var())
        except GlossError:
            found[name] = float("nan")
    return found


def table(cases: Iterator[Case]) -> Iterator[str]:
    """For each kind of game a line for each method: mean R2 with Student's interval, and by how
    much `auto` is better.
    """
    rows: dict[str, list[dict[str, float]]] = {}
    budgets: dict[str, int] = {}
    for case in cases:
        rows.setdefault(case.kind, []).append(measured(case))
        budgets[case.kind] = case.budget
    yield "| game, masks, runs | method | R2 | `auto` minus it |\n|---|---|---|---|"
    for kind, runs in rows.items():
        for name in runs[0]:
            values = np.array([run[name] for run in runs])
            cell = f"| {kind}, {budgets[kind]:,}, {len(runs)} | `{name}` |"
            yield (
                f"{cell} {mean_and_interval(values)} |"
                f" {mean_and_interval(np.array([run['auto'] for run in runs]) - values)} |"
            )


def mean_and_interval(values: np.ndarray) -> str:
    """Mean and interval."""
    if np.isnan(values).any():
        return "refused"
    mean = student_interval(values)
    return (
        f"{values.mean():.3f}"
        if len(values) < 2
        else f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(GAMES), choices=GAMES)
    parser.add_argument("--small", action="store_true", help="one game of each kind, in seconds")
    parser.add_argument(
        "--evaluations", type=Path, help="a folder in which values of heads are kept"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as passing:
        kept = asked.evaluations or Path(passing)
        kept.mkdir(parents=True, exist_ok=True)
        for name in asked.only:
            for line in table(GAMES[name](np.random.default_rng(0), asked.small, kept)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
