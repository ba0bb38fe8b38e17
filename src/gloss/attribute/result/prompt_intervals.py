"""How far what a mean game says holds for prompts beyond those that it is the mean of.

What is measured of each prompt has Student's interval over them. An average over masks is worked
out for each prompt on the same masks, and how much these differ is added to what the masks leave
open. Each prompt's values count as they depart from its own line on what the attribution predicts,
so that prompts whose values are high, or vary much, do not blur the players.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, all_masks
from gloss.attribute.game import Evaluations
from gloss.attribute.prompt_average import AverageGame
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.measured import MeasuredSets, masks_of_sets
from gloss.attribute.result.over_prompts import OverPrompts
from gloss.records import Estimate
from gloss.statistics.intervals import student_interval, student_quantile

FEWEST_MASKS = 16  # that keep half, from which on averages are worked out for each prompt


def with_prompt_intervals(
    game: AverageGame, known: Evaluations, found: Interactions
) -> Interactions:
    """The same with intervals over the prompts of all that is told, from values that are known."""
    nobody, everybody = game.values_by_prompt(masks_of_sets([], [], len(found.players)))
    spread = OverPrompts(
        game.prompts,
        int((everybody > 0).sum()) if game.answers_right else None,
        student_interval(everybody),
        student_interval(nobody),
        halves_over_prompts(game, known, found),
    )
    if found.measured:
        lost, alone = measured_over_prompts(game, found.measured)
        spread = replace(spread, lost=lost, alone=alone)
    return replace(found, over_prompts=spread)


def measured_over_prompts(
    game: AverageGame, measured: MeasuredSets
) -> tuple[dict[PlayerSet, Estimate], dict[PlayerSet, Estimate]]:
    """What each prompt loses without a set, and what a set does alone."""
    without, alone = list(measured.lost), list(measured.alone)
    values = game.values_by_prompt(masks_of_sets(without, alone, len(game.players)))
    lost, done = np.split(values[2:], [len(without)])
    return (
        dict(zip(without, map(student_interval, values[1] - lost), strict=True)),
        dict(zip(alone, map(student_interval, done - values[0]), strict=True)),
    )


def halves_over_prompts(
    game: AverageGame, known: Evaluations, found: Interactions
) -> dict[PlayerSet, float]:
    """Half the width of what the prompts add to the intervals of the attribution's averages; none
    where it has none, or where too few masks keep half.
    """
    masks = half_kept_masks(game, known)
    enough = len(masks) >= min(FEWEST_MASKS, 2 ** len(game.players))
    if game.prompts < 2 or not enough or not found.averages:
        return {}
    sets = list(found.averages)
    effects = effects_by_prompt(game.values_by_prompt(masks), found, masks, sets)
    scale = student_quantile(game.prompts - 1) / math.sqrt(game.prompts)
    halves = scale * effects.std(axis=0, ddof=1)
    return dict(zip(sets, halves.tolist(), strict=True))


def half_kept_masks(game: AverageGame, known: Evaluations) -> Bool[ndarray, "mask player"]:
    """All masks of the game where all were asked about, or else those that were drawn to keep
    half: what other settings paid for is left out, so that equal ones say the same.
    """
    players = len(game.players)
    if len(known.used_masks()) >= 2**players:
        return all_masks(players)
    return known.drawn()


def effects_by_prompt(
    values: Float64[ndarray, "mask prompt"],
    found: Interactions,
    masks: Bool[ndarray, "mask player"],
    sets: Sequence[PlayerSet],
) -> Float64[ndarray, "prompt set"]:
    """What each set adds on average in each prompt: 2^|S| times its Fourier coefficient."""
    predicted = found.predict(masks)
    line = np.stack([np.ones(len(masks)), predicted], axis=1)
    weights = np.linalg.lstsq(line, values)[0]
    left = values - line @ weights
    series = found.into(Basis.FOURIER).coefficients
    signs = masks * 2.0 - 1
    effects = [
        2.0 ** len(one)
        * (weights[1] * series.get(one, 0.0) + signs[:, list(one)].prod(axis=1) @ left / len(masks))
        for one in sets
    ]
    return np.stack(effects, axis=1)
