"""Shapley values by sampling: what each player adds when all join in random orders (Shapley, 1953),
or by weighted regression.
"""

from dataclasses import dataclass

import numpy as np

from gloss.attribute.bases import Basis, PlayerSet
from gloss.attribute.game import Evaluations, Game, ValuedMasks, as_evaluations
from gloss.attribute.methods.faithful import Faithful, regress_on_sets
from gloss.attribute.methods.process_values import (
    SoughtValues,
    require_process_for_pairs,
    values_by_process,
)
from gloss.attribute.result.faithfulness import (
    SetFit,
    empty_and_full_masks,
    empty_and_full_values,
    estimates_of_sets,
    hold_out_masks,
    judge_set_fit,
)
from gloss.attribute.result.interactions import Interactions
from gloss.errors import BadInput, require_at_least, require_one_of
from gloss.statistics.intervals import student_quantile

APPROACHES = ("process", "regression", "permutations")


@dataclass(frozen=True)
class Shapley:
    """One value a player, which add up to the difference between everybody and nobody.

    `process` fits a Gaussian process to masks of all sizes, each with its complement. With `order`
    2 it gives pairs as well, Shapley interactions (Grabisch & Roubens, 1999), and players' values
    less half of their pairs', so that all still add up (Bordt & von Luxburg, 2023). `regression` is
    KernelSHAP with paired coalitions (Lundberg & Lee, 2017; Covert & Lee, 2021); `permutations`
    follows random orders and their reverses (Castro et al., 2009; Mitchell et al., 2022), without
    bias at any budget.
    """

    budget: int = 2000  # masks
    approach: str = "process"
    order: int = 1  # or 2, by process

    def __post_init__(self) -> None:
        require_at_least(1, self, "budget", "order")
        require_one_of(APPROACHES, self, "approach")
        require_process_for_pairs(self.order, self.approach)

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Möbius coefficients of single players, and of pairs where they were asked for.

        Raises BadInput for a budget that does not reach all players once.
        """
        known = as_evaluations(game)
        if self.approach == "process":
            asked = SoughtValues("shapley", self.budget, self.order, shapley=True)
            return values_by_process(known, asked, rng)
        if self.approach == "regression":
            return regress_on_sets("shapley", known, Faithful(self.budget, 1, "shapley"), rng)
        return shapley_by_permutations(known, self.budget, rng)


def shapley_by_permutations(
    game: Evaluations, budget: int, rng: np.random.Generator
) -> Interactions:
    """The mean of what each player adds over random orders and their reverses, with Student's
    interval over such pairs.
    """
    n = len(game.players)
    each = max(1, 2 * (n - 1))  # masks that a pair of orders takes
    held_out = hold_out_masks(game, budget, 2 * each + 2, rng)
    nobody, everybody = empty_and_full_values(game)
    forth = np.stack([rng.permutation(n) for _ in range((held_out.left - 2) // each)])
    orders = np.stack([forth, forth[:, ::-1]], axis=1)  # pair, direction, place
    places = orders.argsort(axis=2)
    masks = (places[:, :, None, :] < np.arange(1, n)[:, None]).reshape(-1, n)
    along = game.values(masks)
    values = along.reshape(len(forth), 2, n - 1)
    ends = (
        np.broadcast_to([[nobody]], (len(forth), 2, 1)),
        np.broadcast_to([[everybody]], (len(forth), 2, 1)),
    )
    added = np.diff(np.concatenate([ends[0], values, ends[1]], axis=2), axis=2)
    gains = np.take_along_axis(added, places, axis=2).mean(axis=1)
    whole = gains[np.isfinite(gains).all(axis=1)]
    if len(whole) < 2:
        raise BadInput(
            f"the game gave all values for {len(whole)} of {len(forth)} pairs of orders, and 2 are"
            " needed; use auto"
        )
    means = whole.mean(axis=0)
    had = np.isfinite(along)
    fitted = ValuedMasks(masks[had], along[had], int((~had).sum())).concatenate(
        empty_and_full_masks(game, (nobody, everybody))
    )
    half = student_quantile(len(whole) - 1) * whole.std(axis=0, ddof=1) / np.sqrt(len(whole))
    sets: list[PlayerSet] = [(player,) for player in range(n)]
    coefficients = {(): nobody} | dict(zip(sets, means.tolist(), strict=True))
    stability = estimates_of_sets(sets, means, means - half, means + half)
    fit = SetFit(coefficients, Basis.MOBIUS, fitted, stability)
    return judge_set_fit("shapley", game.players, fit, held_out.judges, rng)
