"""Why a feature fires here: the few sets of the last tokens that account for its activation under
all masks.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import PlayerSet, all_masks, players_from_bits
from gloss.attribute.game import Game

MOST_TOKENS = 10  # 2^10 masks
ENOUGH = 0.95  # share of the variation from which on no further set is looked for
LEAST_GAIN = 0.02  # share that another set must add


@dataclass(frozen=True)
class TokenAttributionSettings:
    """How many contexts of each feature are looked into, how far back, and how short the account is
    to be.
    """

    contexts: int = 2  # the strongest train ones
    tokens: int = 8  # up to the peak; those before always stay
    # random tokens that take the place of one that is removed, one after the other; values are
    # their mean
    replacement_tokens: int = 2
    order: int = 3  # tokens of a set at most
    sets: int = 4

    def __post_init__(self) -> None:
        for name in ("contexts", "replacement_tokens", "order", "sets"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 1 <= self.tokens <= MOST_TOKENS:
            raise ValueError(
                f"tokens must be from 1 to {MOST_TOKENS}, as all 2^tokens masks are read; got"
                f" {self.tokens}"
            )

    def fit_game(self, game: Game) -> "ConjunctionSum":
        """The sets that account for a game of up to ten players, all of whose masks are valued."""
        masks = all_masks(len(game.players))
        return fit_conjunctions(masks, game.values(masks), self.order, self.sets)


@dataclass(frozen=True, slots=True)
class ConjunctionSum:
    """A function of masks as a sum over few sets, each of which adds its value where all of it is
    kept.
    """

    values: dict[PlayerSet, float]  # () holds the constant
    # of the variation over all masks that it accounts for; not a number where there is none
    share: float
    n: int  # masks


def fit_conjunctions(
    masks: Bool[ndarray, "mask player"],
    values: Float64[ndarray, " mask"],
    order: int = 3,
    most: int = 4,
) -> ConjunctionSum:
    """Conjunctions one after the other, each the one that leaves least over (orthogonal least
    squares: Chen et al., 1989).

    Of equal ones the smaller is taken. All chosen are fitted together.
    """
    left = values - values.mean()
    variation = float(left @ left)
    if variation <= 1e-18 * max(float(values @ values), 1e-300):
        return ConjunctionSum({(): float(values.mean())}, float("nan"), len(masks))
    players = list(range(masks.shape[1]))
    sets = [players_from_bits(code, players) for code in range(1, 2 ** len(players))]
    sets = sorted((one for one in sets if len(one) <= order), key=lambda one: (len(one), one))
    products = np.stack([masks[:, list(one)].all(axis=1) for one in sets], axis=1).astype(
        np.float64
    )
    directions = products - products.mean(axis=0)
    chosen: list[int] = []
    while len(chosen) < most and left @ left > (1 - ENOUGH) * variation:
        sizes = np.square(directions).sum(axis=0)
        gains = np.where(sizes > 1e-9, np.square(left @ directions) / np.maximum(sizes, 1e-9), 0.0)
        best = int(np.flatnonzero(gains >= gains.max() * (1 - 1e-9))[0])
        if gains[best] < LEAST_GAIN * variation:
            break
        chosen.append(best)
        axis = directions[:, best] / np.sqrt(sizes[best])
        left = left - axis * (axis @ left)
        directions = directions - np.outer(axis, axis @ directions)
    design = np.column_stack([np.ones(len(masks)), products[:, chosen]])
    fitted = np.linalg.lstsq(design, values, rcond=None)[0].tolist()
    return ConjunctionSum(
        dict(zip([(), *(sets[i] for i in chosen)], fitted, strict=True)),
        float(1 - left @ left / variation),
        len(masks),
    )
