"""Banzhaf values: what each player adds to a random half of the others, from masks that serve all
players at once.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet
from gloss.attribute.game import Evaluations, Game, ValuedMasks, as_evaluations
from gloss.attribute.methods.faithful import Faithful, regress_on_sets
from gloss.attribute.methods.process_values import (
    SoughtValues,
    require_process_for_pairs,
    values_by_process,
)
from gloss.attribute.result.faithfulness import (
    FEWEST_VALUES,
    SetFit,
    estimates_of_sets,
    hold_out_masks,
    judge_set_fit,
)
from gloss.attribute.result.interactions import Interactions
from gloss.errors import require_at_least, require_one_of

APPROACHES = ("process", "regression", "sampling")
RESAMPLES = 200


@dataclass(frozen=True)
class Banzhaf:
    """One value a player: the slope of the linear function that comes closest over all masks
    (Hammer & Holzman, 1992).

    `process` fits a Gaussian process to masks with their complements; with `order` 2 it gives pairs
    as well, those of the quadratic function that comes closest. `regression` fits the linear
    function; `sampling` takes the difference of means with and without each player (Wang & Jia,
    2023): it makes do with fewer masks than players, and needs more for the same precision.
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

        Raises BadInput for a budget with too few masks.
        """
        known = as_evaluations(game)
        if self.approach == "process":
            asked = SoughtValues("banzhaf", self.budget, self.order, shapley=False)
            return values_by_process(known, asked, rng)
        if self.approach == "regression":
            return regress_on_sets("banzhaf", known, Faithful(self.budget, 1, "banzhaf"), rng)
        return banzhaf_by_sampling(known, self.budget, rng)


def banzhaf_by_sampling(game: Evaluations, budget: int, rng: np.random.Generator) -> Interactions:
    """Differences of means, with the interval of a bootstrap over masks."""
    held_out = hold_out_masks(game, budget, FEWEST_VALUES, rng)
    used = held_out.draw_others(game, rng)
    counts = np.ones((1, len(used.values)))
    values = mean_differences(used, counts)[0]
    drawn = rng.multinomial(
        len(used.values), np.full(len(used.values), 1 / len(used.values)), RESAMPLES
    )
    lows, highs = np.nanquantile(
        mean_differences(used, drawn.astype(np.float64)), (0.025, 0.975), axis=0
    )
    constant = float(used.values.mean() - values.sum() / 2)
    sets: list[PlayerSet] = [(player,) for player in range(len(values))]
    coefficients = {(): constant} | dict(zip(sets, values.tolist(), strict=True))
    stability = estimates_of_sets(sets, values, lows, highs)
    fit = SetFit(coefficients, Basis.MOBIUS, used, stability)
    return judge_set_fit("banzhaf", game.players, fit, held_out.judges, rng)


def mean_differences(
    used: ValuedMasks, counts: Float64[ndarray, "draw mask"]
) -> Float64[ndarray, "draw player"]:
    """The mean value with each player less that without, each mask counted as often as drawn."""
    kept, removed = used.masks.astype(np.float64), (~used.masks).astype(np.float64)
    weighted = counts * used.values
    with np.errstate(invalid="ignore", divide="ignore"):
        return weighted @ kept / (counts @ kept) - weighted @ removed / (counts @ removed)
