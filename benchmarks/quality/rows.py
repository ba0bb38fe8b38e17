"""What an experiment with a known answer found: a row for each fact, and the table of all rows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from gloss.records import Estimate


@dataclass(frozen=True)
class Row:
    """One fact: what is known, what was measured with its 95 % interval, and whether they agree.

    An interval that cannot be had is not a number at both ends.
    """

    experiment: str
    known: str
    measured: float
    low: float
    high: float
    passed: bool

    @staticmethod
    def of(experiment: str, known: str, estimate: Estimate, passed: bool) -> "Row":
        """The row of an estimate."""
        return Row(experiment, known, estimate.value, estimate.low, estimate.high, passed)

    @staticmethod
    def exact(experiment: str, known: str, measured: float, passed: bool) -> "Row":
        """The row of a number that was counted over everything there is, and has no interval."""
        return Row(experiment, known, measured, math.nan, math.nan, passed)

    @property
    def interval(self) -> str:
        """As the table shows it."""
        return "" if math.isnan(self.low) else f"{told(self.low)} to {told(self.high)}"


def told(number: float) -> str:
    """A number with three decimals, or four digits where it is small."""
    return f"{number:.3f}" if number == 0 or abs(number) >= 0.01 else f"{number:.2e}"


def print_table(rows: Iterable[Row]) -> None:
    """Print all rows, those of one experiment together."""
    table = Table()
    for heading in ("experiment", "known answer", "measured", "95 % interval", "pass"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        verdict = "yes" if row.passed else "[bold red]NO[/bold red]"
        table.add_row(row.experiment, row.known, told(row.measured), row.interval, verdict)
    Console().print(table)


def markdown(rows: Iterable[Row]) -> str:
    """The same table for a page of the docs."""
    lines = [
        "| experiment | known answer | measured | 95 % interval | pass |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            row.experiment,
            row.known,
            told(row.measured),
            row.interval,
            "yes" if row.passed else "**no**",
        )
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)
