"""Errors of Shapley values, Banzhaf values and interactions of pairs at equal numbers of different
masks, on games all of whose values are known: gloss' methods and shapiq's.

The error is the squared error over the sum of squares of the exact index. Each is the mean over
games of the mean over draws of masks, with its standard error over games. Of gloss' own, how many
of the intervals of 95 % hold the exact index is counted, too.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from benchmarks.attribute.peers import Peers, Refused
from benchmarks.attribute.shapiq_peer import ESTIMATES
from benchmarks.attribute.whole_games import WholeGame
from gloss.attribute.bases import PlayerSet, all_masks
from gloss.attribute.game import Evaluations
from gloss.attribute.methods.banzhaf import Banzhaf
from gloss.attribute.methods.shapley import Shapley
from gloss.attribute.result.indices import Index
from gloss.attribute.solve.index_weights import SetIndex

NAMES = {
    "SV": "Shapley values",
    "BV": "Banzhaf values",
    "SII": "Shapley interactions of pairs",
    "BII": "Banzhaf interactions of pairs",
}
BUDGETS = (128, 512, 2048)


class IndexRow(NamedTuple):
    """One estimate of one index of one game."""

    game: str
    index: str
    method: str
    budget: int
    error: float
    masks: int
    seconds: float
    held: float = np.nan  # share of intervals that hold the exact index


def exact(game: WholeGame) -> dict[str, Float64[ndarray, " set"]]:
    """Each index, as a sum over all masks."""
    n, masks = game.players, all_masks(game.players)
    indices = {
        "SV": SetIndex(n, 1, shapley=True),
        "BV": SetIndex(n, 1, shapley=False),
        "SII": SetIndex(n, 2, shapley=True),
        "BII": SetIndex(n, 2, shapley=False),
    }
    return {name: game.values @ index.of_masks(masks) for name, index in indices.items()}


def relative_error(estimates: Float64[ndarray, " set"], known: Float64[ndarray, " set"]) -> float:
    """Squared error over the sum of squares."""
    return float(((estimates - known) ** 2).sum() / (known**2).sum())


def sets_of(index: str, players: int) -> list[PlayerSet]:
    """Players or pairs."""
    return list(combinations(range(players), 2 if index in ("SII", "BII") else 1))


def own_rows(name: str, game: WholeGame, budget: int, seed: int) -> Iterator[IndexRow]:
    """What gloss' methods estimate."""
    known = exact(game)
    runs = (
        ("SV", "process", Shapley(budget), Index.SHAPLEY),
        ("SII", "process", Shapley(budget, order=2), Index.SHAPLEY_INTERACTION),
        ("BV", "process", Banzhaf(budget), Index.BANZHAF),
        ("BII", "process", Banzhaf(budget, order=2), Index.BANZHAF_INTERACTION),
        ("SV", "regression", Shapley(budget, "regression"), Index.SHAPLEY),
        ("BV", "regression", Banzhaf(budget, "regression"), Index.BANZHAF),
    )
    for index, method, attributor, kind in runs:
        asked = Evaluations(game.as_game())
        begun = time.process_time()
        found = attributor.attribute(asked, np.random.default_rng(seed))
        seconds = time.process_time() - begun
        every, sets = found.index(kind, 2), sets_of(index, game.players)
        estimates = np.array([every.get(one, 0.0) for one in sets])
        intervals = [found.stability[one] for one in sets]
        held = [
            each.low <= truth <= each.high
            for each, truth in zip(intervals, known[index], strict=True)
        ]
        error, share = relative_error(estimates, known[index]), float(np.mean(held))
        yield IndexRow(name, index, f"gloss, {method}", budget, error, asked.paid, seconds, share)


def peer_rows(
    name: str, game: WholeGame, budget: int, seed: int, peers: Peers
) -> Iterator[IndexRow]:
    """What shapiq's estimate; none where one refuses."""
    known = exact(game)
    for index, methods in ESTIMATES.items():
        for method in methods:
            sets = sets_of(index, game.players)
            try:
                answer = peers.estimate(index, method, game.as_game(), (budget, seed), sets)
            except Refused as refused:
                print(f"shapiq {method} refuses {name}: {refused}")
                continue
            error = relative_error(answer.numbers, known[index])
            yield IndexRow(
                name, index, f"shapiq {method}", budget, error, answer.masks, answer.seconds
            )


def index_rows(
    games: dict[str, WholeGame],
    budgets: Sequence[int],
    draws: int,
    seed: int,
    peers: Peers | None,
) -> Iterator[IndexRow]:
    """Of every game with more masks than are asked for."""
    for name, game in games.items():
        for budget in (each for each in budgets if each < len(game.values)):
            for draw in range(seed, seed + draws):
                yield from own_rows(name, game, budget, draw)
                if peers:
                    yield from peer_rows(name, game, budget, draw, peers)


def index_table(rows: list[IndexRow]) -> Iterator[str]:
    """A line for each index and method, a cell for each budget, the least error in bold."""
    budgets = sorted({row.budget for row in rows})
    yield "| index | method | " + " | ".join(f"{budget:,} masks" for budget in budgets) + " |"
    yield "|---|---|" + "---|" * len(budgets)
    for index in dict.fromkeys(row.index for row in rows):
        name, some = NAMES[index], [row for row in rows if row.index == index]
        means = {
            (method, budget): error_cell(
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


def error_cell(rows: list[IndexRow]) -> tuple[float, str]:
    """The mean error over games, and it with its standard error, masks and seconds."""
    games = {row.game for row in rows}
    errors = np.array([np.mean([row.error for row in rows if row.game == game]) for game in games])
    deviation = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.nan
    masks, seconds = (np.mean([row[place] for row in rows]) for place in (5, 6))
    text = f"{errors.mean():.2g} ± {deviation:.1g}; {masks:,.0f}, {seconds:.2g} s"
    return float(errors.mean()), text


def coverage_table(rows: Sequence[IndexRow]) -> Iterator[str]:
    """The share of intervals that hold the exact index: over all players or pairs of all games."""
    budgets = sorted({row.budget for row in rows})
    yield "| intervals of 95 % | " + " | ".join(f"{budget:,} masks" for budget in budgets) + " |"
    yield "|---|" + "---|" * len(budgets)
    own = [row for row in rows if not np.isnan(row.held)]
    for index, method in dict.fromkeys((row.index, row.method) for row in own):
        cells = []
        for budget in budgets:
            shares = [row.held for row in own if row[1:4] == (index, method, budget)]
            cells.append(f"{np.mean(shares):.3f}" if shares else "")
        yield f"| {NAMES[index]}, {method} | {' | '.join(cells)} |"
