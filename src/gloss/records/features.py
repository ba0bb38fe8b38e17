"""Features, their activations and neighbours, and why one has no value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from numpy import ndarray


class Reason(StrEnum):
    """Why something has no value.

    A failure is a state with a reason, never a number or a default.
    """

    TOO_FEW_EXAMPLES = "too_few_examples"
    NO_RULE_FOUND = "no_rule_found"
    UNPARSABLE = "unparsable"
    REFUSED = "refused"
    REQUEST_ERROR = "request_error"
    NOT_APPLICABLE = "not_applicable"
    UNREACHABLE = "unreachable"
    NO_EFFECT = "no_effect"
    NOBODY_KNOWS = "nobody_knows"  # explanations were tried, and none holds
    ERROR = "error"  # an exception, of which the traceback is in the run's log
    # a text that was written before, or that quotes what it was to be written from
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True, order=True)
class FeatureId:
    """One feature: the name of its dictionary in the run, and its index there.

    >>> str(FeatureId("mine", 7))
    'mine/7'
    """

    dictionary: str
    index: int

    def __str__(self) -> str:
        return f"{self.dictionary}/{self.index}"


@dataclass(frozen=True, slots=True)
class FeatureActivations:
    """Every position at which one feature is active, and its value there.

    Positions are global token indices, ascending; no value is 0. `len` is the number of both.

        >>> fires = feature.evidence.activations
        >>> fires.positions.shape == fires.values.shape == (len(fires),)
        True
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
    """A feature that a stage could not treat, and why.

    Methods give it in place of their result, and runs keep it in the table `failures`.

        >>> said = gloss.Failure(FeatureId("mine", 7), "explain", Reason.NO_RULE_FOUND, "too rare")
        >>> said.reason.value, said.detail
        ('no_rule_found', 'too rare')
    """

    feature: FeatureId
    stage: str
    reason: Reason
    detail: str
    explained_by: str = ""  # the explainer's method, where an explanation could not be scored
