"""Scores, their estimates and the verdicts that they come from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Real

from gloss.records.features import FeatureId, Reason


class Control(StrEnum):
    """What the explanation or the edit was exchanged for, so that chance can be seen.

    A sound score falls to chance under every control.
    """

    NONE = "none"
    RANDOM_EXPLANATION = "random_explanation"  # the explanation of another feature, drawn at random
    # a permutation: each explanation serves exactly one other feature
    SHUFFLED_EXPLANATION = "shuffled_explanation"
    RANDOM_DIRECTION = "random_direction"  # an edit along a random direction, at the same KL


INTERVAL = 2 * 1.959963984540054  # standard errors that a 95 % interval is wide


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; where it could not be had, all three are not a number.

    Raises TypeError for what is no number.

        >>> Estimate(0.8, 0.7, 0.9).low
        0.7
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(isinstance(number, Real) for number in (self.value, self.low, self.high)):
            raise TypeError(
                f"an estimate is three numbers, got {self.value!r}, {self.low!r} and {self.high!r}"
            )

    @property
    def standard_error(self) -> float:
        """What an interval of this width would be of, if it were a normal distribution's.

        >>> round(Estimate(0.8, 0.7, 0.9).standard_error, 3)
        0.051
        """
        return (self.high - self.low) / INTERVAL

    @staticmethod
    def missing() -> "Estimate":
        """The estimate of what could not be had.

        >>> Estimate.missing()
        Estimate(value=nan, low=nan, high=nan)
        """
        return Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge, or the subject itself, said of one context.

    Where no answer came, the verdict holds the reason. Raises ValueError unless there is either an
    answer or a reason.

        >>> Verdict(context=120, truth=True, answer=None, reason=Reason.UNPARSABLE).answer is None
        True
    """

    # global index of the context's first position; of a text that is not the corpus's, its number
    context: int
    truth: bool
    answer: bool | None
    reason: Reason | None = None
    probability: float | None = None  # that the answer is yes, where the judge gives one
    question: int | None = None  # the request that asked, counted from 0 in each score
    position: int | None = None  # in that request, from 0

    def __post_init__(self) -> None:
        if (self.answer is None) == (self.reason is None):
            raise ValueError(
                f"a verdict has an answer or a reason, got answer={self.answer} and"
                f" reason={self.reason}"
            )


@dataclass(frozen=True, slots=True, repr=False)
class Score:
    """How well an explanation predicts its feature, by one scorer.

    Raises ValueError where the headline is not among the estimates, or more items failed than were
    judged.

        >>> found = gloss.score(feature)
        >>> f1 = found.estimates[found.headline]
        >>> found.method, f1.low <= f1.value <= f1.high, found.failed
        ('execution', True, 0)
    """

    feature: FeatureId
    method: str  # of the scorer
    explained_by: str  # the explainer's method
    n: int  # items judged, failed ones included
    failed: int
    estimates: Mapping[str, Estimate]  # by name of metric: "balanced_accuracy", "f1", ...
    headline: str  # the metric to show first
    control: Control = Control.NONE
    verdicts: tuple[Verdict, ...] = ()
    spared: int = 0  # requests that were not needed, because the interval was narrow enough without

    def __post_init__(self) -> None:
        if self.headline not in self.estimates:
            raise ValueError(
                f"{self.method}: headline {self.headline!r} is not among the estimates"
                f" {sorted(self.estimates)}"
            )
        if not 0 <= self.failed <= self.n:
            raise ValueError(f"{self.method}: {self.failed} failed of {self.n}")

    def __repr__(self) -> str:
        first = self.estimates[self.headline]
        return (
            f"<score of {self.feature}, explained by {self.explained_by}: {self.method}"
            f" {self.headline} {first.value:.3f} ({first.low:.3f} to {first.high:.3f}),"
            f" n = {self.n:,}, {self.failed} failed, control {self.control}>"
        )
