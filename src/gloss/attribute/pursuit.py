"""Greedy pursuit of the few products of literals that make up a game: atoms that a screen proposes, chosen one at a time.

Orthogonal least squares (Chen, Billings & Luo, 1989) over a pool that grows under heredity: parts of chosen sets, and sets with
a literal more. An atom comes in if it gains more than its like would by chance (risk inflation; Foster & George, 1994).
"""

from collections.abc import Iterable
from math import comb, log

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from gloss.attribute.screens import Atom, Literals, affordable, deep, grown, looked_at, pairs, subsets

BEAM = 128  # atoms that are grown by a literal in each round
POOL = 512  # proposals of each screen
ROUNDS = 60
EXTRA = 1.0  # of the price of an atom, beside what its like would gain by chance
NOTHING = 1e-8  # of the values' variance: what rounding leaves over
LITTLE = 0.005  # of it: too little to screen larger sets for


class Pursuit:
    """The state of the search: what is chosen, an orthonormal basis of it, and what it leaves over."""

    def __init__(self, literals: Literals, values: Float64[ndarray, " mask"], largest: int = 5) -> None:
        self.literals = literals
        self.values = (values - values.mean()).astype(np.float32)
        self.total = float(self.values @ self.values)
        self.largest = largest
        self.most = int(len(values) * 0.6)
        self.depth = 2  # the order up to which every set was screened
        self.stalled = 0  # how many atoms there were when nothing came in any more
        self.kept: set[Atom] = set()  # what deep screens proposed last
        self.reset([])

    def reset(self, atoms: list[Atom]) -> None:
        """Start from these atoms."""
        self.atoms: list[Atom] = []
        self.basis = np.empty((self.most, len(self.values)), np.float32)
        self.left = self.values.copy()
        if atoms:
            for atom, row in zip(atoms, self.literals.centred(atoms), strict=True):
                self.add(atom, row)

    @property
    def variance(self) -> float:
        """Of what is left over, a mask."""
        left = max(float(self.left @ self.left), NOTHING * self.total)
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

        first = pairs(self.literals, self.left, POOL)
        offer((atom for atom in first if len(atom) == 1), width)
        offer((atom for atom in first if len(atom) == 2), comb(width, 2))
        for atom in self.kept:
            offer((atom,), looked_at(self.literals, len(atom)))
        ranked = sorted(first, key=lambda atom: -first[atom])[:BEAM]
        offer(grown(self.literals, self.left, ranked, self.largest, POOL), max(1, len(ranked)) * comb(width, 2))
        if self.atoms:
            near = grown(self.literals, self.left, self.atoms, self.largest, POOL)
            offer(near, len(self.atoms) * width)
            parts = subsets(self.atoms)
            offer(parts, max(2, len(parts)))
        for atom in self.atoms:
            sizes.pop(atom, None)
        return sizes

    def forward(self) -> int:
        """Choose from one pool; how many came in."""
        sizes = self.proposals()
        atoms = list(sizes)
        if not atoms:
            return 0
        prices = np.array([2 * log(sizes[atom]) + EXTRA for atom in atoms], np.float32)
        rows = self.literals.centred(atoms)
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

    def prune(self, least: float = 6.0) -> None:
        """Let atoms go whose weight chance could have given."""
        while self.atoms:
            rows = self.literals.centred(self.atoms).astype(np.float64)
            inverse = np.linalg.pinv(rows @ rows.T)
            weights = inverse @ (rows @ self.values)
            gains = weights**2 / np.diag(inverse) / self.variance
            weak = gains < least
            if not weak.any():
                return
            worst = set(np.argsort(gains)[: max(1, int(weak.sum()) // 2)].tolist())
            self.reset([atom for place, atom in enumerate(self.atoms) if place not in worst])

    def run(self, operations: float) -> None:
        """Until nothing comes in; then look at larger sets, as far as the operations allow."""
        for _ in range(ROUNDS):
            if self.forward() and float(self.left @ self.left) > NOTHING * self.total:
                continue
            self.prune()
            if float(self.left @ self.left) < LITTLE * self.total:
                return
            if len(self.atoms) == self.stalled:
                if self.depth >= self.largest or not affordable(self.literals, self.depth + 1, operations):
                    return
                self.depth += 1
                self.kept |= deep(self.literals, self.left, self.depth).keys()
            else:
                self.kept = {atom for order in range(3, self.depth + 1) for atom in deep(self.literals, self.left, order)}
            self.stalled = len(self.atoms)
