"""What becomes of a game's value when players go, or come, in the order that an attribution gives
them: the test in practice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.game import Evaluations
from gloss.attribute.result.interactions import Interactions

CURVE_STEPS = 10  # points of a curve, the first not counted
RANDOM_SETS = 4  # of each size, which stand for chance


@dataclass(frozen=True, slots=True)
class RemovalCurve:
    """Values along an order: of all players when the first so many are removed, and of none when
    they are added.
    """

    name: str
    counts: tuple[int, ...]  # players that are gone, or there
    removal: Float64[ndarray, " point"]
    insertion: Float64[ndarray, " point"]


def method_curves(
    game: Evaluations, found: Sequence[Interactions], rng: np.random.Generator
) -> list[RemovalCurve]:
    """One curve for each attribution, by its method's name, and one for chance: the mean over
    random orders.

    Players that raise the value go, and come, first: a good order falls early and rises early.
    Values that could not be had are not a number.
    """
    counts = curve_counts(len(game.players))
    own_curves = [
        RemovalCurve(
            each.method,
            counts,
            values_along_curve(game, greedy_masks(each, counts, removing=True)),
            values_along_curve(game, greedy_masks(each, counts, removing=False)),
        )
        for each in found
    ]
    # what the first players of a random order leave is a random set too: one draw serves both
    drawn = (rng.permutation(len(game.players)) for _ in range(RANDOM_SETS))
    there = [values_along_curve(game, masks_along_order(one, counts)) for one in drawn]
    chance = np.mean(there, axis=0)
    return [*own_curves, RemovalCurve("random order", counts, chance[::-1], chance)]


def curve_counts(players: int) -> tuple[int, ...]:
    """How many players are gone, or there, at each point: as many counted from either end."""
    below = np.linspace(0, players / 2, CURVE_STEPS // 2 + 1).astype(int)
    return tuple(np.unique([below, players - below]).tolist())


def values_at_most(players: int, curves: int = 1) -> int:
    """How many values so many curves and chance take."""
    points = len(curve_counts(players))
    return 2 + (2 * curves + RANDOM_SETS) * (points - 2)


def values_along_curve(
    game: Evaluations, masks: Bool[ndarray, "point player"]
) -> Float64[ndarray, " point"]:
    """The game's value at each point."""
    return game.values(masks)


def masks_along_order(order: ndarray, counts: Sequence[int]) -> Bool[ndarray, "point player"]:
    """Which players are there when the first so many of the order have come."""
    return np.argsort(order)[None, :] < np.array(counts)[:, None]


def greedy_masks(
    found: Interactions, counts: Sequence[int], *, removing: bool
) -> Bool[ndarray, "point player"]:
    """The masks of a way through what the attribution predicts, found from its end: what matters
    least is put off longest.

    To remove, it starts with nobody there and lets in whoever raises the value least: the last ones
    in are the first to go. To insert, it starts with all and takes out whoever lowers the value
    least. So partners come together, and doubles go together.
    """
    now = np.full(len(found.players), not removing)
    masks = [now.copy()]
    for later, earlier in pairwise(reversed(counts)):
        for player in rank_by_least_effect(found.changes(now), now, removing=removing)[
            : later - earlier
        ]:
            now[player] = removing
        masks.append(now.copy())
    return np.array(masks[::-1])


def rank_by_least_effect(
    changes: Float64[ndarray, " player"], now: Bool[ndarray, " player"], *, removing: bool
) -> list[int]:
    """The players that can still change, first the one that raises the value least, or lowers it
    least, of those changes.
    """
    left = np.flatnonzero(now != removing)
    values = changes[left] if removing else -changes[left]
    return left[np.argsort(values, kind="stable")].tolist()
