"""What a judge's answers depend on besides the context: its position in the request, and the
answer before it.

Contexts come in random order, so neither can tell a judge anything; what is left of them in the
answers is the judge's own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.records import Estimate, Verdict
from gloss.statistics.intervals import NORMAL_QUANTILE

BIASES = ("yes_by_position", "errors_by_position", "copying")
# standard errors: of 1,000 judges without a bias, ten are suspected of one all the same
SURE = 2.5758293035489004
# of products, of squares, and the variance of the former
RegressionSums = tuple[float, float, float]
FEWEST = 3  # answered contexts, or a score says nothing


@dataclass(frozen=True, eq=False)
class OrderedAnswers:
    """The answers of one score in the order in which they were given."""

    question: Int64[ndarray, " item"]
    position: Int64[ndarray, " item"]
    yes: Float64[ndarray, " item"]
    truth: Bool[ndarray, " item"]

    @cached_property
    def along_request(self) -> Float64[ndarray, " item"]:
        """How far along its request each stands, from 0 to 1, less the mean of its side."""
        sizes = np.bincount(self.question, minlength=self.question.max() + 1)[self.question]
        return centre_by_side(
            np.where(sizes > 1, self.position / np.maximum(sizes - 1, 1), 0.0), self.truth
        )

    @cached_property
    def residuals(self) -> Float64[ndarray, " item"]:
        """What is left of the answers when the mean of each side is taken out."""
        return centre_by_side(self.yes, self.truth)

    @property
    def correction(self) -> float:
        """By how much squares of what is left fall short, because two means were taken out."""
        return len(self.yes) / (len(self.yes) - 2)


def measure_position_bias(scores: Iterable[Sequence[Verdict]]) -> dict[str, Estimate]:
    """Each bias over many scores of one judge, as a difference of probabilities with its 95 %
    interval.

    `yes_by_position` is by how much likelier yes is at the end of a request than at its start,
    `errors_by_position` the same of wrong answers, `copying` by how much likelier yes is after a
    yes than after a no. Answers are compared within each score, firing and inactive contexts apart,
    so that neither features nor mixtures enter. A trend along the request that is noticed makes
    neighbours alike, which is no copying, and is taken out. Missing where no request holds two
    contexts.
    """
    return bias_of_answers(
        [found for verdicts in scores if (found := order_answers(verdicts)) is not None]
    )


def bias_of_answers(given: Sequence[OrderedAnswers]) -> dict[str, Estimate]:
    """The same of answers in their order, a score each."""
    lean = robust_slope(*add_regression_sums(position_sums(one, one.residuals) for one in given))
    errors = robust_slope(
        *add_regression_sums(
            position_sums(one, np.where(one.truth, -one.residuals, one.residuals)) for one in given
        )
    )
    taken_out = lean.value if is_noticeable(lean) else 0.0
    return dict(
        zip(
            BIASES,
            (
                lean,
                errors,
                robust_slope(*add_regression_sums(copying_sums(one, taken_out) for one in given)),
            ),
            strict=True,
        )
    )


def order_answers(verdicts: Sequence[Verdict]) -> OrderedAnswers | None:
    """The answered verdicts of one score; None where there are too few."""
    seen = [
        verdict
        for verdict in verdicts
        if verdict.answer is not None and verdict.position is not None
    ]
    if len(seen) < FEWEST:
        return None
    question, position, yes, truth = (
        np.array([getattr(verdict, name) for verdict in seen])
        for name in ("question", "position", "answer", "truth")
    )
    return OrderedAnswers(question, position, yes.astype(np.float64), truth)


def robust_slope(product: float, square: float, variance: float) -> Estimate:
    """A regression's slope, with the interval of its robust standard error."""
    if square == 0:
        return Estimate.missing()
    value, reach = product / square, NORMAL_QUANTILE * math.sqrt(variance) / square
    return Estimate(value, value - reach, value + reach)


def is_noticeable(bias: Estimate) -> bool:
    """Whether this can hardly be chance: the 99 % interval leaves 0 out."""
    return abs(bias.value) * NORMAL_QUANTILE > SURE * (bias.high - bias.value) > 0


def add_regression_sums(sums: Iterable[RegressionSums]) -> RegressionSums:
    """The sums of all scores."""
    products, squares, variances = np.array([(0.0, 0.0, 0.0), *sums]).sum(axis=0).tolist()
    return products, squares, variances


def position_sums(given: OrderedAnswers, left: Float64[ndarray, " item"]) -> RegressionSums:
    """The sums for what is left against the position in the request."""
    products = left * given.along_request
    return (
        float(products.sum()),
        float(given.along_request @ given.along_request),
        given.correction * float((products**2).sum()),
    )


def copying_sums(given: OrderedAnswers, lean: float) -> RegressionSums:
    """The sums for what is left of each answer against the answer before it.

    Where all that is left adds up to 0, what follows a yes is a little less than its share; that is
    put back.
    """
    left, yes = given.residuals - lean * given.along_request, given.yes - given.yes.mean()
    follows: Bool[ndarray, " pair"] = (np.diff(given.question) == 0) & (
        np.diff(given.position) == 1
    )
    products, items = (left[1:] * yes[:-1])[follows], len(left)
    owed = len(products) * float(left @ yes) / (items * (items - 1))
    return (
        float(products.sum()) + owed,
        float((yes[:-1][follows] ** 2).sum()),
        given.correction * float((products**2).sum()),
    )


def centre_by_side(
    values: Float64[ndarray, " item"], truth: Bool[ndarray, " item"]
) -> Float64[ndarray, " item"]:
    """Less their mean, firing and inactive contexts apart."""
    means = [
        values[truth == side].mean() if (truth == side).any() else 0.0 for side in (True, False)
    ]
    return values - np.where(truth, *means)
