"""Errors of Shapley values, Banzhaf values and Shapley interactions of pairs at equal numbers of
different masks, on games all of whose values are known: gloss' methods and shapiq's.

    python -m benchmarks.attribute.indices [--seed N] [--draws 2] [--budgets 128 512 2048]
        [--peers PYTHON] [--kept FOLDER]

The error is the squared error over the sum of squares of the exact index. Each is the mean over
games of the mean over draws of masks, with its standard error over games. PYTHON is that of an
environment with shapiq 1.8; without one the peers are left out. Values of games that are slow to
ask are kept in FOLDER. Without --seed comments, examples and masks are new ones in each run.
"""

import argparse
import json
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from benchmarks.attribute.whole_games import WholeGame, whole_games
from gloss.attribute.bases import PlayerSet, all_masks
from gloss.attribute.game import Evaluations
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.result.indices import Index
from gloss.attribute.solve.index_weights import SetIndex

NAMES = {"SV": "Shapley values", "BV": "Banzhaf values", "SII": "Shapley interactions of pairs"}
PEERS = Path(__file__).with_name("indices_peers.py")


class Row(NamedTuple):
    """One estimate of one index of one game."""

    game: str
    index: str
    method: str
    budget: int
    error: float
    masks: int
    seconds: float


def exact(game: WholeGame) -> dict[str, Float64[ndarray, " set"]]:
    """Each index, as a sum over all masks."""
    n, masks = game.players, all_masks(game.players)
    indices = {
        "SV": SetIndex(n, 1, shapley=True),
        "BV": SetIndex(n, 1, shapley=False),
        "SII": SetIndex(n, 2, shapley=True),
    }
    return {name: game.values @ index.of_masks(masks) for name, index in indices.items()}


def relative_error(estimates: Float64[ndarray, " set"], known: Float64[ndarray, " set"]) -> float:
    """Squared error over the sum of squares."""
    return float(((estimates - known) ** 2).sum() / (known**2).sum())


def sets_of(index: str, players: int) -> list[PlayerSet]:
    """Players or pairs."""
    return list(combinations(range(players), 2 if index == "SII" else 1))


def own_rows(name: str, game: WholeGame, budget: int, seed: int) -> Iterator[Row]:
    """What gloss' methods estimate; values of players and pairs of one process are one run."""
    known = exact(game)
    runs = {
        "process": (
            Shapley(budget, order=2),
            {"SV": Index.SHAPLEY, "SII": Index.SHAPLEY_INTERACTION},
        ),
        "process ": (Banzhaf(budget), {"BV": Index.BANZHAF}),
        "regression": (Shapley(budget, "regression"), {"SV": Index.SHAPLEY}),
        "regression ": (Banzhaf(budget, "regression"), {"BV": Index.BANZHAF}),
    }
    for method, (attributor, indices) in runs.items():
        asked = Evaluations(game.as_game())
        begun = time.process_time()
        found = attributor.attribute(asked, np.random.default_rng(seed))
        seconds = time.process_time() - begun
        for index, kind in indices.items():
            every = found.index(kind, 2)
            estimates = np.array([every.get(one, 0.0) for one in sets_of(index, game.players)])
            error = relative_error(estimates, known[index])
            yield Row(name, index, f"gloss, {method.strip()}", budget, error, asked.paid, seconds)


def peer_rows(answers: Path, games: dict[str, WholeGame]) -> Iterator[Row]:
    """What shapiq's estimated, in a process of their own."""
    known = {name: exact(game) for name, game in games.items()}
    for line in answers.read_text().splitlines():
        row = json.loads(line)
        error = relative_error(np.array(row["estimates"]), known[row["game"]][row["index"]])
        method, masks, seconds = f"shapiq {row['method']}", row["masks"], row["seconds"]
        yield Row(row["game"], row["index"], method, row["budget"], error, masks, seconds)


def table(rows: list[Row]) -> Iterator[str]:
    """A line for each index and method, a cell for each budget, the least error in bold."""
    budgets = sorted({row.budget for row in rows})
    yield "| index | method | " + " | ".join(f"{budget:,} masks" for budget in budgets) + " |"
    yield "|---|---|" + "---|" * len(budgets)
    for index in dict.fromkeys(row.index for row in rows):
        name, some = NAMES[index], [row for row in rows if row.index == index]
        means = {
            (method, budget): cell(
                [row for row in some if (row.method, row.budget) == (method, budget)]
            )
            for method in dict.fromkeys(row.method for row in some)
            for budget in budgets
        }
        least = {
            budget: min(mean for (_, at), (mean, _) in means.items() if at == budget)
            for budget in budgets
        }
        for method in dict.fromkeys(row.method for row in some):
            cells = [
                f"**{text}**" if mean == least[budget] else text
                for budget in budgets
                for mean, text in [means[method, budget]]
            ]
            yield f"| {name} | {method} | {' | '.join(cells)} |"


def cell(rows: list[Row]) -> tuple[float, str]:
    """The mean error over games, and it with its standard error, masks and seconds."""
    games = {row.game for row in rows}
    errors = np.array([np.mean([row.error for row in rows if row.game == game]) for game in games])
    deviation = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.nan
    masks, seconds = (np.mean([row[place] for row in rows]) for place in (5, 6))
    text = f"{errors.mean():.2g} ± {deviation:.1g}; {masks:,.0f}, {seconds:.2g} s"
    return float(errors.mean()), text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--budgets", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--peers", type=Path, help="python of an environment with shapiq 1.8")
    parser.add_argument("--kept", type=Path, help="a folder in which values of games are kept")
    asked = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as passing:
        kept, folder = asked.kept or Path(passing) / "kept", Path(passing) / "games"
        kept.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        games = {f"{game.kind}, {game.name}": game for game in whole_games(asked.seed, kept)}
        for name, game in games.items():
            np.save(folder / f"{name}.npy", game.values)
        answers = folder / "answers.jsonl"
        arguments = [str(folder), str(asked.draws), *map(str, asked.budgets)]
        with answers.open("w") as file, ExitStack() as running:
            if asked.peers:
                command = [str(asked.peers), str(PEERS), *arguments]
                peers = running.enter_context(subprocess.Popen(command, stdout=file))
            for name, game in games.items():
                for budget in asked.budgets:
                    for draw in range(asked.draws if budget < len(game.values) else 0):
                        rows.extend(own_rows(name, game, budget, asked.seed + draw))
            if asked.peers and peers.wait():
                raise SystemExit(f"{asked.peers} failed; does it have shapiq 1.8 and xgboost?")
        rows.extend(peer_rows(answers, games))
    print(f"seed {asked.seed}, {len(games)} games of 10 to 14 players: {'; '.join(games)}")
    print("mean error ± standard error over games; masks, CPU seconds")
    for line in table(rows):
        print(line)


if __name__ == "__main__":
    main()
