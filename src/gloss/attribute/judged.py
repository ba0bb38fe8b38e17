"""An attribution as it is told: what a method found, judged on masks near the whole too, and beside
it the values that are measured by themselves.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.bases import all_masks
from gloss.attribute.game import (
    Evaluations,
    Game,
    TableGame,
    ValuedMasks,
    as_evaluations,
    costs_money,
)
from gloss.attribute.mask_budget import FEWEST_NEAR, NEAR_SHARE
from gloss.attribute.prompt_average import average_behind
from gloss.attribute.result.faithfulness import without_masks
from gloss.attribute.result.interaction_terms import player_terms, set_terms
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.measured import measure_sets
from gloss.attribute.result.prediction_r2 import r2
from gloss.attribute.result.prompt_intervals import with_prompt_intervals
from gloss.records import Estimate

SHARE_MEASURED = 32  # of values, one is spent twice on a player by itself
MOST_NEAR = 64  # masks near the whole that judge a method which asked about none
KEPT = 90  # per cent of the players that these keep


def attribute_game(attributor: Any, game: Game, rng: np.random.Generator) -> Interactions:
    """What a method finds, with R2 near the whole and measured values where it has none.

    These are asked for beside the method's budget: `most_beside` says how many. Of a game whose
    values cost money nothing is asked beyond the budget but the ends. Raises what the method does.
    """
    known = as_evaluations(game).from_the_start()
    found = attributor.attribute(known, rng)
    asked = known.used()
    own, paid = asked.numbers, asked.numbers + asked.failed
    found = judge_near(known, found, rng, near_masks(known.game, attributor, found, paid))
    found = with_measured(known, found)
    if isinstance(known.game, TableGame):
        return found
    if average := average_behind(known.game):
        found = with_prompt_intervals(average, known, found)
    used = known.used()
    # slopes are no values of masks, and only the method knows how many it used
    numbers = max(used.numbers, found.evaluations + used.numbers - own)
    return replace(found, evaluations=numbers, failed=used.failed)


def near_masks(game: Game, attributor: Any, found: Interactions, used: int) -> int:
    """How many masks judge near the whole: what the budget leaves, where values cost money and of
    a method that spends it on measured values itself.
    """
    share = min(MOST_NEAR, found.evaluations // NEAR_SHARE)
    if costs_money(game) or found.measured is not None:
        share = min(share, (getattr(attributor, "budget", None) or 0) - used - 2)
    return share if share >= FEWEST_NEAR else 0


def most_beside(game: Game, used: int) -> int:
    """The values at most that are asked for beside so many, of a method that judges and measures
    nothing near the whole.
    """
    if isinstance(game, TableGame) or costs_money(game):
        return 0 if isinstance(game, TableGame) else 2
    single = max(1, used // SHARE_MEASURED)
    return min(MOST_NEAR, used // NEAR_SHARE) + 2 * (1 + single + single // 2)


def judge_near(
    known: Evaluations, found: Interactions, rng: np.random.Generator, most: int = MOST_NEAR
) -> Interactions:
    """With R2 on `most` masks near the whole that the method did not see; of a game that is known
    whole, over all masks as often as they would be drawn.

    The same where R2 near the whole is there already, and of a table, which has no such masks.
    """
    trust, n = found.faithfulness, len(found.players)
    nothing = trust.r2.value == 1 if trust.whole else not most
    if trust.near_n or isinstance(known.game, TableGame) or nothing:
        return found
    if not trust.whole:
        return judged_by_unseen(known, found, most, KEPT, rng)
    masks = all_masks(n)
    values, sizes = known.values(masks), masks.sum(axis=1)
    weights = (KEPT / 100) ** sizes * (1 - KEPT / 100) ** (n - sizes)
    near = r2(values, found.predict(masks), rng, weights=weights)
    return with_near(found, Estimate(near.value, near.value, near.value), values, KEPT)


def judged_by_unseen(
    known: Evaluations, found: Interactions, most: int, percent: int, rng: np.random.Generator
) -> Interactions:
    """With R2 on as many masks that keep so many per cent and were not asked about before."""
    valued = unseen_near(known, most, percent, rng)
    near = r2(valued.values, found.predict(valued.masks), rng)
    judged = with_near(found, near, valued.values, percent)
    return replace(judged, failed=found.failed + valued.failed)


def with_near(
    found: Interactions, near: Estimate, values: Float64[ndarray, " mask"], percent: int
) -> Interactions:
    """With this R2 of these values near the whole."""
    trust = replace(
        found.faithfulness,
        near=near,
        near_n=len(values),
        kept=percent,
        near_spread=float(values.std()) if len(values) else np.nan,
    )
    return replace(found, faithfulness=trust)


def unseen_near(
    known: Evaluations, count: int, percent: int, rng: np.random.Generator
) -> ValuedMasks:
    """As many masks near the whole that were not asked about before; fewer where there are none."""
    before = known.used_masks()
    found = ValuedMasks(before[:0], np.empty(0))
    while (left := count - len(found.values) - found.failed) > 0:
        drawn = known.near(left, percent, rng)
        if not len(drawn.masks) and not drawn.failed:
            break
        found = found.concatenate(without_masks(drawn, before))
    return found


def with_measured(known: Evaluations, found: Interactions) -> Interactions:
    """With the values of players and of sets that are told by themselves: of all where these are
    known already, or else of the strongest, where the method measured none.

    As few are asked for as cost little beside what was used, and the ends alone where each costs
    money.
    """
    terms = [term.players for term in (*player_terms(found), *set_terms(found))]
    if not (isinstance(known.game, TableGame) or found.faithfulness.whole):
        if found.measured is not None:
            return found
        most = 0 if costs_money(known.game) else max(1, found.evaluations // SHARE_MEASURED)
        single = [one for one in terms if len(one) == 1]
        terms = [*single[:most], *terms[len(single) :][: most // 2]]
    return replace(found, measured=measure_sets(known, terms, terms))
