"""What a mean over prompts says of prompts like these: numbers with intervals over the prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gloss.attribute.bases import PlayerSet
from gloss.records import Estimate


@dataclass(frozen=True)
class OverPrompts:
    """Intervals in which the prompts are a sample of those that might have been given.

    Without a number where there is one prompt.
    """

    prompts: int
    right: int | None  # that are answered rightly with everything kept; None where that is unknown
    everybody: Estimate
    nobody: Estimate
    # half the width of what prompts add to the interval of a set's average
    halves: Mapping[PlayerSet, float] = field(default_factory=dict, repr=False)
    lost: Mapping[PlayerSet, Estimate] = field(default_factory=dict, repr=False)
    alone: Mapping[PlayerSet, Estimate] = field(default_factory=dict, repr=False)
