"""From a simulator's scale to the feature's own: by a line, or by equal ranks (Bills et al., 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of both scales from tokens that are not reported."""

    slope: float
    intercept: float
    foretold: Float64[ndarray, " level"]  # distinct values, rising
    ranked_alike: Float64[ndarray, " level"]  # the mean activation of the same ranks
    mean: float  # activation: what stands for a value that is missing


def fit(truth: Sequence[Float64[ndarray, " _"]], foretold: Sequence[Float64[ndarray, " _"]]) -> Calibration | None:
    """Both calibrations; None where nothing was foretold."""
    a, s = (np.concatenate(parts) if len(parts) else np.empty(0) for parts in (truth, foretold))
    there = ~np.isnan(s)
    if not there.any():
        return None
    mean = float(a.mean())
    a, s = a[there], s[there]
    spread = float(((s - s.mean()) ** 2).sum())
    slope = float(((s - s.mean()) * (a - a.mean())).sum()) / spread if spread > 1e-12 else 0.0
    levels, level = np.unique(np.sort(s), return_inverse=True)
    ranked = np.bincount(level, np.sort(a)) / np.bincount(level)
    return Calibration(slope, float(a.mean() - slope * s.mean()), levels, ranked, mean)


def calibrated(calibration: Calibration | None, name: str, foretold: Float64[ndarray, " token"]) -> Float64[ndarray, " token"]:
    """The values on the feature's scale, `linear` or by `percentile`; not a number without a calibration."""
    if calibration is None:
        return np.full(len(foretold), np.nan)
    if name == "linear":
        values = calibration.slope * foretold + calibration.intercept
    else:
        values = np.interp(foretold, calibration.foretold, calibration.ranked_alike)
    return np.where(np.isnan(foretold), calibration.mean, values)
