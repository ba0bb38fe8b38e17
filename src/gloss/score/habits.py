"""What a judge's answers depend on besides the context: its place in the request, and the answer before it.

Contexts come in random order, so neither can tell a judge anything; what is left of them in the answers is the judge's own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.records import Estimate, Verdict
from gloss.score.intervals import NORMAL_QUANTILE

HABITS = ("yes_by_place", "errors_by_place", "copying")
SURE = 2.5758293035489004  # standard errors: of 1,000 judges without a habit, ten are suspected of one all the same
Sums = tuple[float, float, float]  # of products, of squares, and the variance of the former
FEWEST = 3  # answered contexts, or a score says nothing


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one score in the order in which they were given."""

    question: Int64[ndarray, " item"]
    place: Int64[ndarray, " item"]
    yes: Float64[ndarray, " item"]
    truth: Bool[ndarray, " item"]

    @property
    def along(self) -> Float64[ndarray, " item"]:
        """How far along its request each stands, from 0 to 1, less the mean of its side."""
        sizes = np.bincount(self.question, minlength=self.question.max() + 1)[self.question]
        return centred(np.where(sizes > 1, self.place / np.maximum(sizes - 1, 1), 0.0), self.truth)

    @property
    def left(self) -> Float64[ndarray, " item"]:
        """What is left of the answers when the mean of each side is taken out."""
        return centred(self.yes, self.truth)

    @property
    def grown(self) -> float:
        """By how much squares of what is left fall short, because two means were taken out."""
        return len(self.yes) / (len(self.yes) - 2)


def habits(scores: Iterable[Sequence[Verdict]]) -> dict[str, Estimate]:
    """Each habit over many scores of one judge, as a difference of probabilities with its 95 % interval.

    `yes_by_place` is by how much likelier yes is at the end of a request than at its start, `errors_by_place` the same of wrong
    answers, `copying` by how much likelier yes is after a yes than after a no. Answers are compared within each score, firing
    and silent contexts apart, so that neither features nor mixtures enter. A trend along the request that is noticed makes
    neighbours alike, which is no copying, and is taken out. Missing where no request holds two contexts.
    """
    given = [found for verdicts in scores if (found := answers(verdicts)) is not None]
    lean = slope(*summed(trend(one, one.left) for one in given))
    errors = slope(*summed(trend(one, np.where(one.truth, -one.left, one.left)) for one in given))
    taken_out = lean.value if noticed(lean) else 0.0
    return dict(zip(HABITS, (lean, errors, slope(*summed(copied(one, taken_out) for one in given))), strict=True))


def answers(verdicts: Sequence[Verdict]) -> Answers | None:
    """The answered verdicts of one score; None where there are too few."""
    seen = [verdict for verdict in verdicts if verdict.answer is not None and verdict.place is not None]
    if len(seen) < FEWEST:
        return None
    question, place, yes, truth = (
        np.array([getattr(verdict, name) for verdict in seen]) for name in ("question", "place", "answer", "truth")
    )
    return Answers(question, place, yes.astype(np.float64), truth)


def slope(product: float, square: float, variance: float) -> Estimate:
    """A regression's slope, with the interval of its robust standard error."""
    if square == 0:
        return Estimate.missing()
    value, reach = product / square, NORMAL_QUANTILE * math.sqrt(variance) / square
    return Estimate(value, value - reach, value + reach)


def noticed(habit: Estimate) -> bool:
    """Whether this can hardly be chance: the 99 % interval leaves 0 out."""
    return abs(habit.value) * NORMAL_QUANTILE > SURE * (habit.high - habit.value) > 0


def summed(sums: Iterable[Sums]) -> Sums:
    """The sums of all scores."""
    products, squares, variances = np.array([(0.0, 0.0, 0.0), *sums]).sum(axis=0).tolist()
    return products, squares, variances


def trend(given: Answers, left: Float64[ndarray, " item"]) -> Sums:
    """The sums for what is left against the place in the request."""
    products = left * given.along
    return float(products.sum()), float(given.along @ given.along), given.grown * float((products**2).sum())


def copied(given: Answers, lean: float) -> Sums:
    """The sums for what is left of each answer against the answer before it.

    Where all that is left adds up to 0, what follows a yes is a little less than its share; that is put back.
    """
    left, yes = given.left - lean * given.along, given.yes - given.yes.mean()
    follows: Bool[ndarray, " pair"] = (np.diff(given.question) == 0) & (np.diff(given.place) == 1)
    products, items = (left[1:] * yes[:-1])[follows], len(left)
    owed = len(products) * float(left @ yes) / (items * (items - 1))
    return float(products.sum()) + owed, float((yes[:-1][follows] ** 2).sum()), given.grown * float((products**2).sum())


def centred(values: Float64[ndarray, " item"], truth: Bool[ndarray, " item"]) -> Float64[ndarray, " item"]:
    """Less their mean, firing and silent contexts apart."""
    means = [values[truth == side].mean() if (truth == side).any() else 0.0 for side in (True, False)]
    return values - np.where(truth, *means)
