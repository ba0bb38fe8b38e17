"""Parts masks into those that are fitted and those that judge, and makes the record of what was found."""

from typing import NamedTuple

import numpy as np

from gloss.attribute.estimates import r2
from gloss.attribute.evaluations import Evaluations, Valued
from gloss.attribute.fits import Sum, foretold, stability, summed
from gloss.attribute.interactions import Faithfulness, Interactions
from gloss.attribute.transforms import Basis, PlayerSet, evaluated
from gloss.errors import BadInput

EVERY = 8  # one of so many masks judges; another chooses among fits
LEAST = 4 * EVERY


class Parts(NamedTuple):
    """The same masks, parted by their place in the order drawn: a later, larger part holds an earlier one."""

    everything: Valued
    fitted: Valued  # all but those held out
    held_out: Valued
    learning: Valued  # of those fitted, the ones that fits are made from
    choosing: Valued  # and the ones that choose among fits


def parted(uniform: Valued, others: Valued | None = None) -> Parts:
    """`others` are not uniform: they are learnt from, and judge nothing. Raises BadInput where the game gave too few values."""
    if len(uniform.values) < LEAST:
        raise BadInput(
            f"the game gave {len(uniform.values)} values ({uniform.failed} failed); at least {LEAST} masks are needed, "
            f"so give a larger budget, or use exact for a small game"
        )
    everything = uniform.joined(others) if others else uniform
    places = np.arange(len(everything.values)) % EVERY
    places[len(uniform.values) :] = 0
    out, choosing = places == EVERY - 1, places == EVERY // 2 - 1

    def those(which: np.ndarray) -> Valued:
        return Valued(everything.masks[which], everything.values[which])

    return Parts(everything, those(~out), those(out), those(~out & ~choosing), those(choosing))


def judged(
    method: str,
    players: tuple[str, ...],
    parts: Parts,
    before: Sum,
    after: Sum,
    rng: np.random.Generator,
) -> Interactions:
    """The record of a fit: `before` knows nothing of what is held out and is judged on it; `after` was fitted to all masks."""
    everything, held_out = parts.everything, parts.held_out
    faithful = r2(held_out.values, foretold(before, held_out.masks), rng)
    return Interactions(
        players=players,
        coefficients=summed(after),
        basis=Basis.FOURIER,
        method=method,
        faithfulness=Faithfulness(faithful, len(held_out.values)),
        evaluations=len(everything.values),
        failed=everything.failed,
        stability=stability(after, everything.masks, everything.values, rng),
    )


def faithfulness_of(
    coefficients: dict[PlayerSet, float], basis: Basis, held_out: Valued, rng: np.random.Generator
) -> Faithfulness:
    """How well coefficients that were not fitted to these masks foretell them."""
    return Faithfulness(r2(held_out.values, evaluated(coefficients, basis, held_out.masks), rng), len(held_out.values))


def set_apart(game: Evaluations, budget: int, spent: int, rng: np.random.Generator) -> tuple[Valued, int]:
    """Uniform masks to judge by, an eighth of the budget, and how many that leaves. Raises BadInput where those are too few."""
    most = budget // EVERY
    if budget - most < spent:
        raise BadInput(
            f"a budget of {budget} leaves {budget - most} masks beside the held-out ones, and {spent} are needed; give more"
        )
    return game.uniform(most, rng), budget - most


def ends_of(game: Evaluations) -> tuple[float, float]:
    """The value of nobody and of everybody. Raises BadInput where one could not be had."""
    n = len(game.players)
    nobody, everybody = game.values(np.stack([np.zeros(n, np.bool_), np.ones(n, np.bool_)])).tolist()
    if not np.isfinite([nobody, everybody]).all():
        raise BadInput(f"the game gave {nobody} for nobody and {everybody} for everybody, which this method needs; use auto")
    return nobody, everybody
