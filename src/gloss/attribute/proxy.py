"""A forest in place of the function: fitted to random masks, transformed exactly, refitted where that foretells masks better."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.refit import refitted
from gloss.attribute.transforms import Basis, PlayerSet, evaluated
from gloss.attribute.tree_spectrum import spectrum
from gloss.attribute.trees import Boosting, boost


@dataclass(frozen=True, slots=True)
class Proxy:
    """How the forest is chosen, and how much of its spectrum is kept."""

    depths: tuple[int, ...] = (3, 5)
    rates: tuple[float, ...] = (0.2,)
    keep: int = 200  # sets
    folds: int = 5


def decode(
    kept: Bool[ndarray, "mask player"], values: Float64[ndarray, " mask"], asked: Proxy, rng: np.random.Generator
) -> dict[PlayerSet, float]:
    """Fourier coefficients of the function behind these values, by the set of players (Butler et al., 2025, section 4).

    Depth, rate and number of trees are those with the least error in cross-validation, and so is the choice whether the kept
    sets get the forest's own weights or new ones by ridge regression.
    """
    fold = rng.permutation(len(values)) % asked.folds
    players = kept.shape[1]
    tried = {
        settings: [boost(kept, values, fold == number, settings) for number in range(asked.folds)]
        for settings in (Boosting(*each) for each in product(asked.depths, asked.rates))
    }
    best, forests = min(tried.items(), key=lambda each: sum(error for _, error in each[1]))
    own, new = 0.0, 0.0
    for number, (forest, _) in enumerate(forests):
        found, out = spectrum(forest, players, asked.keep), fold == number
        own += np.square(values[out] - evaluated(found, Basis.FOURIER, kept[out])).sum()
        new += np.square(values[out] - evaluated(refitted(list(found), kept[~out], values[~out]), Basis.FOURIER, kept[out])).sum()
    trees = max(1, round(float(np.mean([len(forest.leaves) for forest, _ in forests]))))
    forest, _ = boost(kept, values, np.zeros(len(values), bool), replace(best, most_trees=trees))
    found = spectrum(forest, players, asked.keep)
    return refitted(list(found), kept, values) if new < own else found
