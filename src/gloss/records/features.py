"""Features, their activations and neighbours, and why one has no value."""

from dataclasses import dataclass
from enum import StrEnum

from jaxtyping import Float32, Int64
from numpy import ndarray


class Reason(StrEnum):
    """Why something has no value.

    A failure is a state with a reason, never a number or a substitute.
    """

    TOO_FEW_EXAMPLES = "too_few_examples"
    NO_RULE_FOUND = "no_rule_found"
    UNPARSABLE = "unparsable"
    REFUSED = "refused"
    REQUEST_ERROR = "request_error"
    NOT_APPLICABLE = "not_applicable"
    UNREACHABLE = "unreachable"
    NO_EFFECT = "no_effect"
    ERROR = "error"  # an exception, of which the traceback is in the run's log
    # a text that was written before, or that quotes what it was to be written from
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True, order=True)
class FeatureId:
    """One feature: the dictionary's name in the run, and the feature's index in it."""

    dictionary: str
    index: int

    def __str__(self) -> str:
        return f"{self.dictionary}/{self.index}"


@dataclass(frozen=True, slots=True)
class FeatureActivations:
    """Every position at which one feature is active, and its value there.

    Positions are sorted global token indices; no value is 0.
    """

    positions: Int64[ndarray, " nonzero"]
    values: Float32[ndarray, " nonzero"]

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A feature that is near another, how near, and where it fires."""

    feature: FeatureId
    # the cosine of their directions, or the Jaccard index of the tokens at which they fire
    closeness: float
    activations: FeatureActivations


@dataclass(frozen=True, slots=True)
class Failure:
    """A feature that a stage could not treat, and why."""

    feature: FeatureId
    stage: str
    reason: Reason
    detail: str
    explained_by: str = ""  # the explainer's method, where an explanation could not be scored
