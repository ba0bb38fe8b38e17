"""Values of different masks with their complements, none of which is paid for twice, and how well
each is predicted by all the others.
"""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.game import Evaluations, TableGame, ValuedMasks, packed_masks
from gloss.attribute.result.prediction_r2 import r2
from gloss.attribute.solve.index_weights import log_choices
from gloss.attribute.solve.paired_masks import draw_paired_masks, shapley_sizes
from gloss.records import Estimate


def draw_size_pairs(game: Evaluations, count: int, rng: np.random.Generator) -> ValuedMasks:
    """At most `count` masks of all sizes alike, but none of nobody and everybody."""
    masks = draw_paired_masks(count, shapley_sizes(len(game.players)), rng)
    values = game.values(masks)
    had = np.isfinite(values)
    return ValuedMasks(masks[had], values[had], int((~had).sum()))


def draw_uniform_pairs(game: Evaluations, count: int, rng: np.random.Generator) -> ValuedMasks:
    """`count` masks, all alike: those that other methods drew come first, each with its complement.

    A table, and a game all of whose masks are asked for, gives its masks as they are.
    """
    if isinstance(game.game, TableGame) or count >= game.available:
        return game.uniform(count, rng)
    found = game.uniform(0, rng)
    seen: set[bytes] = set()
    spent = 0
    while (left := count - spent) > 0:
        drawn = game.uniform(-(-left // 2), rng)
        both = np.stack([drawn.masks, ~drawn.masks], axis=1).reshape(-1, len(game.players))
        keys = packed_masks(both)
        first = {key: row for row, key in reversed(list(enumerate(keys))) if key not in seen}
        rows = sorted(first.values())[:left]
        if not len(drawn.values) and not drawn.failed:
            break
        seen.update(keys[row] for row in rows)
        spent += len(rows) + drawn.failed
        values = game.values(both[rows])
        had = np.isfinite(values)
        failed = int((~had).sum()) + drawn.failed
        found = found.concatenate(ValuedMasks(both[rows][had], values[had], failed))
    return found


def left_out_r2(
    used: ValuedMasks, predicted: Float64[ndarray, " mask"], rng: np.random.Generator
) -> Estimate:
    """R2 in which each mask weighs as much as its size is likely where each player is kept with
    probability 1/2.
    """
    n, sizes = used.masks.shape[1], used.masks.sum(axis=1)
    there = np.bincount(sizes, minlength=n + 1)
    weights = np.exp(log_choices(n) - n * np.log(2))[sizes] / there[sizes]
    return r2(used.values, predicted, rng, weights=weights)
