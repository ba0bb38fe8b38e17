"""A game as a Gaussian process expects it: smooth, and made of more small sets than can be listed.

The covariance with one mask is a sum of products over players, so that the Fourier coefficient of
any set is known exactly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, evaluate_coefficients
from gloss.attribute.game import ValuedMasks
from gloss.attribute.solve.mask_process import MaskProcess, fit_process, inverse_of_factor

MOST_MASKS = 2048  # of a process: its cost grows with their third power
MOST_PAIRS = 500  # that are listed, the strongest
ROWS = 1024  # masks that are predicted at a time


@dataclass(frozen=True)
class ProcessFit:
    """What a process expects of each mask, given the values of some."""

    process: MaskProcess
    masks: Bool[ndarray, "mask player"]
    weights: Float64[ndarray, " mask"]  # of the covariance with each of these, in the game's unit
    mean: float

    @staticmethod
    def of(valued: ValuedMasks, rng: np.random.Generator) -> "ProcessFit | None":
        """The process under which these values are likeliest; None where they are all the same."""
        from scipy.linalg import cholesky

        masks, values = valued.masks, valued.values
        mean, deviation = float(values.mean()), float(values.std())
        if not deviation > 0:
            return None
        scaled = (values - mean) / deviation
        process = fit_process(masks, scaled, rng)
        covariance = process.covariance(masks, masks) + np.diag(process.own_variance(masks))
        inverse = inverse_of_factor(cholesky(covariance, lower=False))
        return ProcessFit(process, masks, deviation * (inverse @ scaled), mean)

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value at each mask."""
        found = np.full(len(masks), self.mean)
        for begin in range(0, len(masks), ROWS):
            some = slice(begin, begin + ROWS)
            found[some] += self.process.covariance(masks[some], self.masks) @ self.weights
        return found

    def fourier(self, share: float = 1.0) -> dict[PlayerSet, float]:
        """`share` times the coefficients of players and of the strongest pairs. What other sets
        make up is left to `SmoothRest`.
        """
        n = self.masks.shape[1]
        pairs = np.zeros((n, n))
        found: dict[PlayerSet, float] = {(): self.mean}
        found |= {(player,): 0.0 for player in range(n)}
        for constant, slopes in self.products():
            found[()] += float(constant.sum())
            for player, value in enumerate((constant @ slopes).tolist()):
                found[(player,)] += value
            pairs += slopes.T @ (slopes * constant[:, None])
        first, second = np.triu_indices(n, 1)
        strongest = np.argsort(-np.abs(pairs[first, second]), kind="stable")[:MOST_PAIRS]
        for one, other in zip(first[strongest].tolist(), second[strongest].tolist(), strict=True):
            found[(one, other)] = float(pairs[one, other])
        return {one: share * value for one, value in found.items()}

    def coefficients(self, sets: Sequence[PlayerSet]) -> Float64[ndarray, " set"]:
        """The Fourier coefficients of sets of one player or more."""
        found = np.zeros(len(sets))
        for constant, slopes in self.products():
            for number, one in enumerate(sets):
                found[number] += constant @ slopes[:, list(one)].prod(axis=1)
        return found

    def products(self) -> Iterable[tuple[Float64[ndarray, " mask"], ndarray]]:
        """Each part of the process as a sum over masks of constant · product over players of
        (1 + slope · sign).
        """
        process, n = self.process, self.masks.shape[1]
        sizes = process.sizes(self.masks)
        for height, tilt, scale in zip(process.height, process.tilt, process.scale, strict=True):
            differs, step = np.exp(-scale * process.reach), tilt * process.unit / 2
            kept = np.where(self.masks, 1.0, differs) * np.exp(step)
            removed = np.where(self.masks, differs, 1.0)
            logs = height + tilt * sizes / 2 - step * n / 2
            logs = logs + np.log((kept + removed) / 2).sum(axis=1)
            yield self.weights * np.exp(logs), (kept - removed) / (kept + removed)


@dataclass(frozen=True)
class SmoothRest:
    """What processes say beyond the sets that are listed: many sets, each of which does little."""

    fits: tuple[tuple[float, ProcessFit], ...]  # with the share of each
    listed: dict[PlayerSet, float]  # Fourier coefficients of theirs that are told elsewhere
    variance: float = 0.0  # of what it adds, over all masks

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """What it adds to the value of each mask; 0 in the mean over all."""
        said = sum((share * fit.predict(masks) for share, fit in self.fits), np.zeros(len(masks)))
        return said - evaluate_coefficients(self.listed, Basis.FOURIER, masks)


def smooth_rest(
    fits: Sequence[tuple[float, ProcessFit]],
    sets: Iterable[PlayerSet],
    masks: Bool[ndarray, "mask player"],
) -> SmoothRest:
    """What is left of processes beside their own sets and these; its variance is that over these
    masks.
    """
    listed: dict[PlayerSet, float] = {}
    more = sorted({one for one in sets if one})
    for share, fit in fits:
        found = fit.fourier(share)
        others = [one for one in more if one not in found]
        found |= dict(zip(others, (share * fit.coefficients(others)).tolist(), strict=True))
        for one, value in found.items():
            listed[one] = listed.get(one, 0.0) + value
    rest = SmoothRest(tuple(fits), listed)
    return replace(rest, variance=float(np.square(rest.predict(masks)).mean()))
