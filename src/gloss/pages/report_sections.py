"""What a report is made of: sections of facts, tables and distributions."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float64
from numpy import ndarray

from gloss.records import Estimate


@dataclass(frozen=True, slots=True)
class Link:
    """A text that leads to another page."""

    text: str
    target: str  # relative to the report; empty where there is no page


Cell = str | Estimate | Link


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are."""

    kind: ClassVar[str] = "facts"
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Its estimates are drawn on one scale from 0 to 1, or from -1 where one, or its interval, lies
    below 0.
    """

    kind: ClassVar[str] = "grid"
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if wrong := [row for row in self.rows if len(row) != len(self.columns)]:
            raise ValueError(
                f"a table of {len(self.columns)} columns was given a row of {len(wrong[0])}:"
                f" {wrong[0]}"
            )


@dataclass(frozen=True, slots=True)
class DistributionLine:
    """One score of many features, under one condition."""

    label: str
    values: Float64[ndarray, " feature"]
    median: Estimate
    control: bool = False  # drawn in grey


@dataclass(frozen=True, slots=True)
class Distributions:
    """A score's distribution over features under each condition, on one scale."""

    kind: ClassVar[str] = "distributions"
    title: str
    lines: tuple[DistributionLine, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """How each of several things goes together with each other one: a square of correlations.

    Above the diagonal one kind, below it another; what could not be had is a reason.
    """

    kind: ClassVar[str] = "matrix"
    names: tuple[str, ...]
    cells: tuple[tuple[Estimate | str, ...], ...]
    note: str = ""


ReportBlock = Facts | Grid | Distributions | Matrix


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of a report with what stands under it."""

    title: str
    lead: str  # one or two sentences on how to read it
    blocks: tuple[ReportBlock, ...]
    brief: bool = False  # printed on the terminal too


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Everything on the page."""

    title: str
    sentence: str
    sections: tuple[Section, ...]
    doubts: tuple[str, ...] = ()  # what speaks against the run's own judges, before anything else
