"""Games of training examples: a model is fitted to those that are kept, and what it says of a test
point is the value.

Ridge and logistic regression and nearest neighbours are fitted exactly, many masks at a time;
`RetrainingGame` takes any learner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped
from numpy import ndarray

from gloss.errors import BadInput

AT_ONCE = 1 << 22  # numbers held while many models are fitted together
NEWTON_STEPS = 25  # of Newton's method, at most
TOLERANCE = 1e-9


@dataclass(frozen=True)
class TrainingExamples:
    """What is learned from and what is asked.

    `y` holds numbers for ridge regression, -1 and 1 for the others.
    """

    x: Float64[ndarray, "example d"]
    y: Float64[ndarray, " example"]
    test_x: Float64[ndarray, " d"]
    test_y: float
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.x.shape != (len(self.y), len(self.test_x)) or (
            self.names and len(self.names) != len(self.y)
        ):
            raise BadInput(
                f"{len(self.y)} targets and a test point of {len(self.test_x)} numbers do not fit"
                f" examples of shape {self.x.shape} with {len(self.names)} names"
            )

    @property
    def players(self) -> tuple[str, ...]:
        """The examples' names, or their numbers."""
        return self.names or tuple(str(number) for number in range(len(self.y)))

    @cached_property
    def products(self) -> Float64[ndarray, "example d2"]:
        """Each example's outer product with itself: a subset's Gram matrix is their sum."""
        return (self.x[:, :, None] * self.x[:, None, :]).reshape(len(self.x), -1)


@dataclass(frozen=True)
class TrainingGame:
    """A game whose players are the examples."""

    examples: TrainingExamples

    @property
    def players(self) -> tuple[str, ...]:
        """The training examples."""
        return self.examples.players


@dataclass(frozen=True)
class RidgeGame(TrainingGame):
    """Minus the squared error at the test point of a ridge regression without intercept; exact."""

    penalty: float = 1.0

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One value a mask.

        The penalty does not depend on how many are kept, so that no examples at all predict 0.
        """
        return value_in_batches(self._some, masks, self.examples.x.shape[1] ** 2)

    def gradients(self, masks: Float32[ndarray, "mask player"]) -> Float64[ndarray, "mask player"]:
        """How fast the value grows with the weight of each example, from 0 to 1."""
        return value_in_batches(self._slopes, masks, self.examples.x.shape[1] ** 2)

    def _some(self, masks: Shaped[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        _, weights = self._fitted(masks)
        return -np.square(weights @ self.examples.test_x - self.examples.test_y)

    def _slopes(self, masks: Shaped[ndarray, "mask player"]) -> Float64[ndarray, "mask player"]:
        x, test = self.examples.x, self.examples.test_x
        gram, weights = self._fitted(masks)
        missed = weights @ test - self.examples.test_y
        return -2 * missed[:, None] * moved_by(gram, test, x) * (self.examples.y - weights @ x.T)

    def _fitted(
        self, masks: Shaped[ndarray, "mask player"]
    ) -> tuple[Float64[ndarray, "mask d d"], Float64[ndarray, "mask d"]]:
        """The Gram matrix and the weights of each subset, or where examples count in part."""
        x, y, kept = self.examples.x, self.examples.y, masks.astype(np.float64)
        gram = (kept @ self.examples.products).reshape(
            -1, x.shape[1], x.shape[1]
        ) + self.penalty * np.eye(x.shape[1])
        return gram, np.linalg.solve(gram, ((kept * y) @ x)[:, :, None])[:, :, 0]


@dataclass(frozen=True)
class LogisticGame(TrainingGame):
    """The margin y w·x at the test point of a penalised logistic regression without intercept, by
    Newton's method.

    Every subset starts from the weights of all examples, which are near its own.
    """

    penalty: float = 1.0

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """0 where no example is kept."""
        size = self.examples.x.shape[1] ** 2 + len(self.players)
        return value_in_batches(
            lambda some: (
                self.fitted(some, self._whole) @ self.examples.test_x * self.examples.test_y
            ),
            masks,
            size,
        )

    def gradients(self, masks: Float32[ndarray, "mask player"]) -> Float64[ndarray, "mask player"]:
        """How fast the value grows with the weight of each example, from 0 to 1."""
        return value_in_batches(self._slopes, masks, self.examples.x.shape[1] ** 2)

    def _slopes(self, masks: Shaped[ndarray, "mask player"]) -> Float64[ndarray, "mask player"]:
        x, y, test = self.examples.x, self.examples.y, self.examples.test_x
        wrong, bend = self._bend(masks, self.fitted(masks, self._whole))
        return self.examples.test_y * moved_by(bend, test, x) * wrong * y

    @cached_property
    def _whole(self) -> Float64[ndarray, " d"]:
        """The weights of all examples."""
        d = self.examples.x.shape[1]
        return self.fitted(np.ones((1, len(self.players)), bool), np.zeros(d))[0]

    def fitted(
        self, masks: Shaped[ndarray, "mask player"], start: Float64[ndarray, " d"]
    ) -> Float64[ndarray, "mask d"]:
        """The weights of each subset, or where examples count in part, to within 1e-9."""
        x, y, kept = self.examples.x, self.examples.y, masks.astype(np.float64)
        weights = np.tile(start, (len(masks), 1))
        for _ in range(NEWTON_STEPS):
            wrong, bend = self._bend(kept, weights)
            slope = (kept * wrong * y) @ x - self.penalty * weights
            step = np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
            weights += step
            if np.abs(step).max() < TOLERANCE:
                break
        return weights

    def _bend(
        self, masks: Shaped[ndarray, "mask player"], weights: Float64[ndarray, "mask d"]
    ) -> tuple[Float64[ndarray, "mask player"], Float64[ndarray, "mask d d"]]:
        """The probability given to each example's other class, and the loss' second derivatives."""
        x, y = self.examples.x, self.examples.y
        wrong = 1 / (1 + np.exp(np.clip(y * (weights @ x.T), -500, 500)))
        d = x.shape[1]
        bend = ((masks * wrong * (1 - wrong)) @ self.examples.products).reshape(-1, d, d)
        return wrong, bend + self.penalty * np.eye(d)


@dataclass(frozen=True)
class NearestNeighbourGame(TrainingGame):
    """The share of the k nearest kept examples that have the test point's label.

    Exact. 0 where none is kept.
    """

    k: int = 5

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """Fewer than k that are kept vote among themselves."""
        kept = masks[:, self._order]
        votes = kept & (np.cumsum(kept, axis=1) <= self.k)
        right = self.examples.y[self._order] == self.examples.test_y
        return votes @ right.astype(np.float64) / np.maximum(votes.sum(1), 1)

    @cached_property
    def _order(self) -> Int64[ndarray, " example"]:
        """The examples by their distance from the test point."""
        return np.argsort(np.square(self.examples.x - self.examples.test_x).sum(1), kind="stable")


@dataclass(frozen=True)
class RetrainingGame:
    """Any learner: `fit` gets the numbers of the kept examples and gives the value, a loss or a
    margin at a test point.
    """

    players: tuple[str, ...]
    fit: Callable[[Int64[ndarray, " kept"]], float]

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One fit a mask."""
        return np.array([self.fit(np.flatnonzero(mask)) for mask in masks], dtype=np.float64)


def moved_by(
    bend: Float64[ndarray, "mask d d"],
    test: Float64[ndarray, " d"],
    x: Float64[ndarray, "example d"],
) -> Float64[ndarray, "mask example"]:
    """How far each example's x, as a pull on the weights, moves what is said of the test point: the
    influence function (Koh & Liang, 2017).
    """
    each = np.broadcast_to(test[:, None], (len(bend), len(test), 1))
    return np.linalg.solve(bend, each)[:, :, 0] @ x.T


def value_in_batches(
    values: Callable[[Shaped[ndarray, "mask player"]], ndarray],
    masks: Shaped[ndarray, "mask player"],
    size: int,
) -> ndarray:
    """A row a mask, so many at a time as memory allows; each needs `size` numbers."""
    step = max(1, AT_ONCE // size)
    return np.concatenate(
        [values(masks[begin : begin + step]) for begin in range(0, max(len(masks), 1), step)]
    )
