"""How well a model of a game predicts masks that it was not fitted to: R2 with its 95 % interval,
resampled by mask.
"""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.records import Estimate
from gloss.statistics.intervals import small_sample_tail

RESAMPLES = 1000
MOST_AT_ONCE = 1 << 22


def r2(
    values: Float64[ndarray, " mask"],
    predicted: Float64[ndarray, " mask"],
    rng: np.random.Generator,
    less: float = 0.0,
    wider: float = 1.0,
    weights: Float64[ndarray, " mask"] | None = None,
) -> Estimate:
    """1 - squared error over squared deviation from the mean: at most 1, below 0 where the mean
    itself predicts better.

    `less` is taken off the mean squared error, as where the predictions are those of members and
    their mean errs by so much less. The interval is made `wider` by a factor, for predictions that
    are not independent of each other. Masks count by their `weights`, or all alike.

    The interval is the percentile bootstrap's, widened for few masks by Student's t. Missing for
    fewer than two masks, or where all values are the same.
    """
    if len(values) < 2:
        return Estimate.missing()
    part = np.ones(len(values)) if weights is None else weights
    part = part / part.sum()
    spread = values - part @ values
    if not part @ spread**2 > 1e-24 * max(1.0, float((values**2).sum())):
        return Estimate.missing()
    error = (values - predicted) ** 2 - less
    point = 1 - float(part @ error / (part @ spread**2))
    tail = small_sample_tail(max(2, round(1 / float(part @ part))))
    low, high = np.quantile(draws(error, spread, part, rng), (tail, 1 - tail))
    low, high = (point + wider * (float(end) - point) for end in (low, high))
    point, low, high = (min(each, 1.0) for each in (point, low, high))
    return Estimate(point, min(low, point), max(high, point))


def draws(
    error: Float64[ndarray, " mask"],
    spread: Float64[ndarray, " mask"],
    weights: Float64[ndarray, " mask"],
    rng: np.random.Generator,
) -> Float64[ndarray, " draw"]:
    """R2 on masks drawn with replacement; draws of one mask alone are left out."""
    masks = len(error)
    each = np.stack([weights, weights * spread, weights * spread**2, weights * error], axis=1)
    found: list[ndarray] = []
    left = RESAMPLES
    while left > 0:
        rows = min(left, max(1, MOST_AT_ONCE // masks))
        counts = rng.multinomial(masks, np.full(masks, 1 / masks), rows).astype(np.float64)
        total, first, second, missed = (counts @ each).T
        variance = second - first**2 / total
        vary = variance > 1e-12 * second
        found.append(1 - missed[vary] / variance[vary])
        left -= rows
    return np.concatenate(found)
