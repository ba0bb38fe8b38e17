"""Games of training examples of scikit-learn's data."""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.players.training_examples import (
    LogisticGame,
    NearestNeighbourGame,
    RidgeGame,
    TrainingExamples,
)

EXAMPLES = 100
NEAREST = 10  # examples about the test point, half of which vote at most if half are kept


def ridge(rng: np.random.Generator) -> RidgeGame:
    """100 patients of scikit-learn's diabetes data and one more, whose disease is predicted."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    rows = rng.permutation(len(y))[: EXAMPLES + 1]
    x, y = standardised(x[rows]), standardised(y[rows])
    return RidgeGame(TrainingExamples(x[:-1], y[:-1], x[-1], float(y[-1])))


def logistic(rng: np.random.Generator) -> LogisticGame:
    """100 tumours of scikit-learn's breast cancer data, by their ten mean measures, and one more
    that is classified.
    """
    x, y = tumours(rng, EXAMPLES + 1)
    return LogisticGame(TrainingExamples(x[:-1], y[:-1], x[-1], float(y[-1])))


def neighbours(rng: np.random.Generator) -> NearestNeighbourGame:
    """The same, by the votes of the nearest, for a tumour whose neighbours are of both kinds: most
    others have none but their own, and the vote never changes.
    """
    while True:
        examples = logistic(rng).examples
        apart = np.square(examples.x - examples.test_x).sum(axis=1)
        if len(set(examples.y[np.argsort(apart)[:NEAREST]])) > 1:
            return NearestNeighbourGame(examples)


def tumours(
    rng: np.random.Generator, count: int
) -> tuple[Float64[ndarray, "example d"], Float64[ndarray, " example"]]:
    """Random ones; 1 is benign, -1 malignant."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    rows = rng.permutation(len(y))[:count]
    return standardised(x[rows, :10]), np.where(y[rows] > 0, 1.0, -1.0)


def standardised(x: Float64[ndarray, "..."]) -> Float64[ndarray, "..."]:
    """Mean 0 and deviation 1."""
    return (x - x.mean(axis=0)) / x.std(axis=0)
