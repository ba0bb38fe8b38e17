"""Logistic regression, fitted exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from numpy import ndarray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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
    x: Shaped[ndarray, "item d"],
    positive: Bool[ndarray, " item"],
    penalty: float = 1.0,
    *,
    balanced: bool = False,
) -> LinearProbe:
    """The probe that minimises penalty ½‖w‖² + Σ log(1 + exp(-y (w·z + b))), where z is x with each
    number's mean taken out and divided by its standard deviation, and y is 1 or -1.

    The penalty is one over scikit-learn's C; the bias is free. Where it is `balanced`, each side's
    items count half of all together. Weights are given for x itself, so that its scale does not
    matter. Raises ValueError where a side is empty.

        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> probe = fit_logistic(x, np.array([False, False, True, True]))
        >>> bool(probe.weights[0] > 0), round(float(-probe.bias / probe.weights[0]), 4)
        (True, 1.5)
    """
    from scipy.optimize import minimize  # slow to import, and few commands ask

    if positive.all() or not positive.any():
        raise ValueError("a logistic regression wants items of both sides")
    x = np.asarray(x, dtype=np.float64)
    mean, spread = x.mean(0), x.std(0)
    spread[spread == 0] = 1.0
    z, y = (x - mean) / spread, np.where(positive, 1.0, -1.0)
    counts = side_weights(positive) if balanced else np.ones(len(x))

    def loss(parameters: Float64[ndarray, " d_1"]) -> tuple[float, ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        margins = y * (z @ weights + bias)
        pull = -counts * y / (1 + np.exp(np.clip(margins, -500, 500)))
        slope = np.append(pull @ z + penalty * weights, pull.sum())
        return float(counts @ np.logaddexp(0, -margins) + penalty / 2 * weights @ weights), slope

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


def side_weights(positive: Bool[ndarray, " item"]) -> Float64[ndarray, " item"]:
    """What each item counts where either side counts half of all items."""
    share = float(positive.mean())
    return np.where(positive, 0.5 / share, 0.5 / (1 - share))


def fit_lasso(
    x: "csr_array", positive: Bool[ndarray, " item"], penalty: float, steps: int = 300
) -> Float64[ndarray, " d"]:
    """Weights that minimise the mean logistic loss, either side counting half, and penalty ‖w‖₁ on
    codes in units of their root mean square; by accelerated proximal steps (Beck and Teboulle,
    2009), the bias free.

        >>> from scipy.sparse import csr_array
        >>> x = csr_array(np.array([[1.0, 0.3], [1.0, 0.0], [0.0, 0.3], [0.0, 0.0]]))
        >>> weights = fit_lasso(x, np.array([True, True, False, False]), 0.01)
        >>> bool(weights[0] > 1), bool(abs(weights[1]) < 0.1)
        (True, True)
    """
    scale = float(np.sqrt(np.mean(np.square(x.data)))) if x.nnz else 1.0
    z, reach = x / (scale or 1.0), np.asarray(x.sum(0), dtype=np.float64)
    y, counts = np.where(positive, 1.0, -1.0), side_weights(positive) / len(positive)
    for _ in range(20):  # the largest curvature, by the power method
        reach = z.T @ (counts * (z @ reach))
        reach /= max(float(np.linalg.norm(reach)), 1e-12)
    step = 2.0 / max(float(np.linalg.norm(z.T @ (counts * (z @ reach)))) + 1.0, 1e-12)
    weights = ahead = np.zeros(len(reach) + 1)
    momentum = 1.0
    for _ in range(steps):
        pull = -counts * y / (1 + np.exp(np.clip(y * (z @ ahead[:-1] + ahead[-1]), -500, 500)))
        moved = ahead - step * np.append(z.T @ pull, pull.sum())
        moved[:-1] = np.sign(moved[:-1]) * np.maximum(np.abs(moved[:-1]) - step * penalty, 0)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = moved + (momentum - 1) / following * (moved - weights)
        weights, momentum = moved, following
    return weights[:-1] / (scale or 1.0)
