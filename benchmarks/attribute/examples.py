"""Games of training examples of scikit-learn's data, as they are and with pairs planted that stand
in for or need each other.
"""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.players.training_examples import LogisticGame, RidgeGame, TrainingExamples

EXAMPLES = 100
DUPLICATES = (EXAMPLES - 4, EXAMPLES - 3)
CORNERS = (EXAMPLES - 2, EXAMPLES - 1)
# a trait that only the duplicates have; then two coordinates of an XOR and their product
TRAIT = (1.0, 0.0, 0.0, 0.0)
FIRST_CORNER = (0.0, 1.0, 1.0, 1.0)
LAST_CORNER = (0.0, -1.0, -1.0, 1.0)
TESTED = (1.0, 1.0, -1.0, -1.0)


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


def planted(rng: np.random.Generator) -> LogisticGame:
    """96 tumours, two copies of one more that has a trait of its own, and two opposite corners of
    an XOR.

    The one that is tested has the trait, and lies at a third corner, whose label is the other one.
    Either copy tells of the trait. Each corner alone says as much of its coordinates as of their
    product; together they leave the product alone.
    """
    x, y = tumours(rng, EXAMPLES - 2)
    measures = np.concatenate([x[:-2], x[[-2, -2]], np.zeros((2, x.shape[1]))])
    own = np.zeros((EXAMPLES, len(TRAIT)))
    own[list(DUPLICATES)], own[CORNERS[0]], own[CORNERS[1]] = TRAIT, FIRST_CORNER, LAST_CORNER
    labels = np.concatenate([y[:-2], [y[-1], y[-1], -y[-1], -y[-1]]])
    tested = np.concatenate([x[-1], TESTED])
    names = (
        *(f"tumour {number}" for number in range(EXAMPLES - 4)),
        "copy 1",
        "copy 2",
        "corner 1",
        "corner 2",
    )
    return LogisticGame(
        TrainingExamples(
            np.concatenate([measures, own], axis=1), labels, tested, float(y[-1]), names
        ),
        penalty=0.1,
    )


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
