"""Games of training examples: a model is fitted to those that are kept, and what it says of a test
point is the value.

Ridge and logistic regression and nearest neighbours are fitted exactly, many masks at a time;
`RetrainingGame` takes any learner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64
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

    def _some(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        x, y, kept = self.examples.x, self.examples.y, masks.astype(np.float64)
        gram = (kept @ self.examples.products).reshape(
            -1, x.shape[1], x.shape[1]
        ) + self.penalty * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, ((kept * y) @ x)[:, :, None])[:, :, 0]
        return -np.square(weights @ self.examples.test_x - self.examples.test_y)


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

    @cached_property
    def _whole(self) -> Float64[ndarray, " d"]:
        """The weights of all examples."""
        d = self.examples.x.shape[1]
        return self.fitted(np.ones((1, len(self.players)), bool), np.zeros(d))[0]

    def fitted(
        self, masks: Bool[ndarray, "mask player"], start: Float64[ndarray, " d"]
    ) -> Float64[ndarray, "mask d"]:
        """The weights of each subset, to within 1e-9."""
        x, y, kept = self.examples.x, self.examples.y, masks.astype(np.float64)
        d = x.shape[1]
        weights = np.tile(start, (len(masks), 1))
        for _ in range(NEWTON_STEPS):
            # the probability given to the other class
            wrong = 1 / (1 + np.exp(np.clip(y * (weights @ x.T), -500, 500)))
            slope = (kept * wrong * y) @ x - self.penalty * weights
            bend = ((kept * wrong * (1 - wrong)) @ self.examples.products).reshape(
                -1, d, d
            ) + self.penalty * np.eye(d)
            step = np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
            weights += step
            if np.abs(step).max() < TOLERANCE:
                break
        return weights


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


def value_in_batches(
    values: Callable[[Bool[ndarray, "mask player"]], Float64[ndarray, " mask"]],
    masks: Bool[ndarray, "mask player"],
    size: int,
) -> Float64[ndarray, " mask"]:
    """So many masks at a time as memory allows, each of which needs `size` numbers."""
    step = max(1, AT_ONCE // size)
    return np.concatenate(
        [values(masks[begin : begin + step]) for begin in range(0, max(len(masks), 1), step)]
    )
