"""Games whose interactions are known, and indices worked out from their definitions."""

from itertools import combinations
from math import comb, factorial

import numpy as np

from gloss.attribute.bases import Basis, PlayerSet, all_masks, evaluate_coefficients
from gloss.attribute.game import FunctionGame


def names(players: int) -> tuple[str, ...]:
    return tuple(f"p{place}" for place in range(players))


def game_of(
    coefficients: dict[PlayerSet, float], players: int, basis: Basis = Basis.FOURIER
) -> FunctionGame:
    return FunctionGame(
        names(players), lambda masks: evaluate_coefficients(coefficients, basis, masks)
    )


def sets_up_to(players: int, order: int) -> list[PlayerSet]:
    return [one for size in range(order + 1) for one in combinations(range(players), size)]


class Brute:
    """Indices of a function known everywhere, straight from their definitions."""

    def __init__(self, values: np.ndarray, players: int) -> None:
        self.values, self.n = values, players

    def value(self, one: PlayerSet) -> float:
        return float(self.values[sum(1 << player for player in one)])

    def derivative(self, one: PlayerSet, others: PlayerSet) -> float:
        """The discrete derivative: what `one` adds together to `others`, by inclusion-exclusion."""
        parts = [part for size in range(len(one) + 1) for part in combinations(one, size)]
        return sum((-1) ** (len(one) - len(part)) * self.value((*others, *part)) for part in parts)

    def interaction(self, one: PlayerSet, weight) -> float:
        rest = [player for player in range(self.n) if player not in one]
        return sum(
            weight(len(others), len(one)) * self.derivative(one, others)
            for size in range(len(rest) + 1)
            for others in combinations(rest, size)
        )

    def shapley_interaction(self, one: PlayerSet) -> float:
        n = self.n
        return self.interaction(
            one, lambda t, s: factorial(n - t - s) * factorial(t) / factorial(n - s + 1)
        )

    def banzhaf_interaction(self, one: PlayerSet) -> float:
        return self.interaction(one, lambda t, s: 0.5 ** (self.n - s))

    def shapley_taylor(self, one: PlayerSet, order: int) -> float:
        if len(one) < order:
            return self.derivative(one, ())
        return self.interaction(one, lambda t, s: order / self.n / comb(self.n - 1, t))

    def faithful(self, order: int, *, shapley: bool) -> dict[PlayerSet, float]:
        """The weighted least squares that define the faithful indices, the ends of Shapley's held
        exactly.
        """
        sets = sets_up_to(self.n, order)
        masks = all_masks(self.n)
        design = np.stack([masks[:, list(one)].all(axis=1) for one in sets], axis=1).astype(float)
        sizes = masks.sum(axis=1)
        if not shapley:
            found = np.linalg.lstsq(design, self.values, rcond=None)[0]
            return dict(zip(sets, found.tolist(), strict=True))
        inner = (sizes > 0) & (sizes < self.n)
        weight = np.array(
            [(self.n - 1) / (comb(self.n, s) * s * (self.n - s)) for s in sizes[inner]]
        )
        ends = design[~inner]
        gram = design[inner].T @ (weight[:, None] * design[inner])
        right = design[inner].T @ (weight * self.values[inner])
        system = np.block([[gram, ends.T], [ends, np.zeros((2, 2))]])
        found = np.linalg.lstsq(system, np.concatenate([right, self.values[~inner]]), rcond=None)[
            0
        ][: len(sets)]
        return dict(zip(sets, found.tolist(), strict=True))
