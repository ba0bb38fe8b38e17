"""What was measured and not fitted: values with everything, with nothing, without a set, and with
a set alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gloss.attribute.bases import PlayerSet
from gloss.attribute.game import Evaluations, TableGame, packed_masks


@dataclass(frozen=True)
class MeasuredSets:
    """Values in the game's unit; not a number where one could not be had."""

    nobody: float
    everybody: float
    lost: dict[PlayerSet, float]  # v(everybody) - v(everybody without the set)
    alone: dict[PlayerSet, float]  # v(the set) - v(nobody)
    failed: int = 0  # values that could not be had


def masks_of_sets(sets: Iterable[PlayerSet], players: int) -> np.ndarray:
    """Nobody and everybody; then everybody without each set; then each set alone."""
    alone = np.zeros((len(sets := list(sets)), players), np.bool_)
    for row, one in enumerate(sets):
        alone[row, list(one)] = True
    ends = np.stack([np.zeros(players, np.bool_), np.ones(players, np.bool_)])
    return np.concatenate([ends, ~alone, alone])


def measure_sets(game: Evaluations, sets: Iterable[PlayerSet]) -> MeasuredSets:
    """Ask about 2 k + 2 masks for k sets; those that are known cost nothing.

    Of a table those that it holds; the others are not a number.
    """
    chosen = list(sets)
    masks = masks_of_sets(chosen, len(game.players))
    if isinstance(game.game, TableGame):
        held = set(packed_masks(game.game.masks))
        known = np.array([key in held for key in packed_masks(masks)])
        values = np.full(len(masks), np.nan)
        values[known] = game.values(masks[known])
    else:
        values = game.values(masks)
    nobody, everybody = values[:2].tolist()
    lost, alone = np.split(values[2:], 2)
    return MeasuredSets(
        nobody,
        everybody,
        dict(zip(chosen, (everybody - lost).tolist(), strict=True)),
        dict(zip(chosen, (alone - nobody).tolist(), strict=True)),
        0 if isinstance(game.game, TableGame) else int((~np.isfinite(values)).sum()),
    )
