"""Values every set of players: the whole truth about a game of up to 16 players, and what the other
methods are held to.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, all_masks, walsh_hadamard_coefficients
from gloss.attribute.game import Evaluations, Game, ValuedMasks, as_evaluations
from gloss.attribute.mask_budget import MOST_AGAIN, TRIED_AGAIN
from gloss.attribute.result.average_effects import sets_of_interest
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.result.prediction_r2 import r2
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
        known, masks = as_evaluations(game), all_masks(n)
        values = known.values(masks)
        if missing := int((~np.isfinite(values)).sum()):
            raise BadInput(
                f"the game gave no number for {missing} of {len(values)} masks, and exact needs"
                " all; use auto"
            )
        found = exact_interactions("exact", game.players, ValuedMasks(masks, values))
        return judge_by_asking_again(found, known, values, rng)


def judge_by_asking_again(
    found: Interactions,
    known: Evaluations,
    values: Float64[ndarray, " mask"],
    rng: np.random.Generator,
) -> Interactions:
    """The same, with how well first values predict those of the same masks when they are asked
    about again, where these differ: a noisy game is not known whole.
    """
    before = known.masks_asked_again()[:TRIED_AGAIN]
    first = all_masks(len(known.players))[:TRIED_AGAIN]
    known.ask_again(before if len(before) == len(first) else first)
    noise = known.noise()
    if not (noise and noise.deviation):
        return replace(found, faithfulness=replace(found.faithfulness, noise=noise))
    some = rng.permutation(len(values))[:MOST_AGAIN]
    again = known.ask_again(all_masks(len(known.players))[some])
    noise = known.noise() or noise
    had = some[np.isfinite(again)]
    trust = Faithfulness(
        r2(again[np.isfinite(again)], values[had], rng),
        len(had),
        noise=noise,
        spread=float(values.std()),
    )
    averages = {
        one: Estimate(each.value, each.value - half, each.value + half)
        for one, each in found.averages.items()
        for half in [1.96 * 2 ** len(one) * noise.deviation / np.sqrt(len(values))]
    }
    return replace(found, faithfulness=trust, averages=averages)


def exact_interactions(method: str, players: tuple[str, ...], valued: ValuedMasks) -> Interactions:
    """The record of a game all of whose masks are there: nothing is held out, nothing is left to
    predict.
    """
    values = np.empty(len(valued.values))
    values[valued.masks @ (1 << np.arange(len(players)))] = valued.values
    known = Estimate(1.0, 1.0, 1.0) if np.ptp(values) > 0 else Estimate.missing()
    coefficients = walsh_hadamard_coefficients(values, len(players))
    sets = sets_of_interest(coefficients, len(players))
    averages = {one: 2 ** len(one) * coefficients.get(one, 0.0) for one in sets}
    return Interactions(
        players,
        coefficients,
        Basis.FOURIER,
        method,
        Faithfulness(known, len(values), whole=True, spread=float(values.std())),
        len(values),
        averages={one: Estimate(value, value, value) for one, value in averages.items()},
    )
