"""ProxySPEX: boosted trees are fitted to random masks, and the trees' own spectrum is read (Butler
et al., 2025).

The spectrum is exact, and refitted where that predicts masks better.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, evaluate_coefficients
from gloss.attribute.game import Game, as_evaluations
from gloss.attribute.result.faithfulness import SetFit, judge_set_fit
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.solve.boosted_trees import BoostingSettings, boost_trees, forest_spectrum
from gloss.attribute.solve.sparse_regression import refit_by_ridge
from gloss.errors import BadInput, BadSettings


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How the forest is chosen, and how much of its spectrum is kept."""

    depths: tuple[int, ...] = (3, 5)
    rates: tuple[float, ...] = (0.2,)
    keep: int = 200  # sets
    folds: int = 5


def fit_tree_proxy(
    kept: Bool[ndarray, "mask player"],
    values: Float64[ndarray, " mask"],
    asked: ProxySettings,
    rng: np.random.Generator,
) -> dict[PlayerSet, float]:
    """Fourier coefficients of the function behind these values, by the set of players (Butler et
    al., 2025, section 4).

    Depth, rate and number of trees are those with the least error in cross-validation, and so is
    the choice whether the kept sets get the forest's own weights or new ones by ridge regression.
    """
    fold = rng.permutation(len(values)) % asked.folds
    players = kept.shape[1]
    tried = {
        settings: [
            boost_trees(kept, values, fold == number, settings) for number in range(asked.folds)
        ]
        for settings in (BoostingSettings(*each) for each in product(asked.depths, asked.rates))
    }
    best, forests = min(tried.items(), key=lambda each: sum(error for _, error in each[1]))
    own, new = 0.0, 0.0
    for number, (forest, _) in enumerate(forests):
        found, out = forest_spectrum(forest, players, asked.keep), fold == number
        own += np.square(values[out] - evaluate_coefficients(found, Basis.FOURIER, kept[out])).sum()
        new += np.square(
            values[out]
            - evaluate_coefficients(
                refit_by_ridge(list(found), kept[~out], values[~out]), Basis.FOURIER, kept[out]
            )
        ).sum()
    trees = max(1, round(float(np.mean([len(forest.leaves) for forest, _ in forests]))))
    forest, _ = boost_trees(
        kept, values, np.zeros(len(values), bool), replace(best, most_trees=trees)
    )
    found = forest_spectrum(forest, players, asked.keep)
    return refit_by_ridge(list(found), kept, values) if new < own else found


FEWEST_MASKS = 40  # masks, or else trees of two leaves could not be validated


@dataclass(frozen=True)
class ProxySpex:
    """Finds interactions whose subsets matter too, with few masks.

    One whose subsets do not, it never sees.

    It stops improving with more masks before R2 reaches 1, because trees shrink what they find.
    """

    budget: int = 1000  # masks that the trees may take; the held-out ones come on top
    keep: int = 200  # sets of the trees' spectrum
    held_out: int = 200  # masks

    def __post_init__(self) -> None:
        if self.budget < FEWEST_MASKS or self.keep < 1 or self.held_out < 0:
            raise BadSettings(
                f"proxy_spex was given budget={self.budget}, keep={self.keep} and"
                f" held_out={self.held_out}; the budget must be at least {FEWEST_MASKS}, keep at"
                " least 1 and held_out 0 or more"
            )

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Sets and their Fourier coefficients. Raises BadInput where too few masks have a value."""
        known = as_evaluations(game)
        fitted = known.uniform(self.budget, rng)
        if len(fitted.values) < FEWEST_MASKS:
            raise BadInput(
                f"proxy_spex needs {FEWEST_MASKS} values, the game gave {len(fitted.values)}; use"
                " exact or auto"
            )
        found = fit_tree_proxy(fitted.masks, fitted.values, ProxySettings(keep=self.keep), rng)
        held_out = known.uniform(self.held_out, rng)
        fit = SetFit(found, Basis.FOURIER, fitted)
        return judge_set_fit("proxy_spex", known.players, fit, held_out, rng)
