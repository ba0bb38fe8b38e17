"""Attribution by slopes: how fast the value grows with each player's mask, at the whole or on the
way there from nothing.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet
from gloss.attribute.game import Game, as_evaluations
from gloss.attribute.result.faithfulness import SetFit, empty_and_full_masks, judge_set_fit
from gloss.attribute.result.interactions import Interactions
from gloss.errors import BadInput, BadSettings
from gloss.records import Needs


@runtime_checkable
class DifferentiableGame(Game, Protocol):
    """A game whose masks may lie between 0 and 1, such as `players.fading_tokens.FadingTokens`."""

    def gradients(self, masks: Float32[ndarray, "mask player"]) -> Float64[ndarray, "mask player"]:
        """How fast the value grows with each player's mask."""
        ...


@dataclass(frozen=True)
class Gradient:
    """Input times gradient (1 step), or integrated gradients: the mean slope on the straight way
    from nothing to the whole.
    """

    steps: int = 32  # of the way; 1 takes the slope at the whole alone
    held_out: int = 200  # masks that the sum of parts is checked on

    needs: ClassVar[Needs] = Needs(slopes=True)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.held_out < 0:
            raise BadSettings(
                f"gradient was given steps={self.steps} and held_out={self.held_out}; wants 1 or"
                " more, and 0 or more"
            )

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Each player's part alone, in the `mobius` basis.

        One step is that of Simonyan et al. (2014), more are midpoints after Sundararajan et al.
        (2017). With many steps the parts add up to what the whole has over nothing. Raises BadInput
        for games without slopes.
        """
        known = as_evaluations(game)
        if not isinstance(known.game, DifferentiableGame):
            raise BadInput(
                "gradient needs a game with slopes: a local prompt cut into tokens"
                " (players.fading_tokens.FadingTokens), or training examples of logistic or ridge"
                " regression; use auto"
            )
        n = len(known.players)
        nothing, whole = known.values(np.array([[False] * n, [True] * n]))
        points = np.ones(1) if self.steps == 1 else (np.arange(self.steps) + 0.5) / self.steps
        slopes = known.game.gradients(
            np.repeat(points[:, None], n, axis=1).astype(np.float32)
        ).mean(0)
        start = float(nothing if self.steps > 1 else whole - slopes.sum())
        found: dict[PlayerSet, float] = {(): start} | {
            (player,): float(slope) for player, slope in enumerate(slopes)
        }
        check = known.uniform(self.held_out, rng)
        fitted = empty_and_full_masks(known, (float(nothing), float(whole)))
        fit = SetFit(found, Basis.MOBIUS, fitted)
        judged = judge_set_fit("gradient", known.players, fit, check, rng)
        return replace(judged, evaluations=judged.evaluations + len(points))
