"""What became of each feature of one run in another, by where they fire: has it its like there, is
it split, absorbed, or part of a wider one?
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.decompose.coactivation import moved_in_time
from gloss.decompose.firing_overlap import COVERED, INSIDE, MAIN, Divided, Fate, divided
from gloss.errors import BadInput
from gloss.pages.report_sections import Cell, Grid, Section
from gloss.run.alignment import COACTIVATION, ComparedPair, Side, shared_firing, short_names
from gloss.statistics.intervals import wilson_interval

SHOWN = 5  # features of each kind, those that fire most
DRAW = 0  # the seed of what is moved in time, the same for all pairs


@dataclass(frozen=True, eq=False)
class DividedSide:
    """What became of one side's features in the other, and by chance."""

    left: Side
    right: Side
    features: Int64[ndarray, " feature"]
    found: tuple[Divided, ...]
    others: Int64[ndarray, " other"]  # features of the right side, which `found` counts from 0
    by_chance: Counter[Fate]

    def of(self, fate: Fate) -> list[tuple[int, Divided]]:
        """The features of which this became, in the order of their indices."""
        return [
            (int(feature), one)
            for feature, one in zip(self.features, self.found, strict=True)
            if one.fate is fate
        ]

    def names(self, one: Divided) -> list[int]:
        """The features of the other side, as they are called there."""
        return self.others[one.others].tolist()


def divided_sides(pair: ComparedPair) -> tuple[DividedSide, ...]:
    """Both ways; nothing where the runs were not compared by co-activation."""
    if all(found.way != COACTIVATION for found in pair.alignments):
        return ()
    left, right = shared_firing(pair.left, pair.right)
    rng = np.random.default_rng(DRAW)
    ways = ((pair.left, pair.right, left, right), (pair.right, pair.left, right, left))
    return tuple(
        DividedSide(
            one,
            other,
            one.run.live,
            tuple(divided(mine, others)),
            other.run.live,
            Counter(each.fate for each in divided(mine, moved_in_time(others, rng))),
        )
        for one, other, mine, others in ways
    )


def divided_section(sides: Sequence[DividedSide]) -> Section | None:
    """How many features of each side met which fate, and some that were split or absorbed."""
    if not sides:
        return None
    rows: list[tuple[Cell, ...]] = []
    for side in sides:
        number, fates = len(side.features), Counter(one.fate for one in side.found)
        shares = (wilson_interval(fates[fate], number) for fate in Fate)
        rows.append(
            (" in ".join(short_names((side.left.name, side.right.name))), *shares, f"{number:,}")
        )
        chances = (f"{side.by_chance[fate] / max(1, number):.3f}" for fate in Fate)
        rows.append(("by chance", *chances, ""))
    lead = (
        "By where features fire, tokens counting by how strongly. A feature lies inside another"
        f" that fires where {INSIDE:.0%} or more of its activation is. One: a single feature inside"
        f" covers {COVERED:.0%} of it. Absorbed: one inside covers {MAIN:.0%} or more, and others"
        " inside fire at the rest. Split: several inside cover it together, none of them half."
        " Part: a wider one covers it. Chance begins the other’s activations elsewhere in the text."
    )
    columns = ("features of", *map(str, Fate), "features")
    blocks = [Grid(columns, tuple(rows))]
    if shown := [row for side in sides for row in divided_examples(side)]:
        columns = ("feature", "of", "became", "covered", "says")
        blocks.append(Grid(columns, tuple(shown), "those of which the most features came"))
    return Section("Split and absorbed features", lead, tuple(blocks), brief=True)


def divided_examples(side: DividedSide) -> Iterator[tuple[Cell, ...]]:
    """Some of those that were split, or absorbed."""
    for fate in (Fate.SPLIT, Fate.ABSORBED):
        found = sorted(side.of(fate), key=lambda each: -len(each[1].others))
        for feature, one in found[:SHOWN]:
            others = side.names(one)
            shown = ", ".join(map(str, others[:SHOWN])) + (" …" if len(others) > SHOWN else "")
            yield (
                str(feature),
                short_names((side.left.name, side.right.name))[0],
                f"{fate}: {shown}",
                f"{one.covered:.3f}",
                said_of(side.left, feature),
            )


def said_of(side: Side, feature: int) -> str:
    """The explanation of a feature, where there is one."""
    try:
        return side.texts.get(feature, "–")
    except BadInput:
        return "–"


def divided_records(sides: Sequence[DividedSide]) -> list[dict[str, Any]]:
    """The same as plain values, feature by feature."""
    return [
        {
            "left": side.left.name,
            "right": side.right.name,
            "by_chance": {str(fate): side.by_chance[fate] for fate in Fate},
            "features": [
                {
                    "feature": int(feature),
                    "fate": str(one.fate),
                    "others": side.names(one),
                    "covered": one.covered,
                }
                for feature, one in zip(side.features, side.found, strict=True)
            ],
        }
        for side in sides
    ]
