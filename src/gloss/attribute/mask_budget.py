"""How a budget of values is spent: masks that keep half, masks near the whole, some asked about
twice, and those that are read as they are.
"""

from dataclasses import dataclass, field

import numpy as np

from gloss.attribute.bases import PlayerSet
from gloss.attribute.game import (
    Evaluations,
    Noise,
    TableGame,
    ValuedMasks,
    packed_masks,
    with_a_number,
)
from gloss.attribute.result.faithfulness import MaskSplit, split_masks, without_masks
from gloss.attribute.result.measured import MeasuredSets, masks_of_sets, measure_sets
from gloss.attribute.solve.spectral_peeling import CodedMasks

NEAR_SHARE = 8  # one of so many masks, at least, is near the whole
BOTH_SHARE = 5  # with few players one of so many is near the whole or leaves out one player
FEWEST_NEAR = 16  # below which there are none
WITHOUT_SHARE = 8  # at most one of so many values is of everybody without one player,
SINGLE_SHARE = 16  # and of one player alone
STRONGEST_SHARE = 64  # where there are more players, one of so many is of the strongest
LARGER_MEASURED = 8  # sets of two players and more, at most, whose values are read
LARGER_SHARE = 64  # at most one of so many values is spent twice on those
TRIED_AGAIN = 4  # masks that are asked about twice, and if they differ so many:
MOST_AGAIN = 32


@dataclass
class MaskBudget:
    """The masks of one attribution, as far as they are drawn."""

    known: Evaluations
    percent: int  # of the players that masks near the whole keep
    budget: int
    uniform: ValuedMasks = field(init=False)
    near: ValuedMasks = field(init=False)
    asked_again: int = field(init=False, default=0)  # values of masks that had one
    beside: int = field(init=False, default=0)  # values that nothing was fitted to

    def __post_init__(self) -> None:
        nothing = np.zeros((0, self.players), np.bool_)
        self.uniform = self.near = ValuedMasks(nothing, np.empty(0))

    @property
    def players(self) -> int:
        """How many there are."""
        return len(self.known.players)

    @property
    def is_table(self) -> bool:
        """Whether nothing can be asked."""
        return isinstance(self.known.game, TableGame)

    @property
    def all_without(self) -> bool:
        """Whether everybody without each player is asked about, and fitted to: near the whole that
        tells most, the more so the more players there are.
        """
        return self.players <= self.budget // WITHOUT_SHARE and not self.is_table

    @property
    def leaving_out_one(self) -> int:
        """How many of the drawn masks do, so that they are not asked about for that again."""
        masks = np.concatenate([self.uniform.masks, self.near.masks])
        return int((masks.sum(axis=1) == self.players - 1).sum())

    @property
    def single(self) -> int:
        """How many players are measured alone: all where that costs little, or the strongest."""
        all_cheap = self.players <= self.budget // SINGLE_SHARE
        return self.players if all_cheap else self.budget // STRONGEST_SHARE

    @property
    def larger(self) -> int:
        """How many larger sets are measured by themselves."""
        return min(LARGER_MEASURED, self.budget // LARGER_SHARE)

    @property
    def pays_for_all(self) -> bool:
        """Whether it reaches every mask of the game, or nothing is paid."""
        return self.is_table or self.budget >= 2**self.players

    @property
    def left(self) -> int:
        """The masks that may be fitted to."""
        if self.pays_for_all:
            return self.budget
        again = max(TRIED_AGAIN, self.asked_again)
        without = self.players - self.leaving_out_one if self.all_without else self.single
        return self.budget - without - self.single - 2 * (1 + self.larger) - again

    @property
    def drawn(self) -> int:
        """How many were asked for, failed ones included."""
        return sum(len(each.values) + each.failed for each in (self.uniform, self.near))

    @property
    def whole(self) -> bool:
        """Whether every mask of the game has a value."""
        return len(set(packed_masks(self.uniform.masks))) == 2**self.players

    def draw(self, total: int, rng: np.random.Generator) -> None:
        """Draw more, until there are so many."""
        near = 0
        if total < 2**self.players and not self.is_table:
            near = total // NEAR_SHARE
            if self.all_without:
                near = max(near, total // BOTH_SHARE - self.players)
        if near >= FEWEST_NEAR:
            more = near - len(self.near.values) - self.near.failed
            self.near = self.near.concatenate(self.known.near(max(0, more), self.percent, rng))
        more = self.known.uniform(max(0, total - self.drawn), rng)
        self.uniform = self.uniform.concatenate(more)

    def split(self, coded: CodedMasks | None) -> MaskSplit:
        """What there is, cut into what is fitted and what judges."""
        others = self.without_one()
        return split_masks(
            self.uniform, self.near, others.concatenate(coded.once) if coded else others
        )

    def without_one(self) -> ValuedMasks:
        """Everybody, and everybody but each player, where all are asked about."""
        masks = ~np.eye(self.players + 1, self.players, dtype=np.bool_)
        if self.pays_for_all or not self.all_without:
            return with_a_number(masks[:0], np.empty(0))
        return with_a_number(masks, self.known.values(masks))

    def ask_again(self) -> Noise | None:
        """Ask some masks twice, and more of them where they differ."""
        noise = None
        for count in (TRIED_AGAIN, min(MOST_AGAIN, self.budget // 8)):
            if not self.is_table:
                again = self.known.ask_again(self.uniform.masks[:count])
                self.asked_again = int(np.isfinite(again).sum())
            noise = self.known.noise()
            if not (noise and noise.deviation):
                return noise
        return noise

    def measure(self, strongest: list[PlayerSet]) -> MeasuredSets:
        """The values of players and of larger sets: of the strongest, where there are many."""
        single = [one for one in strongest if len(one) == 1]
        larger = [one for one in strongest if len(one) > 1][: self.larger]
        alone = [*single[: self.single], *larger]
        every = [(player,) for player in range(self.players)]
        without = [*every, *larger] if self.all_without else alone
        found = measure_sets(self.known, without, alone)
        if not self.is_table:
            learnt = [each.masks for each in (self.uniform, self.near, self.without_one())]
            beside = masks_of_sets(without, alone, self.players)
            numbers = with_a_number(beside, self.known.values(beside))
            new = without_masks(numbers, np.concatenate(learnt))
            self.beside = self.asked_again + len(new.values)
        return found
