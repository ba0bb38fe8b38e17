"""Kinds of dictionaries beside each other in `gloss evaluate`, by seeds: what the difference of two
kinds is, and whether one may be called better.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from gloss.evaluate.measure import Aims
from gloss.records import Estimate, Evaluation
from gloss.run.progress import out, print_notes
from gloss.statistics.intervals import student_interval, welch_interval
from gloss.store.named_parts import split_part_name

LEAST_SEEDS = 5  # of each kind, before one is called better
ROUNDING = 1e-9  # the share of a number that sums may be off
KIND_NAME = re.compile(r"(?P<kind>[A-Za-z][\w.-]*)=(?P<name>.+)", re.DOTALL)


def split_kind(name: str) -> tuple[str, str]:
    """The kind and the dictionary of KIND=DICTIONARY; no kind where none is named.

    >>> split_kind("topk=runs/demo#seed-1"), split_kind("runs/demo")
    (('topk', 'runs/demo#seed-1'), ('', 'runs/demo'))
    """
    found = KIND_NAME.fullmatch(name)
    if found is None or os.path.exists(split_part_name(name)[0]):  # noqa: PTH110  as there
        return "", name
    return found["kind"], found["name"]


@dataclass(frozen=True)
class KindDifference:
    """A number of two kinds of dictionaries: their means over seeds, and the second less the first.

    Intervals are Student's and Welch's over seeds: they say what other seeds would give on the same
    texts.
    """

    of: str
    name: str
    seeds: tuple[int, int]
    first: Estimate
    second: Estimate
    difference: Estimate
    aim: int  # 1: more is better; -1: less is; 0: neither

    @property
    def apart(self) -> bool:
        """Whether the interval of the difference leaves out 0, by more than rounding."""
        return self.difference.low > self.rounding or self.difference.high < -self.rounding

    @property
    def varies(self) -> bool:
        """Whether seeds differ in it at all: what is the subject's own is the same for all."""
        return self.difference.high - self.difference.low > self.rounding

    @property
    def rounding(self) -> float:
        """What equal numbers may differ by as sums of them are rounded."""
        return ROUNDING * max(abs(self.first.value), abs(self.second.value))

    def verdict(self, first: str, second: str) -> str:
        """Which kind is better, or has more where neither end is better."""
        if min(self.seeds) < LEAST_SEEDS:
            return f"{min(self.seeds)} of {LEAST_SEEDS} seeds have it"
        if not self.apart:
            return "not told apart"
        if self.aim == 0:
            return f"{second if self.difference.value > 0 else first} has more"
        return f"{second if self.difference.value * self.aim > 0 else first} is better"


def kind_differences(
    kinds: Mapping[str, Sequence[Evaluation]], first: str, second: str, aims: Aims
) -> Iterator[KindDifference]:
    """Every number that both kinds have."""
    held = [
        [{(row.of, row.name): row.estimate.value for row in each.rows} for each in kinds[kind]]
        for kind in (first, second)
    ]
    for of, name in dict.fromkeys(place for side in held for each in side for place in each):
        one, other = (
            np.array([x for each in side if np.isfinite(x := each.get((of, name), np.nan))])
            for side in held
        )
        yield KindDifference(
            of,
            name,
            (len(one), len(other)),
            student_interval(one),
            student_interval(other),
            welch_interval(other, one),
            aims.of(name),
        )


def kinds_table(
    measure: str,
    differences: Sequence[KindDifference],
    first: str,
    second: str,
    cell: Callable[[Estimate], str],
) -> Table:
    """A row a number: both means, the difference, and what may be said of it."""
    seeds = [max(each.seeds[side] for each in differences) for side in (0, 1)]
    headers = (
        *(f"{kind}, {n} seeds" for kind, n in zip((first, second), seeds, strict=True)),
        f"{second} less {first}",
    )
    title = Text(f"{measure}: {second} beside {first}, by seeds")
    table = Table("number", *map(escape, headers), Column(no_wrap=True), title=title)
    for of in dict.fromkeys(each.of for each in differences):
        if of:
            table.add_section()
            table.add_row(Text(of, "bold"))
        for each in differences:
            if each.of == of:
                cells = map(cell, (each.first, each.second, each.difference))
                said = Text(each.verdict(first, second))
                table.add_row(Text(each.name.replace("_", " ")), *cells, said)
    return table


def print_kinds(
    measure: str,
    kinds: tuple[str, str],
    differences: Sequence[KindDifference],
    cell: Callable[[Estimate], str],
) -> None:
    """What may be said of two kinds; nothing but the reason where there are too few seeds."""
    seeds = [max((each.seeds[side] for each in differences), default=0) for side in (0, 1)]
    if min(seeds) < LEAST_SEEDS:
        had = " and ".join(f"{n} of {kind}" for n, kind in zip(seeds, kinds, strict=True))
        print_notes(
            f"  {measure}: {had}; before one is called better {LEAST_SEEDS} seeds of each are"
            " wanted"
        )
        return
    out.print(kinds_table(measure, differences, *kinds, cell))
    told = sum(min(each.seeds) >= LEAST_SEEDS and each.varies for each in differences)
    if told > 1:
        print_notes(
            f"  each interval holds in 95 % of cases by itself: of {told} numbers some"
            f" {told / 20:.2g} are told apart by chance"
        )
    if any(each.name == "l0" and each.apart for each in differences):
        print_notes("  L0 differs: more features at a token reconstruct better, of whatever kind")


def plain_difference(each: KindDifference, first: str, second: str) -> dict[str, Any]:
    """As plain values, for a file."""
    return {"kinds": [first, second], **asdict(each), "verdict": each.verdict(first, second)}
