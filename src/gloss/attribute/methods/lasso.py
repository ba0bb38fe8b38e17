"""LASSO on parities of up to three players: what costs nothing and is hard to beat on real games
(Tibshirani, 1996).

Solved by accelerated proximal steps (Beck & Teboulle, 2009) along a path of penalties, over the
parities that go best with the values where there are too many (Fan & Lv, 2008). The penalty is the
one that predicts best masks that were not fitted to.
"""

from dataclasses import dataclass

import numpy as np

from gloss.attribute.game import Game, as_evaluations
from gloss.attribute.result.faithfulness import judge_fits, split_masks
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.solve.lasso_path import choose_penalty, fit_at_penalty
from gloss.errors import require_at_least


@dataclass(frozen=True)
class Lasso:
    """Sparse regression on all parities of up to `order` players (1, 2 or 3)."""

    budget: int = 2000  # masks
    order: int = 2

    def __post_init__(self) -> None:
        require_at_least(1, self, "budget")
        if not 1 <= self.order <= 3:
            raise ValueError(f"order is {self.order}; lasso takes 1, 2 or 3")

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Fourier coefficients from uniform masks, an eighth of them held out.

        Raises BadInput for too few values.
        """
        split = split_masks(as_evaluations(game).uniform(self.budget, rng))
        penalty, _ = choose_penalty(split.train, split.validation, self.order)
        before, after = (
            fit_at_penalty(penalty, masks, self.order) for masks in (split.fitted, split.everything)
        )
        return judge_fits("lasso", game.players, split, [(1.0, before)], [(1.0, after)], rng)
