"""Screens: which products of literals go with what a fit leaves over, all small ones or those near chosen ones."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, log, sqrt

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

Atom = tuple[int, ...]  # sorted literals, whose product it is
MOST_ROWS = 1000  # masks that a screen of four or five literals looks at
MOST_BYTES = 1 << 28  # of the products that a deep screen holds at once


@dataclass(frozen=True)
class Literals:
    """Columns whose products are sought: ±1 for a player (parities), or 1 or 0 for a kept and a removed one (conjunctions)."""

    rows: Float32[ndarray, "literal mask"]
    players: int
    parity: bool

    @staticmethod
    def parities(masks: Bool[ndarray, "mask player"]) -> "Literals":
        """One literal a player: +1 kept, -1 removed."""
        return Literals(np.ascontiguousarray(masks.T * 2.0 - 1, np.float32), masks.shape[1], parity=True)

    @staticmethod
    def conjunctions(masks: Bool[ndarray, "mask player"]) -> "Literals":
        """Two literals a player: kept, and then removed."""
        kept = masks.T.astype(np.float32)
        return Literals(np.concatenate([kept, 1 - kept]), masks.shape[1], parity=False)

    def __len__(self) -> int:
        return len(self.rows)

    def products(self, atoms: Sequence[Atom]) -> Float32[ndarray, "atom mask"]:
        """Each atom's value at every mask."""
        found = np.empty((len(atoms), self.rows.shape[1]), np.float32)
        by_size: dict[int, list[int]] = {}
        for place, atom in enumerate(atoms):
            by_size.setdefault(len(atom), []).append(place)
        for places in by_size.values():
            literals = np.array([atoms[place] for place in places], np.int64)
            product = self.rows[literals[:, 0]]
            for other in literals.T[1:]:
                product = product * self.rows[other]
            found[places] = product
        return found

    def centred(self, atoms: Sequence[Atom]) -> Float32[ndarray, "atom mask"]:
        """The same less its mean over masks."""
        products = self.products(atoms)
        return products - products.mean(axis=1, keepdims=True)

    def length(self, order: int, masks: int) -> float:
        """The expected norm of a centred atom of `order` literals over uniform masks."""
        share = 1.0 if self.parity else 0.5**order * (1 - 0.5**order)
        return sqrt(masks * share)

    def extended(self, atom: Atom, literal: int) -> Atom | None:
        """The atom times one literal more; a parity loses a literal that it has. None where that changes nothing."""
        if literal in atom:
            return tuple(one for one in atom if one != literal) or None if self.parity else None
        if not self.parity and (literal + self.players) % len(self) in atom:
            return None
        return tuple(sorted((*atom, literal)))


def strongest(scores: Float32[ndarray, "..."], least: float, most: int) -> Int64[ndarray, " found"]:
    """Flat places of the `most` largest scores above `least`."""
    flat = scores.ravel()
    places = np.flatnonzero(flat > least)
    if len(places) > most:
        places = places[np.argpartition(-flat[places], most)[:most]]
    return places


def pairs(literals: Literals, left: Float32[ndarray, " mask"], most: int) -> dict[Atom, float]:
    """The single literals and pairs that go best with what is left, each with its score in standard deviations."""
    masks, deviation = len(left), float(left.std()) or 1.0
    single = np.abs(literals.rows @ left) / (literals.length(1, masks) * deviation)
    found: dict[Atom, float] = {(int(place),): float(single[place]) for place in strongest(single, 2.0, most)}
    both = np.abs((literals.rows * left) @ literals.rows.T) / (literals.length(2, masks) * deviation)
    both = np.triu(both, 1)
    for place in strongest(both, 2.5, most):
        first, second = divmod(int(place), len(both))
        found[first, second] = float(both[first, second])
    return found


def grown(
    literals: Literals, left: Float32[ndarray, " mask"], beam: Sequence[Atom], largest: int, most: int
) -> dict[Atom, float]:
    """What one literal more makes of each atom of the beam, where it goes with what is left."""
    beam = [atom for atom in beam if len(atom) < largest]
    if not beam:
        return {}
    masks, deviation = len(left), float(left.std()) or 1.0
    scores = np.abs((literals.products(beam) * left) @ literals.rows.T) / deviation
    scores /= np.array([literals.length(len(atom) + 1, masks) for atom in beam], np.float32)[:, None]
    found: dict[Atom, float] = {}
    for place in strongest(scores, 2.5, most):
        row, literal = divmod(int(place), scores.shape[1])
        if atom := literals.extended(beam[row], literal):
            found[atom] = float(scores[row, literal])
    return found


def deep(literals: Literals, left: Float32[ndarray, " mask"], order: int) -> dict[Atom, float]:
    """Every set of three to five literals whose score is near what chance gives the best of so many.

    Sets of four or five conjoined literals are looked at where all are kept or all are removed; mixed ones are left to growth.
    """
    rows, left = literals.rows[:, :MOST_ROWS], left[:MOST_ROWS]
    scale = literals.length(order, len(left)) * (float(left.std()) or 1.0)
    least = 0.72 * sqrt(2 * log(looked_at(literals, order))) * scale
    found: dict[Atom, float] = {}
    for first, last in blocks(literals, order):
        for atom, score in block_scores(rows[first:last], left, order, least):
            found[tuple(literal + first for literal in atom)] = score / scale
    return found


def blocks(literals: Literals, order: int) -> list[tuple[int, int]]:
    """Ranges of literals within which a deep screen forms sets."""
    if literals.parity or order == 3:
        return [(0, len(literals))]
    return [(0, literals.players), (literals.players, len(literals))]


def looked_at(literals: Literals, order: int) -> int:
    """How many sets a screen of that order looks at."""
    return sum(comb(last - first, order) for first, last in blocks(literals, order))


def block_scores(
    rows: Float32[ndarray, "literal mask"], left: Float32[ndarray, " mask"], order: int, least: float
) -> Iterator[tuple[Atom, float]]:
    """Sets with scores above `least`: products of one or two literals times products of the two or three that follow."""
    width, head = len(rows), order // 2
    tails = list(combinations(range(width), order - head))
    starts = np.searchsorted([tail[0] for tail in tails], np.arange(width + 1))
    columns = following(rows, order - head)
    for last in range(head - 1, width - order + head):
        heads = [(*front, last) for front in combinations(range(last), head - 1)]
        weighed = rows[:last] * (rows[last] * left) if head == 2 else (rows[last] * left)[None]
        scores = weighed @ columns[starts[last + 1] :].T
        np.abs(scores, out=scores)
        for place in strongest(scores, least, 1000):
            row, column = divmod(int(place), scores.shape[1])
            yield heads[row] + tails[starts[last + 1] + column], float(scores[row, column])


def following(rows: Float32[ndarray, "literal mask"], order: int) -> Float32[ndarray, "atom mask"]:
    """The products of all sets of `order` rows, in the order of `combinations`."""
    if order == 1:
        return rows
    found = np.empty((comb(len(rows), order), rows.shape[1]), np.float32)
    smaller = following(rows, order - 1)
    done = 0
    for first in range(len(rows) - order + 1):
        count = comb(len(rows) - first - 1, order - 1)
        np.multiply(smaller[len(smaller) - count :], rows[first], out=found[done : done + count])
        done += count
    return found


def affordable(literals: Literals, order: int, operations: float) -> bool:
    """Whether a deep screen takes no more multiplications than that, nor too much memory."""
    masks = min(literals.rows.shape[1], MOST_ROWS)
    widest = max(last - first for first, last in blocks(literals, order))
    return looked_at(literals, order) * masks <= operations and comb(widest, order - order // 2) * masks * 4 <= MOST_BYTES


def subsets(atoms: Iterable[Atom]) -> set[Atom]:
    """Every smaller part of them."""
    return {part for atom in atoms for size in range(1, len(atom)) for part in combinations(atom, size)}
