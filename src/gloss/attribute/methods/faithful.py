"""The sum over all small sets that comes closest to a game: Faith-Banzhaf and Faith-Shapley by
regression (Tsai et al., 2023).
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet
from gloss.attribute.game import Evaluations, Game, ValuedMasks, as_evaluations
from gloss.attribute.result.faithfulness import (
    SetFit,
    empty_and_full_masks,
    empty_and_full_values,
    estimates_of_sets,
    hold_out_masks,
    judge_set_fit,
)
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.solve.sparse_regression import RESAMPLES
from gloss.errors import BadInput, require_at_least, require_one_of

WEIGHTINGS = ("banzhaf", "shapley")


@dataclass(frozen=True)
class Faithful:
    """Least squares on every set of up to `order` players, all coalitions weighing alike
    (`banzhaf`) or by size (`shapley`).
    """

    budget: int = 2000  # masks, an eighth of them held out
    order: int = 2
    weighting: str = "banzhaf"

    def __post_init__(self) -> None:
        require_at_least(1, self, "budget", "order")
        require_one_of(WEIGHTINGS, self, "weighting")

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Möbius coefficients.

        Raises BadInput where the budget has fewer masks than there are sets.
        """
        return regress_on_sets("faithful", as_evaluations(game), self, rng)


def regress_on_sets(
    method: str, game: Evaluations, asked: Faithful, rng: np.random.Generator
) -> Interactions:
    """The regression that `asked` describes, under another method's name where that is a case of
    it.
    """
    n = len(game.players)
    sets = (
        [one for size in range(asked.order + 1) for one in combinations(range(n), size)]
        if n**asked.order < 1e6
        else []
    )
    needed = sum(comb(n, size) for size in range(asked.order + 1))
    held_out = hold_out_masks(game, asked.budget, needed, rng)
    ends = empty_and_full_values(game) if asked.weighting == "shapley" else None
    used = (
        held_out.draw_others(game, rng)
        if ends is None
        else draw_shapley_coalitions(game, held_out.left - 2, rng)
    )
    if len(used.values) < len(sets):
        raise BadInput(
            f"{len(used.values)} values cannot fix {len(sets)} coefficients of order {asked.order};"
            " lower the order"
        )
    weights, draws = solve_least_squares(
        conjunction_columns(sets, used.masks), used.values, ends, rng
    )
    coefficients = dict(zip(sets, weights.tolist(), strict=True))
    fitted = used if ends is None else used.concatenate(empty_and_full_masks(game, ends))
    lows, highs = weights + np.quantile(draws, (0.025, 0.975), axis=1)
    stability = estimates_of_sets(sets, weights, lows, highs)
    fit = SetFit(coefficients, Basis.MOBIUS, fitted, stability)
    return judge_set_fit(method, game.players, fit, held_out.judges, rng)


def draw_shapley_coalitions(game: Evaluations, count: int, rng: np.random.Generator) -> ValuedMasks:
    """Coalitions drawn by Shapley's weights of sizes, each with its complement (Covert & Lee,
    2021).
    """
    n = len(game.players)
    sizes = np.arange(1, n)
    chances = 1 / (sizes * (n - sizes))
    drawn = rng.choice(sizes, (count + 1) // 2, p=chances / chances.sum())
    ranks = rng.random((len(drawn), n)).argsort(axis=1).argsort(axis=1)
    masks = ranks < drawn[:, None]
    both = np.stack([masks, ~masks], axis=1).reshape(-1, n)[:count]
    values = game.values(both)
    had = np.isfinite(values)
    return ValuedMasks(both[had], values[had], int((~had).sum()))


def conjunction_columns(
    sets: list[PlayerSet], masks: Bool[ndarray, "mask player"]
) -> Float64[ndarray, "mask set"]:
    """1 where all of a set are kept."""
    return np.stack([masks[:, list(one)].all(axis=1) for one in sets], axis=1).astype(np.float64)


def solve_least_squares(
    columns: Float64[ndarray, "mask set"],
    values: Float64[ndarray, " mask"],
    ends: tuple[float, float] | None,
    rng: np.random.Generator,
) -> tuple[Float64[ndarray, " set"], Float64[ndarray, "set draw"]]:
    """Weights, and how they move over a bootstrap of masks.

    `ends` are the values of nobody and everybody, held exactly.
    """
    sets = columns.shape[1]
    held = np.zeros((0, sets)) if ends is None else np.stack([np.eye(sets)[0], np.ones(sets)])
    system = np.block([[columns.T @ columns, held.T], [held, np.zeros((len(held), len(held)))]])
    inverse = np.linalg.pinv(system, hermitian=True)[:, : sets + len(held)]
    right = np.concatenate([columns.T @ values, [] if ends is None else ends])
    weights = (inverse @ right)[:sets]
    left = (values - columns @ weights) * np.sqrt(len(values) / max(1, len(values) - sets))
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES).T - 1.0
    return weights, inverse[:sets, :sets] @ ((columns.T * left) @ counts)
