"""From a simulator's scale to the feature's own: by a line or equal ranks (Bills et al., 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray


@dataclass(frozen=True, slots=True)
class ScaleCalibration:
    """How a simulator's scale maps to the feature's, fitted on tokens that are not reported (Bills
    et al., 2023).
    """

    slope: float
    intercept: float
    predicted: Float64[ndarray, " level"]  # distinct values, rising
    ranked_alike: Float64[ndarray, " level"]  # the mean activation of the same ranks
    mean: float  # activation: what stands for a value that is missing


def fit_scale(
    truth: Sequence[Float64[ndarray, " _"]], predicted: Sequence[Float64[ndarray, " _"]]
) -> ScaleCalibration | None:
    """Fit a line and equal ranks to activations and predictions, one array a context.

    None where nothing was predicted.

        >>> fitted = fit_scale([np.array([0.0, 2.0, 4.0])], [np.array([0.0, 5.0, 10.0])])
        >>> apply_scale(fitted, "linear", np.array([7.5]))
        array([3.])
    """
    a, s = (np.concatenate(parts) if len(parts) else np.empty(0) for parts in (truth, predicted))
    there = ~np.isnan(s)
    if not there.any():
        return None
    mean = float(a.mean())
    a, s = a[there], s[there]
    spread = float(((s - s.mean()) ** 2).sum())
    slope = float(((s - s.mean()) * (a - a.mean())).sum()) / spread if spread > 1e-12 else 0.0
    levels, level = np.unique(np.sort(s), return_inverse=True)
    ranked = np.bincount(level, np.sort(a)) / np.bincount(level)
    return ScaleCalibration(slope, float(a.mean() - slope * s.mean()), levels, ranked, mean)


def apply_scale(
    calibration: ScaleCalibration | None, name: str, predicted: Float64[ndarray, " token"]
) -> Float64[ndarray, " token"]:
    """The predictions on the feature's scale, by the `linear` fit or by `percentile`.

    Not a number without a calibration; a missing prediction becomes the mean activation.
    """
    if calibration is None:
        return np.full(len(predicted), np.nan)
    if name == "linear":
        values = calibration.slope * predicted + calibration.intercept
    else:
        values = np.interp(predicted, calibration.predicted, calibration.ranked_alike)
    return np.where(np.isnan(predicted), calibration.mean, values)
