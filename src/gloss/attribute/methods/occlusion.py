"""What is lost when each player, or each pair, is removed from everybody: the cheapest attribution,
and the most local.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from gloss.attribute.bases import Basis, PlayerSet
from gloss.attribute.game import Game, ValuedMasks, as_evaluations
from gloss.attribute.result.faithfulness import SetFit, empty_and_full_values, judge_set_fit
from gloss.attribute.result.interactions import Interactions
from gloss.errors import BadInput


@dataclass(frozen=True)
class Occlusion:
    """Removes each player once (Zeiler & Fergus, 2014), and each pair where `order` is 2: exact
    differences, near everybody.
    """

    order: int = 1
    held_out: int = 200  # uniform masks, for its faithfulness

    def __post_init__(self) -> None:
        if self.order not in (1, 2) or self.held_out < 2:
            raise ValueError(
                f"order is {self.order}, held_out {self.held_out}; occlusion takes 1 or 2, and 2 or"
                " more"
            )

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Coefficients in the `absent` basis: everybody's value, and what removing a set changes
        beyond its parts.

        Raises BadInput where a value could not be had.
        """
        known = as_evaluations(game)
        n = len(game.players)
        everybody = empty_and_full_values(known)[1]
        sets: list[PlayerSet] = [
            one for size in range(1, self.order + 1) for one in combinations(range(n), size)
        ]
        masks = np.ones((len(sets), n), np.bool_)
        for row, one in enumerate(sets):
            masks[row, list(one)] = False
        values = known.values(masks)
        if missing := int((~np.isfinite(values)).sum()):
            raise BadInput(
                f"the game gave no number for {missing} of the {len(sets)} masks that occlusion"
                " needs; use auto"
            )
        coefficients: dict[PlayerSet, float] = {(): everybody}
        for one, value in zip(sets, values.tolist(), strict=True):
            coefficients[one] = (
                value - everybody - sum(coefficients[player,] for player in one if len(one) > 1)
            )
        held_out = known.uniform(self.held_out, rng)
        everything = np.vstack([masks, np.ones((1, n), np.bool_)])
        fitted = ValuedMasks(everything, np.append(values, everybody))
        fit = SetFit(coefficients, Basis.ABSENT, fitted)
        return judge_set_fit("occlusion", game.players, fit, held_out, rng)
