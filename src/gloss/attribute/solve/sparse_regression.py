"""Sparse regression on products of literals: screens propose atoms, a greedy pursuit chooses, least
squares gives weights.

Orthogonal least squares (Chen, Billings & Luo, 1989) over a pool that grows under heredity: parts
of chosen sets, and sets with a literal more. An atom comes in if it gains more than its like would
by chance (risk inflation; Foster & George, 1994).
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb, log, sqrt
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.attribute.bases import PlayerSet, conjunction_coefficients, drop_zero_coefficients

Atom = tuple[int, ...]  # sorted literals, whose product it is
MOST_ROWS = 1000  # masks that a screen of four or five literals looks at
MOST_BYTES = 1 << 28  # of the products that a deep screen holds at once
# Cells of a table of masks by players that a pursuit searches, or by atoms that it holds: beyond
# that it looks at masks spread evenly over all, and weights alone are fitted to all of them.
MOST_CELLS = 1 << 23
MOST_PROPOSED = 1 << 25  # cells of the table of proposals that it chooses from at once
BLOCK_CELLS = 1 << 22  # of what is laid out at once to predict, or to fit weights


@dataclass(frozen=True)
class Literals:
    """Columns whose products are sought: ±1 for a player (parities), or 1 or 0 for a kept and a
    removed one (conjunctions).
    """

    rows: Float32[ndarray, "literal mask"]
    players: int
    parity: bool
    apart: Bool[ndarray, " mask"] | None = None  # masks whose products have a mean of their own

    @staticmethod
    def parities(masks: Bool[ndarray, "mask player"]) -> "Literals":
        """One literal a player: +1 kept, -1 removed."""
        return Literals(
            np.ascontiguousarray(masks.T * 2.0 - 1, np.float32), masks.shape[1], parity=True
        )

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
        for index, atom in enumerate(atoms):
            by_size.setdefault(len(atom), []).append(index)
        for indices in by_size.values():
            literals = np.array([atoms[index] for index in indices], np.int64)
            product = self.rows[literals[:, 0]]
            for other in literals.T[1:]:
                product *= self.rows[other]
            found[indices] = product
        return found

    def centred_products(self, atoms: Sequence[Atom]) -> Float32[ndarray, "atom mask"]:
        """The same less its mean over masks."""
        return self.centre(self.products(atoms))

    def centre(self, rows: Float32[ndarray, "row mask"]) -> Float32[ndarray, "row mask"]:
        """The rows themselves, less their means over masks, of either kind where they are apart."""
        if self.apart is None:
            rows -= rows.mean(axis=1, keepdims=True)
            return rows
        for own in (self.apart, ~self.apart):
            rows[:, own] -= rows[:, own].mean(axis=1, keepdims=True)
        return rows

    def expected_norm(self, order: int, masks: int) -> float:
        """The expected norm of a centred atom of `order` literals over uniform masks."""
        share = 1.0 if self.parity else 0.5**order * (1 - 0.5**order)
        return sqrt(masks * share)

    def extend(self, atom: Atom, literal: int) -> Atom | None:
        """The atom times one literal more; a parity loses a literal that it has.

        None where that changes nothing.
        """
        if literal in atom:
            return tuple(one for one in atom if one != literal) or None if self.parity else None
        if not self.parity and (literal + self.players) % len(self) in atom:
            return None
        return tuple(sorted((*atom, literal)))


def top_score_indices(
    scores: Float32[ndarray, "..."], least: float, most: int
) -> Int64[ndarray, " found"]:
    """Flat indices of the `most` largest scores above `least`."""
    flat = scores.ravel()
    indices = np.flatnonzero(flat > least)
    if len(indices) > most:
        indices = indices[np.argpartition(-flat[indices], most)[:most]]
    return indices


def screen_pairs(
    literals: Literals, left: Float32[ndarray, " mask"], most: int
) -> dict[Atom, float]:
    """The single literals and pairs that go best with what is left, each with its score in standard
    deviations.
    """
    masks, deviation = len(left), float(left.std()) or 1.0
    single = np.abs(literals.rows @ left) / (literals.expected_norm(1, masks) * deviation)
    found: dict[Atom, float] = {
        (int(index),): float(single[index]) for index in top_score_indices(single, 2.0, most)
    }
    both = np.abs(pair_products(literals, left)) / (literals.expected_norm(2, masks) * deviation)
    both = np.triu(both, 1)
    for index in top_score_indices(both, 2.5, most):
        first, second = divmod(int(index), len(both))
        found[first, second] = float(both[first, second])
    return found


def pair_products(
    literals: Literals, left: Float32[ndarray, " mask"]
) -> Float32[ndarray, "literal literal"]:
    """How each pair of literals goes with what is left: the sum of their product times it.

    Of conjunctions those of kept players say all, for a removed one is 1 less the kept one.
    """
    first = literals.rows[: literals.players]
    kept = (first * left) @ first.T
    if literals.parity:
        return kept
    single = first @ left
    mixed = single[:, None] - kept
    removed = float(left.sum()) - single[:, None] - single + kept
    return np.block([[kept, mixed], [mixed.T, removed]])


def screen_extensions(
    literals: Literals,
    left: Float32[ndarray, " mask"],
    beam: Sequence[Atom],
    largest: int,
    most: int,
) -> dict[Atom, float]:
    """What one literal more makes of each atom of the beam, where it goes with what is left."""
    beam = [atom for atom in beam if len(atom) < largest]
    if not beam:
        return {}
    masks, deviation = len(left), float(left.std()) or 1.0
    scores = np.abs((literals.products(beam) * left) @ literals.rows.T) / deviation
    scores /= np.array([literals.expected_norm(len(atom) + 1, masks) for atom in beam], np.float32)[
        :, None
    ]
    found: dict[Atom, float] = {}
    for index in top_score_indices(scores, 2.5, most):
        row, literal = divmod(int(index), scores.shape[1])
        if atom := literals.extend(beam[row], literal):
            found[atom] = float(scores[row, literal])
    return found


def screen_larger_sets(
    literals: Literals, left: Float32[ndarray, " mask"], order: int
) -> dict[Atom, float]:
    """Every set of three to five literals whose score is near what chance gives the best of so
    many.

    Sets of four or five conjoined literals are looked at where all are kept or all are removed;
    mixed ones are left to growth.
    """
    rows, left = literals.rows[:, :MOST_ROWS], left[:MOST_ROWS]
    scale = literals.expected_norm(order, len(left)) * (float(left.std()) or 1.0)
    least = 0.72 * sqrt(2 * log(count_screened_sets(literals, order))) * scale
    found: dict[Atom, float] = {}
    for first, last in literal_ranges(literals, order):
        for atom, score in range_scores(rows[first:last], left, order, least):
            found[tuple(literal + first for literal in atom)] = score / scale
    return found


def literal_ranges(literals: Literals, order: int) -> list[tuple[int, int]]:
    """Ranges of literals within which a deep screen forms sets."""
    if literals.parity or order == 3:
        return [(0, len(literals))]
    return [(0, literals.players), (literals.players, len(literals))]


def count_screened_sets(literals: Literals, order: int) -> int:
    """How many sets a screen of that order looks at."""
    return sum(comb(last - first, order) for first, last in literal_ranges(literals, order))


def range_scores(
    rows: Float32[ndarray, "literal mask"],
    left: Float32[ndarray, " mask"],
    order: int,
    least: float,
) -> Iterator[tuple[Atom, float]]:
    """Sets with scores above `least`: products of one or two literals times products of the two or
    three that follow.
    """
    width, head = len(rows), order // 2
    tails = list(combinations(range(width), order - head))
    starts = np.searchsorted([tail[0] for tail in tails], np.arange(width + 1))
    columns = products_of_all_sets(rows, order - head)
    for last in range(head - 1, width - order + head):
        heads = [(*front, last) for front in combinations(range(last), head - 1)]
        weighed = rows[:last] * (rows[last] * left) if head == 2 else (rows[last] * left)[None]
        scores = weighed @ columns[starts[last + 1] :].T
        np.abs(scores, out=scores)
        for index in top_score_indices(scores, least, 1000):
            row, column = divmod(int(index), scores.shape[1])
            yield heads[row] + tails[starts[last + 1] + column], float(scores[row, column])


def products_of_all_sets(
    rows: Float32[ndarray, "literal mask"], order: int
) -> Float32[ndarray, "atom mask"]:
    """The products of all sets of `order` rows, in the order of `combinations`."""
    if order == 1:
        return rows
    found = np.empty((comb(len(rows), order), rows.shape[1]), np.float32)
    smaller = products_of_all_sets(rows, order - 1)
    done = 0
    for first in range(len(rows) - order + 1):
        count = comb(len(rows) - first - 1, order - 1)
        np.multiply(smaller[len(smaller) - count :], rows[first], out=found[done : done + count])
        done += count
    return found


def is_screen_affordable(literals: Literals, order: int, operations: float) -> bool:
    """Whether a deep screen takes no more multiplications than that, nor too much memory."""
    masks = min(literals.rows.shape[1], MOST_ROWS)
    widest = max(last - first for first, last in literal_ranges(literals, order))
    return (
        count_screened_sets(literals, order) * masks <= operations
        and comb(widest, order - order // 2) * masks * 4 <= MOST_BYTES
    )


def proper_subsets(atoms: Iterable[Atom]) -> set[Atom]:
    """Every smaller part of them."""
    return {
        part for atom in atoms for size in range(1, len(atom)) for part in combinations(atom, size)
    }


BEAM = 128  # atoms that are grown by a literal in each round
POOL = 512  # proposals of each screen
PURSUIT_ROUNDS = 60
EXTRA_PRICE = 1.0  # of the price of an atom, beside what its like would gain by chance
LEAST_GAIN = 6.0  # z² of a chosen atom below which it is let go
ROUNDING_SHARE = 1e-8  # of the values' variance: what rounding leaves over
SCREENED_SHARE = 0.005  # of it: too little to screen larger sets for


class Pursuit:
    """The state of the search: the chosen atoms, an orthonormal basis of them, and the rest."""

    def __init__(
        self, literals: Literals, values: Float64[ndarray, " mask"], largest: int = 5
    ) -> None:
        self.literals = literals
        values = values - values.mean()
        self.values = literals.centre(values.astype(np.float32)[None])[0]
        self.total = float(self.values @ self.values)
        self.largest = largest
        self.most = min(int(len(values) * 0.6), MOST_CELLS // len(values))
        self.depth = 2  # the order up to which every set was screened
        self.screened_share = SCREENED_SHARE
        self.stalled = 0  # how many atoms there were when nothing came in any more
        self.kept: set[Atom] = set()  # what deep screens proposed last
        self.reset([])

    @staticmethod
    def over(
        masks: Bool[ndarray, "mask player"],
        values: Float64[ndarray, " mask"],
        largest: int,
        *,
        parity: bool,
        apart: Bool[ndarray, " mask"] | None = None,
    ) -> "Pursuit":
        """A search over these masks, or over as many of them as it can bear; those `apart` may have
        another mean.
        """
        some = spread_rows(len(masks), MOST_CELLS // masks.shape[1])
        literals = make_literals(masks[some], parity=parity)
        if apart is not None and 0 < apart[some].sum() < len(some):
            literals = replace(literals, apart=apart[some])
        return Pursuit(literals, values[some], largest)

    def reset(self, atoms: list[Atom]) -> None:
        """Start from these atoms."""
        self.atoms: list[Atom] = []
        self.basis = np.empty((self.most, len(self.values)), np.float32)
        self.left = self.values.copy()
        if some := atoms[: self.most]:
            for atom, row in zip(some, self.literals.centred_products(some), strict=True):
                self.add(atom, row)

    @property
    def variance(self) -> float:
        """Of what is left over, a mask."""
        left = max(float(self.left @ self.left), ROUNDING_SHARE * self.total)
        return max(left, 1e-30) / max(1, len(self.values) - len(self.atoms) - 1)

    def add(self, atom: Atom, row: Float32[ndarray, " mask"]) -> Float32[ndarray, " mask"] | None:
        """Take an atom in: its new direction, or None where the chosen ones span it already."""
        size = float(np.linalg.norm(row))
        chosen = self.basis[: len(self.atoms)]
        for _ in range(2):
            row = row - chosen.T @ (chosen @ row)
        length = float(np.linalg.norm(row))
        if length <= 0.05 * size or size == 0:
            return None
        direction = row / length
        self.basis[len(self.atoms)] = direction
        self.atoms.append(atom)
        self.left = self.left - direction * (direction @ self.left)
        return direction

    def proposals(self) -> dict[Atom, int]:
        """Atoms to choose from, each with how many like it were looked at."""
        width = len(self.literals)
        sizes: dict[Atom, int] = {}

        def offer(atoms: Iterable[Atom], among: int) -> None:
            for atom in atoms:
                sizes[atom] = min(among, sizes.get(atom, among))

        first = screen_pairs(self.literals, self.left, POOL)
        offer((atom for atom in first if len(atom) == 1), width)
        offer((atom for atom in first if len(atom) == 2), comb(width, 2))
        for atom in self.kept:
            offer((atom,), count_screened_sets(self.literals, len(atom)))
        ranked = sorted(first, key=lambda atom: -first[atom])[:BEAM]
        offer(
            screen_extensions(self.literals, self.left, ranked, self.largest, POOL),
            max(1, len(ranked)) * comb(width, 2),
        )
        if self.atoms:
            near = screen_extensions(self.literals, self.left, self.atoms, self.largest, POOL)
            offer(near, len(self.atoms) * width)
            parts = proper_subsets(self.atoms)
            offer(parts, max(2, len(parts)))
        for atom in self.atoms:
            sizes.pop(atom, None)
        return sizes

    def forward(self) -> int:
        """Choose from one pool; how many came in."""
        sizes = self.proposals()
        atoms = list(sizes)[: MOST_PROPOSED // len(self.values)]
        if not atoms:
            return 0
        prices = np.array([2 * log(sizes[atom]) + EXTRA_PRICE for atom in atoms], np.float32)
        rows = self.literals.centred_products(atoms)
        gains = rows @ self.left
        norms = np.einsum("am,am->a", rows, rows)
        free = norms - ((rows @ self.basis[: len(self.atoms)].T) ** 2).sum(axis=1)
        free[free <= 0.01 * norms] = np.inf
        most = max(8, len(self.atoms) // 4)
        came = 0
        while came < most and len(self.atoms) < self.most:
            surplus = gains**2 / free / self.variance - prices
            best = int(surplus.argmax())
            if not surplus[best] > 0:
                break
            direction = self.add(atoms[best], rows[best])
            if direction is None:
                free[best] = np.inf
                continue
            along = rows @ direction
            gains = rows @ self.left
            free = free - along**2
            free[free <= 0.01 * norms] = np.inf
            came += 1
        return came

    def prune(self) -> None:
        """Let atoms go whose weight chance could have given."""
        while self.atoms:
            rows = self.literals.centred_products(self.atoms).astype(np.float64)
            inverse = np.linalg.pinv(rows @ rows.T, hermitian=True)
            weights = inverse @ (rows @ self.values)
            gains = weights**2 / np.diag(inverse) / self.variance
            weak = gains < LEAST_GAIN
            if not weak.any():
                return
            worst = set(np.argsort(gains)[: max(1, int(weak.sum()) // 2)].tolist())
            self.reset([atom for index, atom in enumerate(self.atoms) if index not in worst])

    def run(self, operations: float) -> None:
        """Until nothing comes in; then look at larger sets, as far as the operations allow."""
        for _ in range(PURSUIT_ROUNDS):
            if self.forward() and float(self.left @ self.left) > ROUNDING_SHARE * self.total:
                continue
            self.prune()
            if float(self.left @ self.left) < self.screened_share * self.total:
                return
            if len(self.atoms) == self.stalled:
                if self.depth >= self.largest or not is_screen_affordable(
                    self.literals, self.depth + 1, operations
                ):
                    return
                self.depth += 1
                self.kept |= screen_larger_sets(self.literals, self.left, self.depth).keys()
            else:
                self.kept = {
                    atom
                    for order in range(3, self.depth + 1)
                    for atom in screen_larger_sets(self.literals, self.left, order)
                }
            self.stalled = len(self.atoms)


GRAM_RIDGE = 1e-10  # of the mean squared column: keeps dependent atoms apart without shrinking
RESAMPLES = 200


@dataclass(frozen=True)
class AtomFit:
    """Atoms with their weights, the constant apart."""

    atoms: tuple[Atom, ...]
    weights: Float64[ndarray, " atom"]
    constant: float
    parity: bool  # atoms are parities of players; otherwise conjunctions of literals
    players: int

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value at each mask."""
        found = np.full(len(masks), self.constant)
        if self.atoms:
            for rows in row_blocks(masks, 2 * self.players + len(self.atoms)):
                literals = make_literals(masks[rows], parity=self.parity)
                found[rows] += self.weights @ literals.products(self.atoms)
        return found

    def fourier(self, share: float = 1.0) -> dict[PlayerSet, float]:
        """`share` times the function, as Fourier coefficients."""
        found: dict[PlayerSet, float] = {(): share * self.constant}
        for atom, weight in zip(self.atoms, (share * self.weights).tolist(), strict=True):
            for part, value in self.atom_coefficients(atom, weight).items():
                found[part] = found.get(part, 0.0) + value
        return found

    def atom_coefficients(self, atom: Atom, weight: float) -> Mapping[PlayerSet, float]:
        """One atom's Fourier coefficients."""
        if self.parity:
            return {atom: weight}
        kept = tuple(one for one in atom if one < self.players)
        removed = tuple(one - self.players for one in atom if one >= self.players)
        return conjunction_coefficients(kept, removed, weight)


@runtime_checkable
class Fit(Protocol):
    """A function of masks that was fitted."""

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value at each mask."""
        ...

    def fourier(self, share: float = 1.0) -> dict[PlayerSet, float]:
        """`share` times the function, as Fourier coefficients."""
        ...


WeightedFits = Sequence[tuple[float, Fit]]  # fits with the share of each


def make_literals(masks: Bool[ndarray, "mask player"], *, parity: bool) -> Literals:
    """The literals that atoms of that kind are made of."""
    return Literals.parities(masks) if parity else Literals.conjunctions(masks)


def row_blocks(masks: Bool[ndarray, "mask player"], columns: int) -> Generator[slice]:
    """Parts of the masks that are laid out at once in so many columns."""
    size = max(1, BLOCK_CELLS // max(1, columns))
    for begin in range(0, len(masks), size):
        yield slice(begin, begin + size)


def spread_rows(number: int, most: int) -> Int64[ndarray, " row"]:
    """All of so many rows, or `most` of them that lie evenly among all."""
    if number <= most:
        return np.arange(number)
    return np.arange(most) * number // most


@dataclass(frozen=True)
class AtomMoments:
    """What least squares needs to know of atoms over masks."""

    means: Float64[ndarray, " atom"]
    products: Float64[ndarray, "atom atom"]  # summed over masks, each atom less its mean
    along: Float64[ndarray, " atom"]  # an atom times the values less their mean, summed
    values_mean: float

    @staticmethod
    def of(
        masks: Bool[ndarray, "mask player"],
        atoms: Sequence[Atom],
        values: Float64[ndarray, " mask"],
        *,
        parity: bool,
    ) -> "AtomMoments":
        """Of these atoms, a block of masks at a time."""
        mean, number = float(values.mean()), len(atoms)
        sums, along, products = np.zeros(number), np.zeros(number), np.zeros((number, number))
        for block in row_blocks(masks, 2 * masks.shape[1] + number):
            rows = make_literals(masks[block], parity=parity).products(atoms)
            products += rows @ rows.T  # whole numbers, exact in single precision
            wide = rows.astype(np.float64)
            sums += wide.sum(axis=1)
            along += wide @ (values[block] - mean)
        means = sums / len(values)
        products -= np.outer(sums, means)
        return AtomMoments(means, products, along - means * float((values - mean).sum()), mean)

    def weights(self, chosen: Int64[ndarray, " chosen"]) -> Float64[ndarray, " chosen"]:
        """The unshrunk fit of some of the atoms."""
        products = self.products[np.ix_(chosen, chosen)]
        products[np.diag_indices(len(chosen))] += GRAM_RIDGE * np.trace(products) / len(chosen)
        return np.linalg.solve(products, self.along[chosen])


def fit_least_squares(
    masks: Bool[ndarray, "mask player"],
    atoms: Sequence[Atom],
    values: Float64[ndarray, " mask"],
    *,
    parity: bool,
) -> AtomFit:
    """The unshrunk fit of these atoms."""
    players = masks.shape[1]
    if not atoms:
        return AtomFit((), np.empty(0), float(values.mean()), parity, players)
    moments = AtomMoments.of(masks, atoms, values, parity=parity)
    weights = moments.weights(np.arange(len(atoms)))
    constant = moments.values_mean - float(weights @ moments.means)
    return AtomFit(tuple(atoms), weights, constant, parity, players)


def predict_values(
    fits: WeightedFits, masks: Bool[ndarray, "mask player"]
) -> Float64[ndarray, " mask"]:
    """What a weighted sum of fits gives each mask."""
    return sum((share * fit.predict(masks) for share, fit in fits), np.zeros(len(masks)))


def sum_fits(fits: WeightedFits) -> dict[PlayerSet, float]:
    """The Fourier coefficients of a weighted sum of fits."""
    found: dict[PlayerSet, float] = {}
    for share, fit in fits:
        for one, value in fit.fourier(share).items():
            found[one] = found.get(one, 0.0) + value
    return drop_zero_coefficients(found)


RIDGE_PENALTIES = (1e-6, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # tried; in units of one mask


def parity_products(
    sets: list[PlayerSet], kept: Bool[ndarray, "mask player"]
) -> Float64[ndarray, "mask set"]:
    """The product of the players' signs for each set: +1 where an even number is ablated."""
    ablated = ~kept
    odd = np.stack([np.bitwise_xor.reduce(ablated[:, list(each)], axis=1) for each in sets], axis=1)
    return 1.0 - 2.0 * odd


def refit_by_ridge(
    sets: list[PlayerSet], kept: Bool[ndarray, "mask player"], values: Float64[ndarray, " mask"]
) -> dict[PlayerSet, float]:
    """New weights for these sets and the constant, by ridge regression with the least error on
    masks left out in turn.
    """
    chosen = [each for each in sets if each]
    if not chosen:
        return {(): float(values.mean())}
    constant, weights = ridge_weights(parity_products(chosen, kept), values, np.ones(len(values)))
    return {(): constant, **dict(zip(chosen, weights.tolist(), strict=True))}


def ridge_weights(
    design: Float64[ndarray, "mask column"],
    values: Float64[ndarray, " mask"],
    rows: Float64[ndarray, " mask"],
) -> tuple[float, Float64[ndarray, " column"]]:
    """The constant and a weight for each column, by ridge regression in which each row counts so
    much; the penalty has the least error on rows left out in turn.
    """
    part = rows / rows.sum()
    centre, mean = part @ design, float(part @ values)
    scale = np.sqrt(part * len(values))
    u, singular, v = np.linalg.svd((design - centre) * scale[:, None], full_matrices=False)
    aims = (values - mean) * scale
    along = u.T @ aims
    best, weights = np.inf, np.zeros(design.shape[1])
    for ridge in RIDGE_PENALTIES:
        shrunk = singular**2 / (singular**2 + ridge)
        left = (aims - u @ (shrunk * along)) / np.maximum(1 - (u**2 @ shrunk) - part, 1e-9)
        if (error := float(np.square(left).mean())) < best:
            best, weights = error, v.T @ (singular / (singular**2 + ridge) * along)
    return mean - float(centre @ weights), weights
