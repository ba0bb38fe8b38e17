"""Splits masks into those that are fitted and those that judge, and makes the record of what was
found.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, evaluate_coefficients
from gloss.attribute.game import (
    NEAR_KIND,
    OTHER_KIND,
    UNIFORM_KIND,
    Evaluations,
    ValuedMasks,
    packed_masks,
)
from gloss.attribute.result.average_effects import average_effects, sets_of_interest
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.result.prediction_r2 import r2
from gloss.attribute.solve.sparse_regression import (
    WeightedFits,
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
    earlier one. A mask that comes more than once is in one part alone.
    """

    everything: ValuedMasks
    fitted: ValuedMasks  # all but those held out
    held_out: ValuedMasks  # that keep half
    near: ValuedMasks  # held out, too: near the whole
    train: ValuedMasks  # of those fitted, the ones that fits are made from
    validation: ValuedMasks  # and the ones that choose among fits
    kinds: Int64[ndarray, " mask"]  # of everything: uniform, near the whole, or learnt from alone
    out: Bool[ndarray, " mask"]  # of everything: held out


def split_masks(
    uniform: ValuedMasks, near: ValuedMasks | None = None, others: ValuedMasks | None = None
) -> MaskSplit:
    """`others` are neither uniform nor near the whole: they are learnt from, and judge nothing.

    A mask that is of several kinds counts as of the first, or else one that judges would be learnt
    from too. Raises BadInput where the game gave too few values.
    """
    if len(uniform.values) < FEWEST_VALUES:
        raise BadInput(
            f"the game gave {len(uniform.values)} values ({uniform.failed} failed); at least"
            f" {FEWEST_VALUES} masks are needed, so give a larger budget, or use exact for a small"
            " game"
        )
    everything, kinds = uniform, [UNIFORM_KIND] * len(uniform.values)
    places = [mask_parts(uniform.masks, HELD_OUT_EVERY)]
    for more, kind in ((near, NEAR_KIND), (others, OTHER_KIND)):
        if more is not None:
            more = without_masks(more, everything.masks)
            everything = everything.concatenate(more)
            kinds += [kind] * len(more.values)
            places.append(mask_parts(more.masks, HELD_OUT_EVERY) * (kind == NEAR_KIND))
    place, kind = np.concatenate(places), np.array(kinds)
    out, validation = place == HELD_OUT_EVERY - 1, place == HELD_OUT_EVERY // 2 - 1

    def those(which: np.ndarray) -> ValuedMasks:
        return ValuedMasks(everything.masks[which], everything.values[which])

    return MaskSplit(
        everything,
        those(~out),
        those(out & (kind == UNIFORM_KIND)),
        those(out & (kind == NEAR_KIND)),
        those(~out & ~validation),
        those(validation),
        kind,
        out,
    )


def without_masks(valued: ValuedMasks, known: Bool[ndarray, "mask player"]) -> ValuedMasks:
    """Those that are not among others."""
    seen = set(packed_masks(known))
    new = np.array([key not in seen for key in packed_masks(valued.masks)], np.bool_)
    return ValuedMasks(valued.masks[new], valued.values[new], valued.failed)


def mask_parts(masks: Bool[ndarray, "mask player"], parts: int) -> Int64[ndarray, " mask"]:
    """A part for each mask, in turn; equal masks are in the same."""
    numbers: dict[bytes, int] = {}
    return np.array(
        [numbers.setdefault(key, len(numbers)) % parts for key in packed_masks(masks)], np.int64
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
    everything, held_out, near = split.everything, split.held_out, split.near
    missed = held_out.values - predict_values(before, held_out.masks)
    faithfulness = Faithfulness(
        r2(held_out.values, held_out.values - missed, rng),
        len(held_out.values),
        near=r2(near.values, predict_values(before, near.masks), rng),
        near_n=len(near.values),
        spread=float(held_out.values.std()),
        near_spread=float(near.values.std()) if len(near.values) else np.nan,
    )
    coefficients = sum_fits(after)
    sets = sets_of_interest(coefficients, len(players))
    return Interactions(
        players=players,
        coefficients=coefficients,
        basis=Basis.FOURIER,
        method=method,
        faithfulness=faithfulness,
        evaluations=len(everything.values),
        failed=everything.failed,
        averages=average_effects(sum_fits(before), sets, held_out.masks, missed),
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
