"""What rates of yes and no add up to at a feature's true rate, and how much better some answers are
than others on the same contexts.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.records import Estimate
from gloss.statistics.intervals import estimate_from_draws, resample_by_side

DRAWS = 2000


def paired_gain(
    firing: Bool[ndarray, " context"],
    candidate: Bool[ndarray, " context"],
    current: Bool[ndarray, " context"],
    metric: Callable[..., Float64[ndarray, " draw"]],
    rng: np.random.Generator,
    *,
    outside: float,
) -> Estimate:
    """How much higher a metric is for a candidate's yeses than for the current ones, with the
    interval of a paired bootstrap: contexts are drawn with replacement, firing and inactive ones
    apart, and both are looked at on the same draw.

    `metric` is given the share of yeses among firing and among inactive contexts, of each draw, and
    `outside` is what is cut off at each end.

        >>> firing = np.repeat([True, False], 50)
        >>> half = firing & (np.arange(100) % 2 == 0)
        >>> metric = lambda hit, false: hit - false
        >>> gain = paired_gain(firing, firing, half, metric, rng, outside=0.05)
        >>> gain.value, gain.low > 0.3
        (0.5, True)
    """
    draws = np.vstack([np.ones(len(firing)), resample_by_side(firing, rng, DRAWS)])

    def share(yes: Bool[ndarray, " context"], side: Bool[ndarray, " context"]) -> ndarray:
        with np.errstate(invalid="ignore"):
            return draws[:, side] @ yes[side] / draws[:, side].sum(1)

    values = [metric(share(yes, firing), share(yes, ~firing)) for yes in (candidate, current)]
    difference = values[0] - values[1]
    return estimate_from_draws(float(difference[0]), difference[1:], outside=outside)


def rate_metrics(
    true_positive: Float64[ndarray, " draw"],
    true_negative: Float64[ndarray, " draw"],
    false_positive: Float64[ndarray, " draw"],
    share_firing: float,
) -> dict[str, Float64[ndarray, " draw"]]:
    """Metrics of rates, where this share of contexts fires.

    Precision is not a number where nothing was claimed.
    """
    precision = precision_at_share(true_positive, false_positive, share_firing)
    return {
        "balanced_accuracy": (true_positive + true_negative) / 2,
        "true_positive_rate": true_positive,
        "true_negative_rate": true_negative,
        "precision": precision,
        "recall": true_positive,
        "f1": harmonic_f1(precision, true_positive),
    }


def precision_at_share(
    true_positive: Float64[ndarray, " draw"],
    false_positive: Float64[ndarray, " draw"],
    share: float,
) -> Float64[ndarray, " draw"]:
    """The share of claims that are right where this share of contexts fires."""
    right, wrong = share * true_positive, (1 - share) * false_positive
    with np.errstate(invalid="ignore", divide="ignore"):
        return right / (right + wrong)


def harmonic_f1(
    precision: Float64[ndarray, " draw"], recall: Float64[ndarray, " draw"]
) -> Float64[ndarray, " draw"]:
    """F1; 0 where nothing was found, be it that nothing was claimed."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(recall == 0, 0.0, 2 * precision * recall / (precision + recall))
