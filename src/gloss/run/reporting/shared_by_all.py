"""Which features several dictionaries all have: universality over seeds, layers or models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.decompose.feature_matching import SHARED_COSINE
from gloss.pages.report_sections import Cell, Grid, Matrix, Section
from gloss.records import Estimate
from gloss.run.alignment import COACTIVATION, WEIGHTS, Alignment, ComparedPair, Side, short_names
from gloss.statistics.intervals import wilson_interval

FEWEST = 3  # dictionaries, or else a pair says it all


@dataclass(frozen=True, eq=False)
class Universality:
    """Of one dictionary's features, in how many of the others each has a partner."""

    way: str
    name: str
    others: int
    in_others: Int64[ndarray, " feature"]  # how many others have it
    agreed: int  # features that all have, and whose partners are each other's partners, too
    by_chance: float | None  # the share that all have where the others are random; None: not drawn

    def share(self, least: int, most: int) -> Estimate:
        """Of the features, those that are in at least and at most so many others."""
        inside = (self.in_others >= least) & (self.in_others <= most)
        return wilson_interval(int(inside.sum()), len(self.in_others))


def universality(pairs: Sequence[ComparedPair], way: str) -> list[Universality]:
    """Of each dictionary the share that all have, by partners of one way; nothing where some pair
    was not compared in it, or there are few dictionaries.
    """
    sides = sides_of(pairs)
    found = {
        (pair.left.name, pair.right.name): one
        for pair in pairs
        for one in pair.alignments
        if one.way == way
    }
    if len(sides) < FEWEST or len(found) < len(pairs):
        return []
    partners = {names: shared_partners(one) for names, one in found.items()}
    partners |= {
        (right, left): {other: own for own, other in those.items()}
        for (left, right), those in partners.items()
    }
    return [universality_of(side, sides, partners, found, way) for side in sides]


def sides_of(pairs: Sequence[ComparedPair]) -> list[Side]:
    """The dictionaries that are compared, in the order in which they were given."""
    return list({side.name: side for pair in pairs for side in (pair.left, pair.right)}.values())


def shared_partners(found: Alignment) -> dict[int, int]:
    near = found.agreed >= SHARED_COSINE
    return dict(zip(found.left[near].tolist(), found.right[near].tolist(), strict=True))


def universality_of(
    side: Side,
    sides: Sequence[Side],
    partners: Mapping[tuple[str, str], Mapping[int, int]],
    found: Mapping[tuple[str, str], Alignment],
    way: str,
) -> Universality:
    others = [other.name for other in sides if other is not side]
    features = side.run.live if way == COACTIVATION else np.arange(len(side.directions))
    its = [partners[side.name, other] for other in others]
    in_others = np.array([sum(f in those for those in its) for f in features.tolist()], np.int64)
    agreed = sum(
        all(
            partners[one, other].get(partners[side.name, one][feature])
            == partners[side.name, other][feature]
            for one, other in combinations(others, 2)
        )
        for feature in features[in_others == len(others)].tolist()
    )
    drawn = [found[side.name, other] for other in others if (side.name, other) in found]
    by_chance = None
    if len(drawn) == len(others):
        near = [set(one.left_by_chance[one.agreed_by_chance >= SHARED_COSINE]) for one in drawn]
        by_chance = len(set.intersection(*near)) / max(1, len(features))
    return Universality(way, side.name, len(others), in_others, agreed, by_chance)


def universality_section(pairs: Sequence[ComparedPair]) -> Section | None:
    """The share of each dictionary's features that all others have, and how much each two share;
    None for fewer than three dictionaries.
    """
    rows: list[tuple[Cell, ...]] = []
    names = [side.name for side in sides_of(pairs)]
    short = dict(zip(names, short_names(names), strict=True))
    for way in (WEIGHTS, COACTIVATION):
        for each in universality(pairs, way):
            number = len(each.in_others)
            rows.append(
                (
                    short[each.name],
                    way,
                    each.share(0, 0),
                    each.share(1, each.others - 1),
                    each.share(each.others, each.others),
                    wilson_interval(each.agreed, number),
                    "–" if each.by_chance is None else f"{each.by_chance:.3f}",
                    f"{number:,}",
                )
            )
    if not rows:
        return None
    lead = (
        f"Of the features of each dictionary, the share with a partner of closeness {SHARED_COSINE}"
        " or more in the others. Agreed: in all of them, and their partners are each other’s"
        " partners, too. By chance: the share that is in all where the others’ features are random."
        " Intervals are over features."
    )
    columns = (
        *("dictionary", "by", "in no other", "in some", "in all", "agreed", "by chance"),
        "features",
    )
    blocks = (Grid(columns, tuple(rows)), *filter(None, [shared_matrix(pairs)]))
    return Section("Found in all of them", lead, blocks, brief=True)


def shared_matrix(pairs: Sequence[ComparedPair]) -> Matrix | None:
    """How much each two dictionaries share, layer by layer: by weights above the diagonal, by
    co-activation below it.
    """
    names = tuple(side.name for side in sides_of(pairs))
    place = {name: number for number, name in enumerate(names)}
    cells: list[list[Estimate | str]] = [["" for _ in names] for _ in names]
    for pair in pairs:
        one, other = place[pair.left.name], place[pair.right.name]
        for found in pair.alignments:
            if found.way == WEIGHTS:
                cells[one][other] = found.share(SHARED_COSINE)
            if found.way == COACTIVATION:
                cells[other][one] = found.share(SHARED_COSINE)
    return Matrix(
        short_names(names),
        tuple(map(tuple, cells)),
        f"share of features with a partner of closeness {SHARED_COSINE} or more: above the diagonal"
        " by weights, below it by co-activation",
    )


def universality_records(pairs: Sequence[ComparedPair]) -> list[dict[str, Any]]:
    """The same as plain values, feature by feature."""
    return [
        {
            "by": each.way,
            "dictionary": each.name,
            "others": each.others,
            "in_others": each.in_others.tolist(),
            "agreed": each.agreed,
            "by_chance": each.by_chance,
        }
        for way in (WEIGHTS, COACTIVATION)
        for each in universality(pairs, way)
    ]
