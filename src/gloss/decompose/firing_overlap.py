"""How two dictionaries divide the same tokens: a feature of one has its like in the other, or is
split there among several, or has lost tokens to a narrower one, or is part of a wider one.

Splitting as in Bricken et al. (2023, "Towards monosemanticity"), absorption after Chanin et al.
(2024, arXiv 2409.14507), told here by where features fire alone, so that it needs no labels and no
common basis.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from scipy.sparse import csc_matrix, csr_matrix

from gloss.decompose.coactivation import ROWS_AT_ONCE

INSIDE = 0.7  # share of a feature's activation where another fires, from which on it lies inside it
COVERED = 0.7  # the same of the other, from which on those that lie inside cover it
MAIN = 0.5  # the share that the main part covers, so that it is no even split


class Fate(StrEnum):
    """What is in the other dictionary where a feature fires."""

    ONE = "one"  # one feature that lies inside it and covers it
    ABSORBED = "absorbed"  # one that covers most of it; others inside it fire at the rest
    SPLIT = "split"  # several that lie inside it and cover it together; none covers half
    PART = "part"  # one that covers it and fires elsewhere, too
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Divided:
    """What became of one feature: which others, those that cover most of it first, and the share
    of its activation, summed over tokens, that lies where they fire.
    """

    fate: Fate
    others: Int64[ndarray, " other"]
    covered: float


def divided(left: csc_matrix, right: csc_matrix) -> Iterator[Divided]:
    """What became of each feature of the left side, which holds a column for each and a row for
    each token, as the right one does.

    Tokens count by how strongly features fire there, so that traces of activation do not hide what
    two features share.

    >>> whole, thirds = csc_matrix(np.ones((3, 1))), csc_matrix(np.eye(3))
    >>> [str(each.fate) for each in divided(whole, thirds)]
    ['split']
    >>> [str(each.fate) for each in divided(thirds, whole)]
    ['part', 'part', 'part']
    """
    mine, others = (abs(csc_matrix(side, dtype=np.float64)) for side in (left, right))
    fires, others_fire = ((side != 0).astype(np.float64) for side in (mine, others))
    sums, other_sums = (np.asarray(side.sum(axis=0)).ravel() for side in (mine, others))
    for begin in range(0, len(sums), ROWS_AT_ONCE):
        some = slice(begin, begin + ROWS_AT_ONCE)
        covers = sorted_product(mine[:, some], others_fire)
        inside = sorted_product(fires[:, some], others)  # of the same pairs
        for row, (start, end) in enumerate(zip(covers.indptr[:-1], covers.indptr[1:], strict=True)):
            order = start + np.argsort(covers.data[start:end], kind="stable")[::-1]
            columns = covers.indices[order].astype(np.int64)
            share = covers.data[order] / sums[begin + row] if len(order) else np.empty(0)
            lies_inside = inside.data[order] >= INSIDE * other_sums[columns]
            yield fate_of(begin + row, mine, others_fire, Those(columns, share, lies_inside))


def sorted_product(features: csc_matrix, others: csc_matrix) -> csr_matrix:
    """A row for each feature and a column for each other, in order."""
    found = csr_matrix(features.T @ others)
    found.sort_indices()
    return found


@dataclass(frozen=True, slots=True)
class Those:
    """Others that fire where a feature does: the share of it that each covers, which falls, and
    whether it lies inside.
    """

    columns: Int64[ndarray, " other"]
    covers: Float64[ndarray, " other"]
    inside: Bool[ndarray, " other"]


def fate_of(feature: int, mine: csc_matrix, others: csc_matrix, those: Those) -> Divided:
    """What became of this feature."""
    if not len(those.columns):
        return Divided(Fate.NONE, those.columns, 0.0)
    parts, shares = those.columns[those.inside], those.covers[those.inside]
    if len(parts) and shares[0] >= COVERED:
        return Divided(Fate.ONE, parts[:1], float(shares[0]))
    if shares.sum() >= COVERED:
        used, covered = covering(feature, mine, others, parts)
        if covered >= COVERED:
            fate = Fate.ABSORBED if shares[0] >= MAIN else Fate.SPLIT
            return Divided(fate, used, covered)
    if those.covers[0] >= COVERED:
        return Divided(Fate.PART, those.columns[:1], float(those.covers[0]))
    return Divided(Fate.NONE, those.columns[:0], float(those.covers[0]))


def covering(
    feature: int, mine: csc_matrix, others: csc_matrix, parts: Int64[ndarray, " part"]
) -> tuple[Int64[ndarray, " used"], float]:
    """Those of the parts that each fire where those before do not, and the share that they cover
    together.
    """
    inside = slice(mine.indptr[feature], mine.indptr[feature + 1])
    tokens, strengths = mine.indices[inside], mine.data[inside]
    found, used = np.zeros(len(tokens), bool), list[int]()
    for part in parts.tolist():
        fires = others.indices[others.indptr[part] : others.indptr[part + 1]]
        here = np.isin(tokens, fires, assume_unique=True)
        if strengths[here & ~found].sum() > (1 - INSIDE) * strengths[here].sum():
            found |= here
            used.append(part)
    return np.array(used, np.int64), float(strengths[found].sum() / strengths.sum())
