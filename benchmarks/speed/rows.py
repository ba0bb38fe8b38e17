"""Rows of what was measured, the same for every benchmark here: printed, and as JSON."""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """What something took, and how that stands to what it is compared with in the same run."""

    name: str
    value: float  # the median
    unit: str
    ratio: float | None = None  # the median over the rounds
    of: str = ""  # what it is compared with
    least: float | None = None  # ratios of rounds
    most: float | None = None
    n: int = 1  # rounds

    def __str__(self) -> str:
        shown = f"{self.name:<46} {self.value:>12,.4g} {self.unit}"
        if self.ratio is None:
            return shown
        spread = f" ({self.least:.3g} to {self.most:.3g})" if self.n > 1 else ""
        return f"{shown}; {self.ratio:.3g}{spread} of {self.of}"


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that all have."""
    parser.add_argument("--json", type=Path, help="a file for the rows, too")


def report(rows: Sequence[Row], file: Path | None = None) -> None:
    """Print rows, and write them to a file, where one is given."""
    for row in rows:
        print(row, flush=True)
    if file:
        told = {"load": os.getloadavg()[0], "rows": [asdict(row) for row in rows]}
        file.write_text(json.dumps(told, indent=1) + "\n")


def take_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of processor time of each way in each round, after one that does not count; each
    round's order is another.
    """
    names, taken = list(ways), {name: list[float]() for name in ways}
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            begun = time.process_time()
            ways[name]()
            if turn:
                taken[name].append(time.process_time() - begun)
    return taken


def compared(
    name: str, taken: Mapping[str, Sequence[float]], of: str, scale: float, unit: str
) -> Row:
    """The median of a way's times, and its ratios to another's of the same rounds."""
    ratios = [own / other for own, other in zip(taken[name], taken[of], strict=True)]
    value, middle = statistics.median(taken[name]) * scale, statistics.median(ratios)
    return Row(name, value, unit, middle, of, min(ratios), max(ratios), len(ratios))
