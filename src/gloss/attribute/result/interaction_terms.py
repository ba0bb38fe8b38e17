"""What players and sets of players do, as rows for people: on average with an interval, what is
lost without them, what they do alone, and of what kind a set is.

A set's kind is read from the game of its players alone, every other one kept in half of all masks:
what each part of the set adds there beyond smaller parts. It is called only where the intervals of
all these numbers agree.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from statistics import NormalDist

from gloss.attribute.bases import Basis, PlayerSet
from gloss.attribute.result.average_effects import sets_of_interest
from gloss.attribute.result.interactions import MISSING, Interactions
from gloss.records import Estimate

NEGLIGIBLE_SHARE = 0.1  # share of a set's effect below which another is nothing beside it
LEAST_TOLD = 1e-3  # share of the largest coefficient below which nothing is told
MOST_CALLED = 6  # players of a set whose kind is sought
TAIL = 0.025  # on each side of an interval


class InteractionKind(StrEnum):
    """How the players of a set act together."""

    ONLY_TOGETHER = "only together"  # fewer of them do nothing
    SYNERGY = "synergy"  # all parts pull the same way
    ANY_ENOUGH = "any is enough"  # more than one of them adds nothing
    REDUNDANCY = "redundancy"  # each takes a part of what another adds


@dataclass(frozen=True, slots=True)
class InteractionTerm:
    """A player or a set; what could not be had, or was not asked for, is not a number."""

    players: PlayerSet
    # what they add together beyond what fewer add, over masks that keep half of the others; the
    # interval of a set holds for all sets of at most its size, for it was chosen among them
    average: Estimate
    lost: float  # v(everybody) - v(everybody without them), measured
    alone: float  # v(they alone) - v(nobody), measured
    kind: InteractionKind | None = None
    # the last two over the prompts of a mean game
    lost_interval: Estimate = MISSING
    alone_interval: Estimate = MISSING

    @property
    def strength(self) -> float:
        """The size of the Fourier coefficient: by it sets of any size are compared."""
        return abs(self.average.value) / 2 ** len(self.players)


def average_title(found: Interactions) -> str:
    """What the averages are: true of the game, or of the method's account of it."""
    return "on average" if found.averages else f"by {found.method}"


@dataclass(frozen=True)
class KnownAverages:
    """What an attribution says of sets on average, in one place."""

    found: Interactions
    averages: Mapping[PlayerSet, Estimate]
    series: Mapping[PlayerSet, float]  # Fourier coefficients, of all sets

    @staticmethod
    def of(found: Interactions) -> "KnownAverages":
        """The method's own averages, or what its coefficients give: with an interval where it has
        one of the coefficient that is the average.
        """
        series = found.into(Basis.FOURIER).coefficients
        if found.averages:
            return KnownAverages(found, found.averages, series)
        largest = max(map(len, found.coefficients), default=0)
        averages: dict[PlayerSet, Estimate] = {}
        for one in sets_of_interest(series, len(found.players)):
            size = 2 ** len(one)
            is_average = found.basis is Basis.MOBIUS and len(one) == largest
            scale = size if found.basis is Basis.FOURIER else 1 if is_average else math.nan
            own = found.stability.get(one, MISSING)
            averages[one] = Estimate(size * series.get(one, 0.0), scale * own.low, scale * own.high)
        return KnownAverages(found, averages, series)

    @cached_property
    def largest(self) -> float:
        """Of the Fourier coefficients, in size."""
        return max(
            (abs(each.value) / 2 ** len(one) for one, each in self.averages.items() if one),
            default=0.0,
        )

    def is_told(self, one: PlayerSet) -> bool:
        """Whether it is no rounding error beside the strongest, and beyond its interval even where
        it was chosen among all sets of at most its size.
        """
        if not abs(self.averages[one].value) / 2 ** len(one) > LEAST_TOLD * self.largest:
            return False
        widened = self.widened(one)
        return not widened.low <= 0 <= widened.high

    def widened(self, one: PlayerSet) -> Estimate:
        """The average with the interval that holds for all sets of at most its size together, and
        with what prompts add to it.
        """
        return self.over_prompts(one, widen(self.averages[one], self.widening(len(one))))

    def over_prompts(self, one: PlayerSet, average: Estimate) -> Estimate:
        """The average with an interval that counts how it differs between prompts, too."""
        over = self.found.over_prompts
        return add_error(average, over.halves.get(one, 0.0)) if over else average

    def widening(self, size: int) -> float:
        """How much wider the interval of one set must be to hold for all sets of at most its size
        together.
        """
        return bonferroni_widening(size, len(self.found.players))

    def term(self, one: PlayerSet) -> InteractionTerm:
        """All that is known of a player or a set."""
        measured, over = self.found.measured, self.found.over_prompts
        average = self.widened(one) if len(one) > 1 else self.over_prompts(one, self.averages[one])
        return InteractionTerm(
            one,
            average,
            measured.lost.get(one, math.nan) if measured else math.nan,
            measured.alone.get(one, math.nan) if measured else math.nan,
            interaction_kind(one, self),
            over.lost.get(one, MISSING) if over else MISSING,
            over.alone.get(one, MISSING) if over else MISSING,
        )


def player_terms(found: Interactions) -> list[InteractionTerm]:
    """Every player, the strongest first."""
    known = KnownAverages.of(found)
    return sort_terms(known.term((player,)) for player in range(len(found.players)))


def told_players(found: Interactions) -> list[InteractionTerm]:
    """The players that move the value beyond their intervals, the strongest first."""
    known = KnownAverages.of(found)
    return [term for term in player_terms(found) if known.is_told(term.players)]


def set_terms(found: Interactions) -> list[InteractionTerm]:
    """The sets of two and more that act together beyond their intervals, the strongest first."""
    known = KnownAverages.of(found)
    return sort_terms(
        known.term(one) for one in known.averages if len(one) > 1 and known.is_told(one)
    )


def sort_terms(terms: Iterable[InteractionTerm]) -> list[InteractionTerm]:
    """The strongest first."""
    return sorted(terms, key=lambda term: (-term.strength, len(term.players), term.players))


def half_width(found: Estimate) -> float:
    """Of its interval; not a number where there is none."""
    return (found.high - found.low) / 2


def widen(found: Estimate, factor: float) -> Estimate:
    """The same with a wider interval."""
    low, high = (found.value + factor * (end - found.value) for end in (found.low, found.high))
    return Estimate(found.value, low, high)


def add_error(found: Estimate, half: float) -> Estimate:
    """The same with an interval that is wider by another error, independent of its own."""
    below, above = (math.hypot(found.value - end, half) for end in (found.low, found.high))
    return Estimate(found.value, found.value - below, found.value + above)


def bonferroni_widening(size: int, players: int) -> float:
    """How much wider an interval that holds for one must be to hold for all sets of at most so many
    of the players together (Bonferroni).
    """
    tried = sum(math.comb(players, k) for k in range(1, size + 1))
    normal = NormalDist()
    return normal.inv_cdf(TAIL / tried) / normal.inv_cdf(TAIL)


def interaction_kind(one: PlayerSet, known: KnownAverages) -> InteractionKind | None:
    """The kind of a set; None for a single player, and where intervals leave it open."""
    if not 2 <= len(one) <= MOST_CALLED:
        return None
    series, width = coefficients_within(one, known)
    if any(math.isnan(each) for each in width.values()):
        return None
    whole, sign = 2 ** len(one) * series[one], (-1) ** len(one)
    own = 2 ** len(one) * width[one]
    parts = [part for part in series if part != one]
    added = {part: added_by_part(part, series, width) for part in parts}
    if all(is_nothing(value, half, whole) for value, half in added.values()):
        return InteractionKind.ONLY_TOGETHER
    # where any one is enough, a part adds what the whole does, with alternating signs
    if all(
        is_nothing(value - sign * (-1) ** len(part) * whole, math.hypot(half, own), whole)
        for part, (value, half) in added.items()
    ):
        return InteractionKind.ANY_ENOUGH
    least = NEGLIGIBLE_SHARE * abs(series[one])
    if any(abs(series[part]) <= max(width[part], least) for part in parts):
        return None
    same = {part: series[part] * series[one] > 0 for part in parts}
    if all(same.values()):
        return InteractionKind.SYNERGY
    if all(same[part] == (sign == (-1) ** len(part)) for part in parts):
        return InteractionKind.REDUNDANCY
    return None


def coefficients_within(
    one: PlayerSet, known: KnownAverages
) -> tuple[dict[PlayerSet, float], dict[PlayerSet, float]]:
    """The Fourier coefficient of every part of the set, the set itself included, and the half width
    of its interval: of parts whose average was not worked out, as wide as the set's.
    """
    width = half_width(known.averages[one]) / 2 ** len(one)
    series: dict[PlayerSet, float] = {}
    widths: dict[PlayerSet, float] = {}
    for part in nonempty_subsets(one):
        own = known.averages.get(part)
        series[part] = own.value / 2 ** len(part) if own else known.series.get(part, 0.0)
        widths[part] = half_width(own) / 2 ** len(part) if own else width
    return series, widths


def added_by_part(
    part: PlayerSet, series: Mapping[PlayerSet, float], width: Mapping[PlayerSet, float]
) -> tuple[float, float]:
    """What a part adds beyond smaller ones where the rest of the set is removed, and the half width
    of its interval: its Möbius coefficient in the game of the set's players.
    """
    around = [each for each in series if set(part) <= set(each)]
    value = sum((-1) ** (len(each) - len(part)) * series[each] for each in around)
    scale = 2 ** len(part)
    return scale * value, scale * math.hypot(*(width[each] for each in around))


def is_nothing(value: float, half: float, beside: float) -> bool:
    """Whether a number is nothing beside another: by size or within its interval, which must be
    narrow enough to say so.
    """
    size = abs(value)
    return size <= max(NEGLIGIBLE_SHARE * abs(beside), half) and size + half <= abs(beside) / 2


def nonempty_subsets(one: PlayerSet) -> list[PlayerSet]:
    """All of them but the empty one."""
    return [part for size in range(1, len(one) + 1) for part in combinations(one, size)]


def variation_shares(found: Interactions) -> dict[int, float]:
    """The share of the variation of all that was found that sets of each size make up, over masks
    that keep half; nothing where nothing varies. What they lack of 1 is the rest, in many sets.
    """
    energy: dict[int, float] = {}
    for one, value in found.into(Basis.FOURIER).coefficients.items():
        if one:
            energy[len(one)] = energy.get(len(one), 0.0) + value**2
    total = sum(energy.values()) + (found.rest.variance if found.rest else 0.0)
    return {size: energy[size] / total for size in sorted(energy)} if total else {}


def share_of_rest(found: Interactions) -> float:
    """The share of that variation that lies in many sets, none of which is told."""
    return 1 - sum(variation_shares(found).values()) if found.rest else 0.0
