"""Shapley and Banzhaf values of players and pairs from a Gaussian process fitted to paired masks.

A process says what the game is likely to be where no mask was valued, and every value that was paid
for stands as it is: what the process misses of it is added with the weight that the mask has in the
index, as regression-adjusted estimates do with a surrogate (Witter, Liu & Musco, 2025). Each mask
is judged by what all others say of it, so that none is held out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, all_masks
from gloss.attribute.game import Evaluations, ValuedMasks
from gloss.attribute.methods.exact import exact_interactions
from gloss.attribute.methods.paired_values import draw_size_pairs, draw_uniform_pairs, left_out_r2
from gloss.attribute.result.faithfulness import (
    SetFit,
    empty_and_full_masks,
    empty_and_full_values,
    estimates_of_sets,
    judge_set_fit,
)
from gloss.attribute.result.indices import Index
from gloss.attribute.result.interactions import Faithfulness, Interactions
from gloss.attribute.solve.index_weights import SetIndex
from gloss.attribute.solve.mask_process import MaskProcess, fit_process, inverse_of_factor
from gloss.errors import BadInput, BadSettings

FEWEST_MASKS = 16
MOST_TOGETHER = 2048  # masks of one process; more are split among several, whose mean is taken
MOST_NUMBERS = 1 << 27  # masks times sets
DEVIATIONS = 1.96  # of a normal interval of 95 %


@dataclass(frozen=True, slots=True)
class SoughtValues:
    """Which values, from how many masks. `order` 2 asks for pairs as well."""

    method: str
    budget: int
    order: int
    shapley: bool

    def indices(self, players: int) -> list[SetIndex]:
        """Those that are estimated: of players, perhaps of pairs, and for Banzhaf the mean."""
        sizes = range(1 if self.shapley else 0, self.order + 1)
        return [SetIndex(players, size, self.shapley) for size in sizes]


@dataclass(frozen=True, slots=True)
class IndexEstimates:
    """Indices as weighted sums of values, and what leaving out each mask would change."""

    values: Float64[ndarray, " set"]
    deviations: Float64[ndarray, " set"]
    gains: Float64[ndarray, "mask set"]  # by how much an index moves with each mask's value
    left_out: Float64[ndarray, " mask"]  # a mask's value less what all the others say it is


def require_process_for_pairs(order: int, approach: str) -> None:
    """Raises BadSettings for an order that this approach cannot give."""
    if order > (2 if approach == "process" else 1):
        raise BadSettings(
            f"order is {order} with approach {approach!r}; give 1, or 2 with approach 'process'"
        )


def values_by_process(
    game: Evaluations, asked: SoughtValues, rng: np.random.Generator
) -> Interactions:
    """Möbius coefficients of players, and with `order` 2 of pairs, whose indices are the estimates.

    Raises BadInput for fewer masks than the method needs, or values that could not be had.
    """
    n = len(game.players)
    if asked.budget >= game.available == 2**n:
        return values_of_all_masks(game, asked)
    needed = max(FEWEST_MASKS, n) + 2
    if min(asked.budget, game.available) < needed:
        raise BadInput(
            f"a budget of {asked.budget} masks is too small for {n} players: {needed} are needed;"
            " give more"
        )
    ends = empty_and_full_values(game) if asked.shapley else None
    used = (
        draw_size_pairs(game, asked.budget - 2, rng)
        if asked.shapley
        else draw_uniform_pairs(game, asked.budget, rng)
    )
    sets = sum(len(index.sets) for index in asked.indices(n))
    if sets * min(len(used.values), MOST_TOGETHER) > MOST_NUMBERS or len(used.values) < needed - 2:
        raise BadInput(
            f"{len(used.values)} values of {n} players do not suit {asked.method} with order"
            f" {asked.order}; use auto, or order 1"
        )
    found = estimate_indices(used, asked, ends, rng)
    return record_of(game, asked, used, found, ends, rng)


def values_of_all_masks(game: Evaluations, asked: SoughtValues) -> Interactions:
    """The exact values, where the budget pays for every mask."""
    n = len(game.players)
    masks = all_masks(n)
    values = game.values(masks)
    if missing := int((~np.isfinite(values)).sum()):
        raise BadInput(f"the game gave no number for {missing} of {len(values)} masks; use auto")
    valued = ValuedMasks(masks, values)
    exact = exact_interactions(asked.method, game.players, valued)
    names = (
        (Index.SHAPLEY, Index.SHAPLEY_INTERACTION)
        if asked.shapley
        else (Index.BANZHAF, Index.BANZHAF_INTERACTION)
    )
    known = exact.index(names[0], 1) | {
        one: value
        for one, value in (exact.index(names[1], 2) if asked.order > 1 else {}).items()
        if len(one) == 2
    }
    start = float(values[0]) if asked.shapley else float(values.mean())
    each = [known.get(one, 0.0) for index in asked.indices(n) for one in index.sets if one]
    coefficients = mobius_of_indices(np.array(each), start, n, asked)
    exactly = np.array(list(coefficients.values()))
    stability = estimates_of_sets(list(coefficients), exactly, exactly, exactly)
    fit = SetFit(coefficients, Basis.MOBIUS, valued, stability)
    return judge_set_fit(asked.method, game.players, fit, valued, np.random.default_rng(0))


def mobius_of_indices(
    values: Float64[ndarray, " set"], start: float, players: int, asked: SoughtValues
) -> dict[PlayerSet, float]:
    """The function of players, and with `order` 2 of pairs, that has these indices.

    For Shapley it begins at nobody's value (n-Shapley values: Bordt & von Luxburg, 2023), for
    Banzhaf its mean is the game's (Faith-Banzhaf: Tsai et al., 2023).
    """
    alone, together = values[:players].copy(), values[players:]
    constant = start if asked.shapley else start - alone.sum() / 2 + together.sum() / 4
    found: dict[PlayerSet, float] = {}
    if asked.order > 1:
        pairs = SetIndex(players, 2, asked.shapley)
        for side in pairs.pairs:
            alone -= np.bincount(side, together, players) / 2
        found = dict(zip(pairs.sets, together.tolist(), strict=True))
    singles = {(player,): value for player, value in enumerate(alone.tolist())}
    return {(): float(constant)} | singles | found


def index_columns(
    masks: Bool[ndarray, "mask player"], asked: SoughtValues
) -> Float64[ndarray, "mask set"]:
    """What each estimate adds to the value that the function gives a mask."""
    centred = masks - 0.5
    columns = [masks * 1.0 if asked.shapley else centred]
    if asked.order > 1:
        first, second = SetIndex(masks.shape[1], 2, asked.shapley).pairs
        columns.append(centred[:, first] * centred[:, second] - (0.25 if asked.shapley else 0.0))
    if not asked.shapley:
        columns.insert(0, np.ones((len(masks), 1)))
    return np.concatenate(columns, axis=1)


def estimate_indices(
    used: ValuedMasks,
    asked: SoughtValues,
    ends: tuple[float, float] | None,
    rng: np.random.Generator,
) -> IndexEstimates:
    """All of them, from one process whose settings are learnt once.

    A deviation is the process' own, or what leaving out each mask in turn moves, whichever is
    larger: the process believes the settings that it learnt.
    """
    middle, spread = float(used.values.mean()), float(used.values.std())
    indices = asked.indices(used.masks.shape[1])
    if not spread > 1e-12 * max(1.0, abs(middle)):
        spread = 0.0
    unit = spread or 1.0
    values = (used.values - middle) / unit
    process = fit_process(used.masks, values, rng)
    relative = None if ends is None else ((ends[0] - middle) / unit, (ends[1] - middle) / unit)
    blocks = -(-len(values) // MOST_TOGETHER)
    order = rng.permutation(len(values)) if blocks > 1 else np.arange(len(values))
    sets = sum(len(index.sets) for index in indices)
    total, variance = np.zeros(sets), np.zeros(sets)
    gains, left_out = np.zeros((len(values), sets)), np.zeros(len(values))
    for rows in np.array_split(order, blocks):
        some = ValuedMasks(used.masks[rows], values[rows])
        part = estimate_by_process(process, some, indices, relative)
        total += part.values / blocks
        variance += part.deviations**2 / blocks**2
        gains[rows], left_out[rows] = part.gains / blocks, part.left_out
    if not asked.shapley:
        total[0] += middle / unit
    moved = np.square(gains * left_out[:, None]).sum(axis=0)
    deviations = np.sqrt(np.maximum(variance, moved)) * spread
    return IndexEstimates(total * unit, deviations, gains, left_out * unit)


def estimate_by_process(
    process: MaskProcess,
    used: ValuedMasks,
    indices: list[SetIndex],
    ends: tuple[float, float] | None,
) -> IndexEstimates:
    """The mean of each index under the process given the values, and its deviation.

    The empty and the full mask, whose values Shapley's sums know, are taken out of the process.
    """
    from scipy.linalg import cholesky

    own = process.own_variance(used.masks)
    covariance = process.covariance(used.masks, used.masks) + np.diag(own)
    inverse = inverse_of_factor(cholesky(covariance, check_finite=False))
    n = used.masks.shape[1]
    outer = np.stack([np.zeros(n, np.bool_), np.ones(n, np.bool_)])
    values, deviations, gains = [], [], []
    for index in indices:
        weights = index.of_masks(used.masks)
        smooth, prior = index.of_process(process, used.masks), index.variance(process)
        added = 0.0
        if ends is not None:
            at_ends = index.of_masks(outer)
            smooth = smooth - process.covariance(used.masks, outer) @ at_ends
            between = process.covariance(outer, outer) @ at_ends
            prior = prior + (at_ends * (between - 2 * index.of_process(process, outer))).sum(axis=0)
            added = np.array(ends) @ at_ends
        shared = smooth + own[:, None] * weights
        gain = inverse @ shared
        left = prior + index.own_variance(process) - (shared * gain).sum(axis=0)
        values.append(used.values @ gain + added)
        gains.append(gain)
        deviations.append(np.sqrt(np.maximum(left, 0)))
    left_out = inverse @ used.values / np.diag(inverse)
    return IndexEstimates(
        np.concatenate(values), np.concatenate(deviations), np.concatenate(gains, axis=1), left_out
    )


def record_of(
    game: Evaluations,
    asked: SoughtValues,
    used: ValuedMasks,
    found: IndexEstimates,
    ends: tuple[float, float] | None,
    rng: np.random.Generator,
) -> Interactions:
    """The function that has these indices, judged on each mask without the mask itself."""
    n = len(game.players)
    values, start, half = found.values, 0.0, DEVIATIONS * found.deviations
    if ends is not None:
        start = ends[0]
        values = values.copy()
        values[:n] += (ends[1] - ends[0] - values[:n].sum()) / n  # what rounding left
    columns = index_columns(used.masks, asked)
    without = columns @ values - (columns * found.gains).sum(axis=1) * found.left_out
    r2 = left_out_r2(ValuedMasks(used.masks, used.values), start + without, rng)
    mean = 0 if asked.shapley else 1
    start = start if asked.shapley else float(values[0])
    coefficients = mobius_of_indices(values[mean:], start, n, asked)
    estimates = np.array(list(coefficients.values()))[1:]
    half = half[mean:]
    if asked.order > 1:
        pairs = SetIndex(n, 2, asked.shapley)
        spread = sum(np.bincount(side, half[n:] ** 2, n) for side in pairs.pairs)
        half = np.concatenate([np.sqrt(half[:n] ** 2 + spread / 4), half[n:]])
    sets = [one for one in coefficients if one]
    whole = used if ends is None else used.concatenate(empty_and_full_masks(game, ends))
    return Interactions(
        players=game.players,
        coefficients=coefficients,
        basis=Basis.MOBIUS,
        method=asked.method,
        faithfulness=Faithfulness(r2, len(used.values)),
        evaluations=len(whole.values),
        failed=used.failed,
        stability=estimates_of_sets(sets, estimates, estimates - half, estimates + half),
    )
