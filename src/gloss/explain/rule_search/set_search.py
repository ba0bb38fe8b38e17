"""Sets of strings that stand at tokens or near them: for all forms of condition at once, which set
is worth most.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int64
from numpy import ndarray

from gloss.explain.rule_search.description_length import set_bits
from gloss.explain.rule_search.term_candidates import CandidateGroup, TermMaker, UncoveredRows
from gloss.explain.rule_search.train_windows import TrainWindows, Units
from gloss.rules.execute import where_found
from gloss.rules.language import Condition, IsClass, OneOf, Predicate, PredicateUnit, RuleTerm

SHRINKAGE = 1.0  # weight of the doubt in how often the feature fires on one string
LEAST, MOST, STEP = -6.0, 3.5, 0.25  # log odds of the thresholds that are tried on that share
THRESHOLDS = round((MOST - LEAST) / STEP) + 1
# stands for the set in a condition of which only the places are read
ANYTHING = IsClass(PredicateUnit.TOKEN, "letters")


@dataclass(frozen=True)
class SetFamily:
    """Conditions of one form that differ in a set of strings: one of the set stands at a place, or
    at one that lies before it in its run of places.
    """

    place: int  # of those that a Sight looks at
    bits: float  # of the form itself
    form: tuple[str | int | bool, ...]
    condition: Callable[[Predicate], Condition]


@dataclass(frozen=True)
class Sight:
    """What stands at some places beside each row.

    A row may stand for many tokens that see the same.
    """

    units: Units
    families: tuple[SetFamily, ...]
    begins: tuple[int, ...]  # of each place's run, in which places lie one behind the other
    seen: Int64[ndarray, " item"]  # the units that are seen, ascending
    items: Int64[ndarray, "place row"]  # as numbers into `seen`; len(seen) where there is nothing
    half: Int64[ndarray, " row"]  # of the documents: 0 or 1
    silent: Int64[ndarray, " row"]  # 0 where the feature fires, 1 where it does not
    weights: Float64[ndarray, " row"]

    @staticmethod
    def of_rows(rows: UncoveredRows, units: Units, family: SetFamily) -> "Sight":
        """What the rows are themselves: those of one unit and half that fire make one row, and so
        do those that do not.
        """
        keys, weights = units.keys.take(rows.indices), rows.weights
        weights = np.bincount(keys, weights, 4 * units.number)
        keys = np.flatnonzero(weights > 0)
        own = keys >> 2
        fresh = np.diff(own, prepend=-1) > 0
        items = (np.cumsum(fresh) - 1)[None]
        half, silent = (keys >> 1) & 1, keys & 1
        return Sight(units, (family,), (0,), own[fresh], items, half, silent, weights[keys])

    @staticmethod
    def of_places(
        rows: UncoveredRows,
        families: tuple[SetFamily, ...],
        begins: tuple[int, ...],
        tokens: Int64[ndarray, "place row"],
    ) -> "Sight":
        """What the rows see: tokens by their numbers, one more than there are for nothing."""
        units, half = rows.train_windows.tokens, rows.train_windows.half
        numbers = np.zeros(units.number + 1, np.int64)
        numbers[tokens] = 1
        seen = np.flatnonzero(numbers[:-1])
        numbers[seen] = np.arange(len(seen))
        numbers[-1] = len(seen)
        return Sight(
            units,
            families,
            begins,
            seen,
            numbers.take(tokens),
            half.take(rows.indices),
            (~rows.fires).astype(np.int64),
            rows.weights,
        )

    @property
    def seen_weights(self) -> Float32[ndarray, "place half kind item"]:
        """The weight of the rows that see each item at a place, or before it in its run: of those
        that fire, and of those that do not. Nothing, which is the last item, weighs nothing.
        """
        return self.weighed[0]

    def weights_at(self, place: int) -> Float64[ndarray, "kind seen"]:
        """The same of a place that is the first of its run, exactly, in both halves."""
        return self.weighed[1][place]

    @cached_property
    def weighed(
        self,
    ) -> tuple[Float32[ndarray, "place half kind item"], dict[int, Float64[ndarray, "kind seen"]]]:
        """Both."""
        size = len(self.seen) + 1
        found = np.empty((len(self.items), 2, 2, size), np.float32)
        exact: dict[int, Float64[ndarray, "kind seen"]] = {}
        kinds, total = (self.half * 2 + self.silent) * size, np.zeros(0)
        # a place at a time, which is quicker than all: its table is small
        for place, first in enumerate(self.begins):
            items = self.items[place]
            if first < place:
                again = (self.items[first:place] == items).any(axis=0)
                items = np.where(again, size - 1, items)
            here = np.bincount(items + kinds, self.weights, 4 * size).astype(np.float64, copy=False)
            total = here if first == place else total + here
            found[place] = total.reshape(2, 2, size)
            if first == place:
                exact[place] = here.reshape(2, 2, size)[..., :-1].sum(axis=0)
        found[..., -1] = 0
        return found, exact


def set_groups(rows: UncoveredRows, sight: Sight) -> Iterator[CandidateGroup]:
    """The sets of strings of every family that reach a threshold, to be near or not to be near.

    One half of the documents chooses, the other judges.
    """
    if not sight.families or not len(sight.seen):
        return
    weights = sight.seen_weights[[family.place for family in sight.families]]
    # firing rows are wanted, or else, for sets that must not be near, the others
    halves = shares_reached(weights)
    whole = shares_reached(weights[:, 0] + weights[:, 1])
    sums = foretold(sight, halves)
    sums[:, 1] = np.array(rows.sums)[:, None] - sums[:, 1]
    groups = np.arange(2 * len(whole)).reshape(-1, 2, 1) * (THRESHOLDS + 1)
    counts = np.bincount((whole + groups).ravel(), minlength=groups.size * (THRESHOLDS + 1))
    numbers = at_least(counts.reshape(len(whole), 2, -1).astype(np.float64))
    bits = set_bits(numbers, sight.units.universe)
    bits += np.array([family.bits for family in sight.families])[:, None, None]
    bits[numbers == 0] = np.inf
    for number, family in enumerate(sight.families):
        for sign in (0, 1):
            hits, false_positives = sums[number, sign]
            sets = whole[number, sign], halves[number, :, sign]
            maker = partial(set_maker, sight, family, sign == 1, *sets)
            yield CandidateGroup(bits[number, sign], hits, false_positives, maker)


def set_maker(
    sight: Sight,
    family: SetFamily,
    negated: bool,
    whole: Int8[ndarray, " item"],
    halves: Int8[ndarray, "half item"],
    threshold: int,
) -> TermMaker:
    """The set of the items that reach the threshold."""
    chosen = ChosenSet(sight, family, negated, whole > threshold, halves > threshold)
    return TermMaker((*family.form, negated), chosen.term, chosen.confirmed)


@dataclass(frozen=True)
class ChosenSet:
    """The items whose share reaches a threshold, as a set of a family."""

    sight: Sight
    family: SetFamily
    negated: bool
    whole: Bool[ndarray, " item"]  # whether the share in all documents does
    halves: Bool[ndarray, "half item"]  # and that in each half of them

    def term(self) -> RuleTerm:
        """The term whose set all documents suggest."""
        units = self.sight.units
        chosen = self.sight.seen[self.whole[:-1]].tolist()
        strings = dict.fromkeys(units.string(each) for each in chosen)
        return RuleTerm(self.family.condition(OneOf(units.unit, tuple(strings))), self.negated)

    def confirmed(self, windows: TrainWindows) -> Bool[ndarray, " token"]:
        """Where the term holds if each half of the documents is held against the set that the
        other half suggests.
        """
        units = self.sight.units
        table = np.zeros((units.number, 2, 2), bool)
        table[self.sight.seen] = self.halves[::-1, :-1].T[..., None]
        found, condition = table.reshape(-1).take(units.keys), self.family.condition(ANYTHING)
        return where_found(condition, found, windows.passage) ^ self.negated


def shares_reached(weights: Float32[ndarray, "... kind item"]) -> Int8[ndarray, "... kind item"]:
    """How many of the thresholds each weight's share reaches of it and of the other kind's: the
    logarithm of its odds says it, which they divide evenly.
    """
    found, flat = np.zeros(weights.size, np.int8), weights.reshape(-1)
    there = np.flatnonzero(flat > 0)
    odds = flat.take(there)
    odds /= weights[..., ::-1, :].reshape(-1).take(there) + SHRINKAGE
    np.log(odds, out=odds)
    odds -= LEAST - STEP
    odds /= STEP
    found[there] = np.clip(odds, 0, THRESHOLDS, out=odds)
    return found.reshape(weights.shape)


def foretold(
    sight: Sight, halves: Int8[ndarray, "family half kind item"]
) -> Float64[ndarray, "family sign kind threshold"]:
    """The weight of rows near a set that the other half of the documents suggests, at every
    threshold, for sets of either kind: of rows that fire, and of others.
    """
    families, rows = len(halves), len(sight.half)
    # both kinds of an item in one number of two bytes
    table = halves[:, :, 1].astype(np.int16)
    table <<= 8
    table |= halves[:, :, 0]
    table = table.reshape(families, -1)
    seen = sight.items + (1 - sight.half) * halves.shape[-1]
    weights = np.concatenate([sight.weights, sight.weights])
    groups = (np.array([[0], [2]]) + sight.silent) * (THRESHOLDS + 1)
    sums = np.empty((families, 2, 2, THRESHOLDS + 1))
    for number, family in enumerate(sight.families):
        pairs = table[number].take(seen[sight.begins[family.place] : family.place + 1])
        both = pairs.view(np.int8).reshape(-1, rows, 2)
        best = (both[0] if len(both) == 1 else both.max(axis=0)).T + groups
        counted = np.bincount(best.ravel(), weights, sums[number].size)
        sums[number] = counted.reshape(sums[number].shape)
    return at_least(sums)


def at_least(sums: Float64[ndarray, "... number"]) -> Float64[ndarray, "... threshold"]:
    """For every threshold the sum of those that reach it, from how many thresholds each reaches."""
    return np.cumsum(sums[..., ::-1], axis=-1)[..., -2::-1]
