"""Splits masks into those that are fitted and those that judge, and makes the record of what was
found.
"""

from typing import NamedTuple

import numpy as np

from gloss.attribute.bases import Basis, PlayerSet, evaluate_coefficients
from gloss.attribute.game import Evaluations, ValuedMasks
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.result.prediction_r2 import r2
from gloss.attribute.solve.sparse_regression import (
    WeightedFits,
    coefficient_intervals,
    predict_values,
    sum_fits,
)
from gloss.errors import BadInput

HELD_OUT_EVERY = 8  # one of so many masks judges; another chooses among fits
FEWEST_VALUES = 4 * HELD_OUT_EVERY


class MaskSplit(NamedTuple):
    """The same masks, split by their place in the order drawn: a later, larger part holds an
    earlier one.
    """

    everything: ValuedMasks
    fitted: ValuedMasks  # all but those held out
    held_out: ValuedMasks
    train: ValuedMasks  # of those fitted, the ones that fits are made from
    validation: ValuedMasks  # and the ones that choose among fits


def split_masks(uniform: ValuedMasks, others: ValuedMasks | None = None) -> MaskSplit:
    """`others` are not uniform: they are learnt from, and judge nothing.

    Raises BadInput where the game gave too few values.
    """
    if len(uniform.values) < FEWEST_VALUES:
        raise BadInput(
            f"the game gave {len(uniform.values)} values ({uniform.failed} failed); at least"
            f" {FEWEST_VALUES} masks are needed, so give a larger budget, or use exact for a small"
            " game"
        )
    everything = uniform.concatenate(others) if others else uniform
    places = np.arange(len(everything.values)) % HELD_OUT_EVERY
    places[len(uniform.values) :] = 0
    out, validation = places == HELD_OUT_EVERY - 1, places == HELD_OUT_EVERY // 2 - 1

    def those(which: np.ndarray) -> ValuedMasks:
        return ValuedMasks(everything.masks[which], everything.values[which])

    return MaskSplit(
        everything, those(~out), those(out), those(~out & ~validation), those(validation)
    )


def judge_fits(
    method: str,
    players: tuple[str, ...],
    split: MaskSplit,
    before: WeightedFits,
    after: WeightedFits,
    rng: np.random.Generator,
) -> Interactions:
    """The record of a fit: `before` knows nothing of what is held out and is judged on it.

    `after` was fitted to all masks.
    """
    everything, held_out = split.everything, split.held_out
    faithful = r2(held_out.values, predict_values(before, held_out.masks), rng)
    return Interactions(
        players=players,
        coefficients=sum_fits(after),
        basis=Basis.FOURIER,
        method=method,
        faithfulness=Faithfulness(faithful, len(held_out.values)),
        evaluations=len(everything.values),
        failed=everything.failed,
        stability=coefficient_intervals(after, everything.masks, everything.values, rng),
    )


def measure_faithfulness(
    coefficients: dict[PlayerSet, float],
    basis: Basis,
    held_out: ValuedMasks,
    rng: np.random.Generator,
) -> Faithfulness:
    """How well coefficients that were not fitted to these masks predict them."""
    return Faithfulness(
        r2(held_out.values, evaluate_coefficients(coefficients, basis, held_out.masks), rng),
        len(held_out.values),
    )


def hold_out_masks(
    game: Evaluations, budget: int, spent: int, rng: np.random.Generator
) -> tuple[ValuedMasks, int]:
    """Uniform masks to judge by, an eighth of the budget, and how many that leaves.

    Raises BadInput where those are too few.
    """
    most = budget // HELD_OUT_EVERY
    if budget - most < spent:
        raise BadInput(
            f"a budget of {budget} leaves {budget - most} masks beside the held-out ones, and"
            f" {spent} are needed; give more"
        )
    return game.uniform(most, rng), budget - most


def empty_and_full_values(game: Evaluations) -> tuple[float, float]:
    """The value of nobody and of everybody. Raises BadInput where one could not be had."""
    n = len(game.players)
    nobody, everybody = game.values(
        np.stack([np.zeros(n, np.bool_), np.ones(n, np.bool_)])
    ).tolist()
    if not np.isfinite([nobody, everybody]).all():
        raise BadInput(
            f"the game gave {nobody} for nobody and {everybody} for everybody, which this method"
            " needs; use auto"
        )
    return nobody, everybody
