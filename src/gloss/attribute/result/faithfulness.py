"""Splits masks into those that are fitted and those that judge, and makes the record of what was
found.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, evaluate_coefficients
from gloss.attribute.game import Evaluations, ValuedMasks, packed_masks
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.result.prediction_r2 import r2
from gloss.attribute.solve.sparse_regression import (
    WeightedFits,
    coefficient_intervals,
    predict_values,
    sum_fits,
)
from gloss.errors import BadInput
from gloss.records import Estimate

HELD_OUT_EVERY = 8  # one of so many masks judges; another chooses among fits
FEWEST_VALUES = 4 * HELD_OUT_EVERY
MOST_WHOLE = 32  # players of games whose masks might all be known


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
    fitted: ValuedMasks,
    rng: np.random.Generator,
) -> Faithfulness:
    """How well coefficients predict the held-out masks that they were not fitted to.

    Where both together are all masks of a small game, R2 is over all of them, and exact.
    """
    together = held_out.concatenate(fitted)
    _, first = np.unique(together.masks, axis=0, return_index=True)
    players = together.masks.shape[1]
    whole = players < MOST_WHOLE and len(first) == 2**players
    learnt = set(packed_masks(fitted.masks))
    chosen = (
        first
        if whole
        else [i for i, m in enumerate(packed_masks(held_out.masks)) if m not in learnt]
    )
    masks, values = together.masks[chosen], together.values[chosen]
    found = r2(values, evaluate_coefficients(coefficients, basis, masks), rng)
    exact = Estimate(found.value, found.value, found.value)
    return Faithfulness(exact if whole else found, len(values), whole)


class SetFit(NamedTuple):
    """Coefficients of sets, the masks that they were fitted to, and what is known of how sure they
    are.
    """

    coefficients: dict[PlayerSet, float]
    basis: Basis
    fitted: ValuedMasks
    stability: Mapping[PlayerSet, Estimate] = {}


def judge_set_fit(
    method: str,
    players: tuple[str, ...],
    fit: SetFit,
    held_out: ValuedMasks,
    rng: np.random.Generator,
) -> Interactions:
    """The record of a fit, judged by the held-out masks that it was not fitted to."""
    trust = measure_faithfulness(fit.coefficients, fit.basis, held_out, fit.fitted, rng)
    used = {key for part in (fit.fitted, held_out) for key in packed_masks(part.masks)}
    return Interactions(
        players=players,
        coefficients=fit.coefficients,
        basis=fit.basis,
        method=method,
        faithfulness=trust,
        evaluations=len(used),
        failed=fit.fitted.failed + (0 if held_out is fit.fitted else held_out.failed),
        stability=fit.stability,
    )


def estimates_of_sets(
    sets: Sequence[PlayerSet],
    values: Float64[ndarray, " set"],
    low: Float64[ndarray, " set"],
    high: Float64[ndarray, " set"],
) -> dict[PlayerSet, Estimate]:
    """Each set's coefficient with its interval, which holds it."""
    ends = np.minimum(low, values).tolist(), np.maximum(high, values).tolist()
    return {one: Estimate(*three) for one, *three in zip(sets, values.tolist(), *ends, strict=True)}


class HeldOut(NamedTuple):
    """Masks to judge by, and what a budget leaves beside them."""

    judges: ValuedMasks
    left: int  # masks
    whole: bool  # the budget pays for all masks of a small game, which judge and are fitted to

    def draw_others(self, game: Evaluations, rng: np.random.Generator) -> ValuedMasks:
        """Uniform masks to fit to: others than those that judge, unless those are all."""
        return self.judges if self.whole else game.uniform(self.left, rng)


def hold_out_masks(game: Evaluations, budget: int, spent: int, rng: np.random.Generator) -> HeldOut:
    """Uniform masks to judge by, an eighth of the budget; all that there are where it pays for all.

    Raises BadInput where that leaves fewer than are `spent`.
    """
    if budget >= game.available == 2 ** len(game.players):
        return HeldOut(game.uniform(game.available, rng), budget, whole=True)
    budget = min(budget, game.available)
    most = budget // HELD_OUT_EVERY
    if budget - most < spent:
        raise BadInput(
            f"a budget of {budget} leaves {budget - most} masks beside the held-out ones, and"
            f" {spent} are needed; give more"
        )
    return HeldOut(game.uniform(most, rng), budget - most, whole=False)


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


def empty_and_full_masks(game: Evaluations, ends: tuple[float, float]) -> ValuedMasks:
    """The masks of nobody and of everybody, with their values."""
    n = len(game.players)
    masks = np.stack([np.zeros(n, np.bool_), np.ones(n, np.bool_)])
    return ValuedMasks(masks, np.array(ends))
