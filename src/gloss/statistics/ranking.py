"""How well numbers rank firing contexts above inactive ones, as mixed and at the feature's true
rate, with intervals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.records import Estimate
from gloss.statistics.intervals import estimate_from_draws

DRAWS = 2000
# of an item, at either end of the ranking; with a half, intervals of nearly perfect rankings lie
# too low
END = 0.25
AREAS = ("auroc", "auprc", "auprc_at_base_rate")

# worked on at a time, so that what is worked out of them stays near the processor
DRAWS_AT_ONCE = 250

# how much each item of a side could count, with the ends of the ranking before and behind them
ItemWeights = Float64[ndarray, "_ draw"]
# how much of a side stands at each level, the highest level first
LevelWeights = Float64[ndarray, "level draw"]


@dataclass(frozen=True)
class RankedWeights:
    """How much of the firing side stands at each level, and of the inactive side above it and down
    to it.
    """

    firing: LevelWeights
    above: LevelWeights
    down_to: LevelWeights
    inactive: Float64[ndarray, " draw"]  # all of it

    @staticmethod
    def of_levels(firing: LevelWeights, inactive: LevelWeights) -> "RankedWeights":
        """Of both sides' weights at the same levels."""
        down_to = np.cumsum(inactive, axis=0)
        return RankedWeights(firing, down_to - inactive, down_to, down_to[-1])


Measure = Callable[[RankedWeights], Float64[ndarray, " draw"]]


def ranking_estimates(
    firing: Float64[ndarray, " firing"],
    inactive: Float64[ndarray, " inactive"],
    hard: Bool[ndarray, " inactive"],
    share_firing: float,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """AUROC and AUPRC (average precision) of values that should be higher where the feature fires;
    missing where a side is empty.

    A value that is not a number failed: it loses against every context of the other side, and
    claims nothing for precision. `auprc_at_base_rate` weighs firing contexts and inactive ones
    drawn at random (not `hard`) as they come in text, `share_firing` of them firing. All three are
    measured on the same draws.
    """
    if len(firing) == 0 or len(inactive) == 0:
        return dict.fromkeys(AREAS, Estimate.missing())
    weights = [draw_item_weights(len(side), rng) for side in (firing, inactive)]
    found, wrong = fill_failed(firing, -np.inf), fill_failed(inactive, -np.inf)
    mixed = len(firing) / (len(firing) + len(inactive))
    for_precision = SideRanks.of(found, wrong)
    ranks = (
        SideRanks.of(found, fill_failed(inactive, np.inf))
        if np.isnan(inactive).any()
        else for_precision,
        for_precision,
        SideRanks.of(found, wrong, np.flatnonzero(~hard)) if hard.any() else for_precision,
    )
    measures = (
        area_under_roc,
        partial(average_precision_at_share, share=mixed),
        partial(average_precision_at_share, share=share_firing),
    )
    asked = list(zip(ranks, measures, strict=True))[: 2 if hard.all() else 3]
    estimates = area_estimates(asked, weights[0], weights[1])
    estimates += [Estimate.missing()] * (len(AREAS) - len(estimates))
    return dict(zip(AREAS, estimates, strict=True))


def ranking_placements(
    firing: Float64[ndarray, " firing"], inactive: Float64[ndarray, " inactive"]
) -> tuple[Float64[ndarray, " firing"], Float64[ndarray, " inactive"]]:
    """For each context the share of the other side against which it is ranked rightly (DeLong et
    al., 1988).

    Half for ties, 0 for one that is not a number.
    """
    return share_below(firing, inactive), share_below(-inactive, -firing)


def share_below(
    values: Float64[ndarray, " value"], others: Float64[ndarray, " other"]
) -> Float64[ndarray, " value"]:
    """Of all others the share that lies below each value, equal ones by half."""
    known = np.sort(others[~np.isnan(others)])
    below = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")
    return np.where(np.isnan(values), 0.0, below / 2 / max(1, len(others)))


def ranking_headline(hard: Bool[ndarray, " inactive"]) -> str:
    """The metric to show first: the one that sees explanations that are too broad, where inactive
    contexts were drawn at random.
    """
    return "auroc" if hard.all() else "auprc_at_base_rate"


def fill_failed(values: Float64[ndarray, " context"], value: float) -> Float64[ndarray, " context"]:
    """The values, with `value` in place of those that are not a number."""
    return np.where(np.isnan(values), value, values)


def auroc_estimate(
    firing: Float64[ndarray, " firing"],
    inactive: Float64[ndarray, " inactive"],
    rng: np.random.Generator,
) -> Estimate:
    """The AUROC of values that should be higher where the feature fires, with its interval; missing
    where a side is empty.
    """
    if len(firing) == 0 or len(inactive) == 0:
        return Estimate.missing()
    weights = [draw_item_weights(len(side), rng) for side in (firing, inactive)]
    [found] = area_estimates([(SideRanks.of(firing, inactive), area_under_roc)], *weights)
    return found


def draw_item_weights(number: int, rng: np.random.Generator) -> ItemWeights:
    """How much each of so many items of a side counts, in a Bayesian bootstrap (Rubin, 1981).

    A quarter of an item is added at each end: the rate above any threshold is then drawn from
    Beta(k + 1/4, n - k + 1/4), so that a perfect ranking of few is not certain.
    """
    drawn = np.empty((number + 2, DRAWS))
    rng.standard_exponential(out=drawn[1:-1])
    drawn[[0, -1]] = rng.standard_gamma(END, (DRAWS, 2)).T
    return drawn


@dataclass(frozen=True, eq=False)
class SideRanks:
    """Where the items of both sides stand, the highest first; the ends of the ranking are items
    too.
    """

    firing: Int64[ndarray, " firing"]  # rows of its items' weights, by level
    starts: Int64[ndarray, " level"]  # in that order, where each of its levels begins
    inactive: Int64[ndarray, " inactive"]  # rows of its items' weights
    above: Int64[ndarray, " level"]  # how many of these stand above each level of the firing side
    down_to: Int64[ndarray, " level"]  # and how many above it or at it

    @staticmethod
    def of(
        firing: Float64[ndarray, " firing"],
        inactive: Float64[ndarray, " inactive"],
        among: Int64[ndarray, " _"] | None = None,
    ) -> "SideRanks":
        """Of these values; `among`: the rows of the inactive side that count, where not all do."""
        rows = np.arange(len(inactive)) if among is None else among
        order = np.argsort(-firing, kind="stable")
        levels, starts = np.unique(-firing[order], return_index=True)
        placed = rows[np.argsort(-inactive[rows], kind="stable")]
        above, down_to = (
            1 + np.searchsorted(-inactive[placed], levels, side) for side in ("left", "right")
        )
        last = len(rows) + 1
        return SideRanks(
            np.concatenate([[0], 1 + order, [len(firing) + 1]]),
            np.concatenate([[0], 1 + starts, [len(firing) + 1]]),
            np.concatenate([[0], 1 + placed, [len(inactive) + 1]]),
            np.concatenate([[0], above, [last]]),
            np.concatenate([[1], down_to, [last + 1]]),
        )

    def weigh(self, firing: ItemWeights, inactive: ItemWeights) -> RankedWeights:
        """Both sides with these weights."""
        found, so_far = firing[self.firing], np.zeros((len(self.inactive) + 1, firing.shape[1]))
        so_far[1:] = inactive[self.inactive]
        running_sums(so_far)
        if len(self.starts) < len(found):
            found = np.add.reduceat(found, self.starts, axis=0)
        return RankedWeights(found, so_far[self.above], so_far[self.down_to], so_far[-1])


def area_estimates(
    measures: Sequence[tuple[SideRanks, Measure]], firing: ItemWeights, inactive: ItemWeights
) -> list[Estimate]:
    """Each measure of its ranking, with the interval of its draws: all of the same draws."""
    once = [np.pad(np.ones((len(side) - 2, 1)), ((1, 1), (0, 0))) for side in (firing, inactive)]
    blocks = [slice(b, b + DRAWS_AT_ONCE) for b in range(0, firing.shape[1], DRAWS_AT_ONCE)]
    drawn: list[list[ndarray]] = [[] for _ in measures]
    for one, other in (once, *([firing[:, block], inactive[:, block]] for block in blocks)):
        weighed = {ranks: ranks.weigh(one, other) for ranks in {ranks for ranks, _ in measures}}
        for found, (ranks, measure) in zip(drawn, measures, strict=True):
            found.append(measure(weighed[ranks]))
    return [estimate_from_draws(float(value[0]), np.concatenate(draws)) for value, *draws in drawn]


def running_sums(rows: Float64[ndarray, "level draw"]) -> Float64[ndarray, "level draw"]:
    """Each row with all above it, in place: along rows NumPy's own would go a number at a time."""
    for row in range(1, len(rows)):
        rows[row] += rows[row - 1]
    return rows


def area_under_roc(ranked: RankedWeights) -> Float64[ndarray, " draw"]:
    """The chance that a firing context ranks above an inactive one; a tie counts half.

    >>> weights = np.array([[2.0], [0.0]]), np.array([[0.0], [3.0]])
    >>> area_under_roc(RankedWeights.of_levels(*weights))
    array([1.])
    """
    lost = column_products(ranked.firing, ranked.above + ranked.down_to) / 2
    return 1 - lost / (ranked.firing.sum(0) * ranked.inactive)


def average_precision_at_share(ranked: RankedWeights, share: float) -> Float64[ndarray, " draw"]:
    """The sum over levels, from the top, of gained recall times precision where this share of
    contexts fires.
    """
    if share == 0:
        return np.zeros(ranked.firing.shape[1])
    right = running_sums(ranked.firing.copy())
    found = right[-1].copy()
    claimed = ranked.down_to * ((1 - share) * found / (share * ranked.inactive))
    claimed += right
    # where nothing is claimed yet, nothing is gained either
    right /= np.maximum(claimed, np.finfo(np.float64).tiny, out=claimed)
    return column_products(ranked.firing, right) / found


def column_products(one: LevelWeights, other: LevelWeights) -> Float64[ndarray, " draw"]:
    """The scalar product of each draw's columns."""
    return np.einsum("ld,ld->d", one, other)
