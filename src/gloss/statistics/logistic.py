"""Logistic regression, fitted exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from numpy import ndarray

PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # that are tried where one is chosen
HELD_BACK = 5  # every so many-th item, to choose it by


@dataclass(frozen=True)
class LinearProbe:
    """Which side of a plane vectors lie on, and how far."""

    weights: Float64[ndarray, " d"]
    bias: float

    def margins(self, x: Shaped[ndarray, "item d"]) -> Float64[ndarray, " item"]:
        """Above 0 on the positive side."""
        return np.asarray(x @ self.weights + self.bias, dtype=np.float64)

    def correct(
        self, x: Shaped[ndarray, "item d"], positive: Bool[ndarray, " item"]
    ) -> Bool[ndarray, " item"]:
        """Whether each item is put on its own side."""
        return (self.margins(x) > 0) == positive


def fit_logistic(
    x: Shaped[ndarray, "item d"], positive: Bool[ndarray, " item"], penalty: float = 1.0
) -> LinearProbe:
    """The probe that minimises penalty ½‖w‖² + Σ log(1 + exp(-y (w·z + b))), where z is x with each
    number's mean taken out and divided by its standard deviation, and y is 1 or -1.

    The penalty is one over scikit-learn's C; the bias is free. Weights are given for x itself, so
    that its scale does not matter. Raises ValueError where a side is empty.

        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> probe = fit_logistic(x, np.array([False, False, True, True]))
        >>> bool(probe.weights[0] > 0), round(-probe.bias / probe.weights[0], 4)
        (True, 1.5)
    """
    from scipy.optimize import minimize  # slow to import, and few commands ask

    if positive.all() or not positive.any():
        raise ValueError("a logistic regression wants items of both sides")
    x = np.asarray(x, dtype=np.float64)
    mean, spread = x.mean(0), x.std(0)
    spread[spread == 0] = 1.0
    z, y = (x - mean) / spread, np.where(positive, 1.0, -1.0)

    def loss(parameters: Float64[ndarray, " d_1"]) -> tuple[float, ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        margins = y * (z @ weights + bias)
        pull = -y / (1 + np.exp(np.clip(margins, -500, 500)))
        slope = np.append(pull @ z + penalty * weights, pull.sum())
        return float(np.logaddexp(0, -margins).sum() + penalty / 2 * weights @ weights), slope

    found = minimize(
        loss,
        np.zeros(x.shape[1] + 1),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "gtol": 1e-6},
    ).x
    weights = found[:-1] / spread
    return LinearProbe(weights, float(found[-1] - weights @ mean))


def fit_validated(
    x: Shaped[ndarray, "item d"],
    positive: Bool[ndarray, " item"],
    penalties: Sequence[float] = PENALTIES,
) -> LinearProbe:
    """The same with the penalty that puts most of the held-back items on their side, every
    HELD_BACK-th; then fitted to all of them. Items must be in no order.
    """
    back = np.arange(len(x)) % HELD_BACK == 0
    if len(set(positive[back])) < 2 or len(set(positive[~back])) < 2:
        return fit_logistic(x, positive, penalties[0])
    right = [
        fit_logistic(x[~back], positive[~back], each).correct(x[back], positive[back]).sum()
        for each in penalties
    ]
    return fit_logistic(x, positive, penalties[int(np.argmax(right))])
