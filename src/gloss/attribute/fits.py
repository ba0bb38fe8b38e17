"""Weighted sums of atoms: fitted by least squares, turned into Fourier coefficients, resampled for stability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.screens import Atom, Literals
from gloss.attribute.transforms import PlayerSet, of_conjunction, tidy
from gloss.records import Estimate

RIDGE = 1e-10  # of the mean squared column: keeps dependent atoms apart without shrinking
RESAMPLES = 200


@dataclass(frozen=True)
class Fit:
    """Atoms with their weights, the constant apart."""

    atoms: tuple[Atom, ...]
    weights: Float64[ndarray, " atom"]
    constant: float
    parity: bool  # atoms are parities of players; otherwise conjunctions of literals
    players: int

    def foretold(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value at each mask."""
        if not self.atoms:
            return np.full(len(masks), self.constant)
        return self.weights @ literals_of(masks, parity=self.parity).products(self.atoms) + self.constant

    def fourier(self, share: float = 1.0) -> dict[PlayerSet, float]:
        """`share` times the function, as Fourier coefficients."""
        found: dict[PlayerSet, float] = {(): share * self.constant}
        for atom, weight in zip(self.atoms, (share * self.weights).tolist(), strict=True):
            for part, value in self.unfolded(atom, weight).items():
                found[part] = found.get(part, 0.0) + value
        return found

    def unfolded(self, atom: Atom, weight: float) -> Mapping[PlayerSet, float]:
        """One atom's Fourier coefficients."""
        if self.parity:
            return {atom: weight}
        kept = tuple(one for one in atom if one < self.players)
        removed = tuple(one - self.players for one in atom if one >= self.players)
        return of_conjunction(kept, removed, weight)

    def wobble(
        self, masks: Bool[ndarray, "mask player"], values: Float64[ndarray, " mask"], rng: np.random.Generator
    ) -> Float64[ndarray, "atom draw"]:
        """How the weights move when masks are drawn with replacement: the bootstrap, to first order, for the atoms as chosen."""
        if not self.atoms:
            return np.empty((0, RESAMPLES))
        rows = literals_of(masks, parity=self.parity).centred(self.atoms).astype(np.float64)
        counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES).T
        left = values - self.foretold(masks)
        freed = left * np.sqrt(len(values) / max(1, len(values) - len(self.atoms)))  # what fitting took out of the error
        return np.linalg.solve(gram(rows), (rows * freed) @ (counts - 1.0))


Sum = Sequence[tuple[float, Fit]]  # fits with the share of each


def literals_of(masks: Bool[ndarray, "mask player"], *, parity: bool) -> Literals:
    """The literals that atoms of that kind are made of."""
    return Literals.parities(masks) if parity else Literals.conjunctions(masks)


def gram(rows: Float64[ndarray, "atom mask"]) -> Float64[ndarray, "atom atom"]:
    """Products of all pairs of columns, with a trace of a ridge."""
    product = rows @ rows.T
    product[np.diag_indices(len(product))] += RIDGE * np.trace(product) / len(product)
    return product


def least_squares(literals: Literals, atoms: Sequence[Atom], values: Float64[ndarray, " mask"]) -> Fit:
    """The unshrunk fit of these atoms."""
    mean = float(values.mean())
    if not atoms:
        return Fit((), np.empty(0), mean, literals.parity, literals.players)
    rows = literals.products(atoms).astype(np.float64)
    means = rows.mean(axis=1)
    rows -= means[:, None]
    weights = np.linalg.solve(gram(rows), rows @ (values - mean))
    return Fit(tuple(atoms), weights, mean - float(weights @ means), literals.parity, literals.players)


def foretold(fits: Sum, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
    """What a weighted sum of fits gives each mask."""
    return sum((share * fit.foretold(masks) for share, fit in fits), np.zeros(len(masks)))


def summed(parts: Sum) -> dict[PlayerSet, float]:
    """The Fourier coefficients of a weighted sum of fits."""
    found: dict[PlayerSet, float] = {}
    for share, fit in parts:
        for one, value in fit.fourier(share).items():
            found[one] = found.get(one, 0.0) + value
    return tidy(found)


def stability(
    parts: Sum,
    masks: Bool[ndarray, "mask player"],
    values: Float64[ndarray, " mask"],
    rng: np.random.Generator,
) -> dict[PlayerSet, Estimate]:
    """Each coefficient with its 95 % interval over a bootstrap of masks, the choice of sets taken as given."""
    moves: dict[PlayerSet, Float64[ndarray, " draw"]] = {}
    for share, fit in parts:
        for atom, draws in zip(fit.atoms, fit.wobble(masks, values, rng), strict=True):
            for one, value in fit.unfolded(atom, share).items():
                moves[one] = moves.get(one, 0.0) + value * draws
    if not moves:
        return {}
    sums = summed(parts)
    values = np.array([sums.get(one, 0.0) for one in moves])
    lows, highs = values + np.quantile(np.stack(list(moves.values())), (0.025, 0.975), axis=1)
    ends = zip(values.tolist(), np.minimum(values, lows).tolist(), np.maximum(values, highs).tolist(), strict=True)
    return {one: Estimate(*three) for one, three in zip(moves, ends, strict=True)}
