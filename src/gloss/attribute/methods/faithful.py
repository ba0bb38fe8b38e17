"""The sum over all small sets that comes closest to a game: Faith-Banzhaf and Faith-Shapley by
regression (Tsai et al., 2023).
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet
from gloss.attribute.game import Evaluations, Game, ValuedMasks, as_evaluations
from gloss.attribute.methods.paired_values import draw_size_pairs, draw_uniform_pairs, left_out_r2
from gloss.attribute.result.faithfulness import (
    SetFit,
    empty_and_full_masks,
    empty_and_full_values,
    estimates_of_sets,
    judge_set_fit,
)
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.solve.sparse_regression import RESAMPLES
from gloss.errors import BadInput, require_at_least, require_one_of

WEIGHTINGS = ("banzhaf", "shapley")


@dataclass(frozen=True)
class Faithful:
    """Least squares on every set of up to `order` players, all coalitions weighing alike
    (`banzhaf`) or by size (`shapley`), from different masks with their complements.
    """

    budget: int = 2000  # masks
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
    it. Each mask is judged by a fit to all the others, in closed form.
    """
    n = len(game.players)
    needed = sum(comb(n, size) for size in range(asked.order + 1))
    if (budget := min(asked.budget, game.available)) < min(needed + 2, game.available):
        raise BadInput(
            f"{budget} masks cannot fix {needed} coefficients of order {asked.order}: {needed + 2}"
            " are needed; give a larger budget or lower the order"
        )
    sets = [one for size in range(asked.order + 1) for one in combinations(range(n), size)]
    ends = empty_and_full_values(game) if asked.weighting == "shapley" else None
    used, weights = weighted_masks(game, budget, ends, rng)
    if len(used.values) < len(sets):
        raise BadInput(
            f"{len(used.values)} values cannot fix {len(sets)} coefficients of order {asked.order};"
            " lower the order"
        )
    columns = conjunction_columns(sets, used.masks)
    fitted = solve_least_squares(columns, used.values, weights, ends, rng)
    coefficients = dict(zip(sets, fitted.weights.tolist(), strict=True))
    everything = used if ends is None else used.concatenate(empty_and_full_masks(game, ends))
    lows, highs = fitted.weights + np.quantile(fitted.draws, (0.025, 0.975), axis=1)
    stability = estimates_of_sets(sets, fitted.weights, lows, highs)
    if len(everything.values) == game.available == 2**n:
        fit = SetFit(coefficients, Basis.MOBIUS, everything, stability)
        return judge_set_fit(method, game.players, fit, everything, rng)
    trust = left_out_r2(used, used.values - fitted.left_out, rng)
    return Interactions(
        players=game.players,
        coefficients=coefficients,
        basis=Basis.MOBIUS,
        method=method,
        faithfulness=Faithfulness(trust, len(used.values)),
        evaluations=len(everything.values),
        failed=used.failed,
        stability=stability,
    )


def weighted_masks(
    game: Evaluations, budget: int, ends: tuple[float, float] | None, rng: np.random.Generator
) -> tuple[ValuedMasks, Float64[ndarray, " mask"]]:
    """Different masks and what each weighs: all alike, or, with the ends known, those of all sizes
    by Shapley's weights.
    """
    n = len(game.players)
    if ends is None:
        used = draw_uniform_pairs(game, budget, rng)
        return used, np.ones(len(used.values))
    used = draw_size_pairs(game, budget - 2, rng)
    sizes = used.masks.sum(axis=1)
    weights = 1 / (sizes * (n - sizes) * np.bincount(sizes, minlength=n)[sizes])
    return used, weights / weights.mean()


def conjunction_columns(
    sets: list[PlayerSet], masks: Bool[ndarray, "mask player"]
) -> Float64[ndarray, "mask set"]:
    """1 where all of a set are kept."""
    return np.stack([masks[:, list(one)].all(axis=1) for one in sets], axis=1).astype(np.float64)


class LeastSquares(NamedTuple):
    """Weights, how they move over a bootstrap of masks, and each value less what a fit to the
    others says of it.
    """

    weights: Float64[ndarray, " set"]
    draws: Float64[ndarray, "set draw"]
    left_out: Float64[ndarray, " mask"]


def solve_least_squares(
    columns: Float64[ndarray, "mask set"],
    values: Float64[ndarray, " mask"],
    weights: Float64[ndarray, " mask"],
    ends: tuple[float, float] | None,
    rng: np.random.Generator,
) -> LeastSquares:
    """Weighted least squares; `ends` are the values of nobody and everybody, held exactly."""
    sets = columns.shape[1]
    held = np.zeros((0, sets)) if ends is None else np.stack([np.eye(sets)[0], np.ones(sets)])
    weighted = columns.T * weights
    system = np.block([[weighted @ columns, held.T], [held, np.zeros((len(held), len(held)))]])
    inverse = np.linalg.pinv(system, hermitian=True)[:, : sets + len(held)]
    right = np.concatenate([weighted @ values, [] if ends is None else ends])
    found = (inverse @ right)[:sets]
    inner = inverse[:sets, :sets]
    left = values - columns @ found
    leverage = ((columns @ inner) * weighted.T).sum(axis=1)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES).T - 1.0
    wider = np.sqrt(len(values) / max(1, len(values) - sets))
    draws = inner @ ((weighted * left * wider) @ counts)
    return LeastSquares(found, draws, left / np.maximum(1 - leverage, 1e-9))
