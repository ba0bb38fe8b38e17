"""Choose among windows that stand for unequally many, as a corpus that was mined keeps them, with
any sampler.
"""

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from gloss.sample import Sampler, WindowChoice
from gloss.sample.samplers import rank_windows

MOST = 2**16  # windows that are shown to a sampler


def choose_weighted(
    sampler: Sampler,
    maxima: Float32[ndarray, " window"],
    weights: Float64[ndarray, " window"] | None,
    number: int,
    rng: np.random.Generator,
) -> WindowChoice:
    """What the sampler chooses among all windows that these stand for; each is taken once.

    The sampler sees each window as often as its weight says. Where it chooses one again, it chooses
    anew among the others, until there are `number` or no others are left; a window that is chosen
    late has the quantile of the first choice that is nearest in strength.
    """
    if weights is None:
        return sampler.choose(maxima, number, rng)
    scale = min(1.0, MOST / max(weights.sum(), 1.0))
    copies = np.maximum(np.rint(weights * scale), 1).astype(np.int64)
    left = np.arange(len(maxima))
    rows, quantiles = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    while len(left) and (missing := number - sum(map(len, rows))):
        shown = np.repeat(left, copies[left])
        choice = sampler.choose(maxima[shown], missing, rng)
        chosen, first = np.unique(shown[choice.rows], return_index=True)
        if not len(chosen):
            break
        rows.append(chosen)
        quantiles.append(
            choice.quantiles[first]
            if len(rows) == 2
            else nearest_quantiles(maxima, chosen, rows[1], quantiles[1])
        )
        left = np.setdiff1d(left, chosen, assume_unique=True)
    chosen, labels = np.concatenate(rows), np.concatenate(quantiles)
    order = rank_windows(maxima[chosen])
    return WindowChoice(chosen[order], labels[order])


def nearest_quantiles(
    maxima: Float32[ndarray, " window"], chosen: ndarray, known: ndarray, quantiles: ndarray
) -> ndarray:
    """The quantiles of chosen windows, from those of known ones, by their strength."""
    order = np.argsort(maxima[known], kind="stable")
    places = np.searchsorted(maxima[known][order], maxima[chosen])
    return quantiles[order[np.minimum(places, len(order) - 1)]]
