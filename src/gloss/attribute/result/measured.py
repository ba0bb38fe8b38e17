"""What was measured and not fitted: values with everything, with nothing, without a set, and with
a set alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

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


def masks_of_sets(
    without: Sequence[PlayerSet], alone: Sequence[PlayerSet], players: int
) -> Bool[ndarray, "mask player"]:
    """Nobody and everybody; then everybody without some sets; then some sets alone."""
    masks = np.zeros((2 + len(without) + len(alone), players), np.bool_)
    for row, one in enumerate([(), (), *without, *alone]):
        masks[row, list(one)] = True
    masks[1 : 2 + len(without)] ^= True
    return masks


def measure_sets(
    game: Evaluations, without: Sequence[PlayerSet], alone: Sequence[PlayerSet]
) -> MeasuredSets:
    """What is lost `without` some sets and what some do `alone`: a mask each, and two for nobody
    and everybody; those that are known cost nothing.

    Of a table those that it holds; the others are not a number.
    """
    masks = masks_of_sets(without, alone, len(game.players))
    if isinstance(game.game, TableGame):
        held = set(packed_masks(game.game.masks))
        known = np.array([key in held for key in packed_masks(masks)])
        values = np.full(len(masks), np.nan)
        values[known] = game.values(masks[known])
    else:
        values = game.values(masks)
    nobody, everybody = values[:2].tolist()
    lost, done = np.split(values[2:], [len(without)])
    return MeasuredSets(
        nobody,
        everybody,
        dict(zip(without, (everybody - lost).tolist(), strict=True)),
        dict(zip(alone, (done - nobody).tolist(), strict=True)),
        0 if isinstance(game.game, TableGame) else int((~np.isfinite(values)).sum()),
    )
