"""What was measured of a whole dictionary."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gloss.records.scores import Estimate


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One number of a dictionary.

    Its interval is missing where the number is no sample's: a share of all features, say.

        >>> EvaluationRow.exact("dead_share", 0.25, 2048, "features").estimate.value
        0.25
    """

    name: str  # what was computed, such as "accuracy_of_5"
    estimate: Estimate  # with its 95 % interval
    n: int
    unit: str  # of n: "tokens", "texts", "features"
    of: str = ""  # what it is about, where that is not the whole: a labelled set's name
    note: str = ""  # what must be known to read it

    @staticmethod
    def exact(
        name: str, value: float, n: int, unit: str, of: str = "", note: str = ""
    ) -> "EvaluationRow":
        """A number without an interval."""
        return EvaluationRow(name, Estimate(value, math.nan, math.nan), n, unit, of, note)


@dataclass(frozen=True, slots=True)
class EvaluationFailure:
    """What could not be measured, and why."""

    of: str  # a labelled set, a feature; nothing where it is all of it
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one measure says of one dictionary.

    >>> row = EvaluationRow("l0", Estimate(16.0, 15.5, 16.5), 4096, "tokens")
    >>> found = Evaluation("core", (row,))
    >>> found.value("l0"), Evaluation.from_plain(found.plain()) == found
    (16.0, True)
    """

    measure: str
    rows: tuple[EvaluationRow, ...]
    failures: tuple[EvaluationFailure, ...] = ()
    # what else others may want of it, as plain values: not shown, but kept
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def value(self, name: str, of: str = "") -> float:
        """The number of a name; not a number where there is none."""
        found = (row.estimate.value for row in self.rows if (row.name, row.of) == (name, of))
        return next(found, math.nan)

    def plain(self) -> dict[str, Any]:
        """As plain values, for a file."""
        return asdict(self)

    @staticmethod
    def from_plain(kept: Mapping[str, Any]) -> "Evaluation":
        """What `plain` gave, also where a file had null for what is not a number.

        Raises KeyError and TypeError for anything else.
        """
        rows: list[EvaluationRow] = []
        for row in map(dict[str, Any], kept["rows"]):
            ends = row.pop("estimate")
            estimate = Estimate(*(_read_number(ends[end]) for end in ("value", "low", "high")))
            rows.append(EvaluationRow(estimate=estimate, **row))
        failures = tuple(EvaluationFailure(**each) for each in kept["failures"])
        return Evaluation(kept["measure"], tuple(rows), failures, kept["details"])


def _read_number(kept: float | None) -> float:
    """A number of a file, in which null stands for what is none."""
    return math.nan if kept is None else kept
