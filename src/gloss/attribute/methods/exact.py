"""Values every set of players: the whole truth about a game of up to 16 players, and what the other
methods are held to.
"""

from dataclasses import dataclass

import numpy as np

from gloss.attribute.bases import Basis, all_masks, walsh_hadamard_coefficients
from gloss.attribute.game import Game, ValuedMasks, as_evaluations
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.errors import BadInput
from gloss.records import Estimate

MOST_PLAYERS = 16


@dataclass(frozen=True)
class Exact:
    """All 2^n values and their Walsh-Hadamard transform.

    It has no settings, samples nothing and holds nothing out.
    """

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Every Fourier coefficient, from all 2^n values.

        Raises BadInput for more than 16 players, or where a value could not be had.

            >>> from gloss.attribute.game import FunctionGame
            >>> both = FunctionGame(("a", "b"), lambda masks: masks.all(axis=1))
            >>> Exact().attribute(both, rng).into(Basis.MOBIUS).coefficients
            {(0, 1): 1.0}
        """
        n = len(game.players)
        if n > MOST_PLAYERS:
            raise BadInput(
                f"exact values all 2^n sets of at most {MOST_PLAYERS} players, this game has {n};"
                " use auto"
            )
        values = as_evaluations(game).values(all_masks(n))
        if missing := int((~np.isfinite(values)).sum()):
            raise BadInput(
                f"the game gave no number for {missing} of {len(values)} masks, and exact needs"
                " all; use auto"
            )
        return exact_interactions("exact", game.players, ValuedMasks(all_masks(n), values))


def exact_interactions(method: str, players: tuple[str, ...], valued: ValuedMasks) -> Interactions:
    """The record of a game all of whose masks are there: nothing is held out, nothing is left to
    predict.
    """
    values = np.empty(len(valued.values))
    values[valued.masks @ (1 << np.arange(len(players)))] = valued.values
    known = Estimate(1.0, 1.0, 1.0) if np.ptp(values) > 0 else Estimate.missing()
    coefficients = walsh_hadamard_coefficients(values, len(players))
    return Interactions(
        players,
        coefficients,
        Basis.FOURIER,
        method,
        Faithfulness(known, len(values), whole=True),
        len(values),
    )
