"""Terms worth trying on a set of tokens, judged by what they earn after they have been paid for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.explain.rule_search.description_length import DescriptionLength, set_bits
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules.execute import where_condition_holds
from gloss.rules.language import Condition, RuleTerm

SHRINKAGE = 1.0  # weight of the doubt in how often the feature fires on one string
SHARES = 1 / (1 + np.exp(-np.linspace(-6.0, 3.5, 39)))  # thresholds that are tried on that share


@dataclass(frozen=True)
class UncoveredRows:
    """The tokens that are still in question."""

    train_windows: TrainWindows
    indices: Int64[ndarray, " row"]  # into the tokens of the train windows
    firing: Float64[ndarray, " row"]  # the row's weight where the feature fires, else 0
    inactive: Float64[ndarray, " row"]  # the row's weight where it does not, else 0
    description: DescriptionLength

    @staticmethod
    def of(
        train_windows: TrainWindows,
        uncovered: Bool[ndarray, " token"],
        description: DescriptionLength,
    ) -> "UncoveredRows":
        """All tokens that count and that no alternative covers yet."""
        indices = np.flatnonzero(uncovered & (train_windows.weights > 0))
        weights, fires = train_windows.weights[indices], train_windows.fires[indices]
        return UncoveredRows(train_windows, indices, weights * fires, weights * ~fires, description)

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def sums(self) -> tuple[float, float]:
        """The weight of all firing rows, and of all inactive ones."""
        return float(self.firing.sum()), float(self.inactive.sum())

    def selected(self, held: Bool[ndarray, " row"]) -> "UncoveredRows":
        """The rows that are held; what there is to earn stays the same."""
        return replace(
            self, indices=self.indices[held], firing=self.firing[held], inactive=self.inactive[held]
        )

    def thinned(self, number: int) -> "UncoveredRows":
        """Every firing row, and about so many inactive ones, evenly spaced, that stand for all of
        them.
        """
        step = max(1, len(self) // number)
        if step == 1:
            return self
        fewer = self.selected((np.arange(len(self)) % step == 0) | (self.firing > 0))
        return replace(
            fewer,
            inactive=fewer.inactive * (self.inactive.sum() / max(fewer.inactive.sum(), 1e-300)),
        )


@dataclass(frozen=True)
class TermCandidate:
    """A term, and what it would do.

    For a set, as one half of the documents predicts it for the other.
    """

    make: Callable[[], RuleTerm]  # terms are only made of candidates that win
    # where it holds; a set by what the other half of the documents suggests
    confirmed: Callable[["UncoveredRows"], Bool[ndarray, " row"]]
    form: tuple[str | int | bool, ...]  # of the term, without its strings
    bits: float  # to write it down
    hits: float  # weight of firing tokens where it holds
    false_positives: float  # weight of inactive tokens where it holds
    worth: float  # DescriptionLength.worth less the bits
    saved: float  # DescriptionLength.saved less the bits

    @property
    def term(self) -> RuleTerm:
        """The term itself."""
        return self.make()


@dataclass(frozen=True)
class SetFamily:
    """Conditions of one form that differ in a set of strings: pairs of row and string, sorted by
    row.
    """

    rows: Int64[ndarray, " pair"]
    items: Int64[ndarray, " pair"]
    universe: int
    bits: float  # of the form itself
    form: tuple[str | int | bool, ...]
    condition: Callable[[list[int]], Condition]


def choose_sets(rows: UncoveredRows, family: SetFamily) -> Iterator[TermCandidate]:
    """The sets of strings that are worth most, to be near or not to be near."""
    if not len(family.rows):
        return
    fold = rows.train_windows.second_half[rows.indices].astype(np.int64)[family.rows]
    size = int(family.items.max()) + 1
    key = family.items * 2 + fold
    firing = np.bincount(key, rows.firing[family.rows], 2 * size).reshape(size, 2)
    inactive = np.bincount(key, rows.inactive[family.rows], 2 * size).reshape(size, 2)
    yield from best_sets(rows, family, fold, firing, inactive, negated=False)
    yield from best_sets(rows, family, fold, inactive, firing, negated=True)


def best_sets(
    rows: UncoveredRows,
    family: SetFamily,
    fold: Int64[ndarray, " pair"],
    wanted: Float64[ndarray, "item half"],
    unwanted: Float64[ndarray, "item half"],
    *,
    negated: bool,
) -> Iterator[TermCandidate]:
    """The most worthy and the most saving set of those items that are wanted: one half chooses, the
    other judges.
    """
    halves = wanted / (wanted + unwanted + SHRINKAGE)
    found, other = wanted[:, 0] + wanted[:, 1], unwanted[:, 0] + unwanted[:, 1]
    whole = found / (found + other + SHRINKAGE)
    predicted = strongest_by_row(halves[family.items, 1 - fold], family.rows, len(rows))
    bins = np.searchsorted(SHARES, predicted, side="right")
    hits, false_positives = (
        sum_above_thresholds(bins, rows.firing),
        sum_above_thresholds(bins, rows.inactive),
    )
    if negated:
        hits, false_positives = rows.sums[0] - hits, rows.sums[1] - false_positives
    present = whole[whole > 0]
    numbers = sum_above_thresholds(
        np.searchsorted(SHARES, present, side="right"), np.ones(len(present))
    )
    bits = set_bits(numbers, family.universe) + family.bits
    worth, saved = (
        rows.description.worth(hits, false_positives) - bits,
        rows.description.saved(hits, false_positives) - bits,
    )
    worth[numbers == 0] = saved[numbers == 0] = -np.inf
    for best in dict.fromkeys((int(worth.argmax()), int(saved.argmax()))):
        if numbers[best] > 0:
            make = partial(set_term, family, whole, float(SHARES[best]), negated)
            confirmed = partial(cross_fit_mask, family, halves, float(SHARES[best]), negated)
            yield TermCandidate(
                make,
                confirmed,
                (*family.form, negated),
                *column_values(best, bits, hits, false_positives, worth, saved),
            )


def set_term(
    family: SetFamily, shares: Float64[ndarray, " item"], least: float, negated: bool
) -> RuleTerm:
    """The term whose set holds the items that reach the share."""
    return RuleTerm(family.condition(np.flatnonzero(shares >= least).tolist()), negated)


def cross_fit_mask(
    family: SetFamily,
    halves: Float64[ndarray, "item half"],
    least: float,
    negated: bool,
    rows: UncoveredRows,
) -> Bool[ndarray, " row"]:
    """Where the term holds if each half of the documents is held against the set that the other
    half suggests.
    """
    second, held = rows.train_windows.second_half[rows.indices], np.zeros(len(rows), bool)
    for half in (0, 1):
        items = np.flatnonzero(halves[:, half] >= least).tolist()
        if items:
            judged = second != (half == 1)
            held[judged] = where_condition_holds(
                family.condition(items), rows.train_windows.passage
            )[rows.indices[judged]]
    return held ^ negated


def term_mask(term: RuleTerm, rows: UncoveredRows) -> Bool[ndarray, " row"]:
    """Where among the rows the term holds."""
    return (
        where_condition_holds(term.condition, rows.train_windows.passage)[rows.indices]
        ^ term.negated
    )


def column_values(index: int, *columns: Float64[ndarray, " candidate"]) -> Iterator[float]:
    """One number of each column."""
    return (float(column[index]) for column in columns)


def strongest_by_row(
    values: Float64[ndarray, " pair"], rows: Int64[ndarray, " pair"], number: int
) -> Float64[ndarray, " row"]:
    """Each row's largest value; 0 for a row without a pair. Pairs are sorted by row."""
    best = np.zeros(number)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    best[rows[starts]] = np.maximum.reduceat(values, starts)
    return best


def sum_above_thresholds(
    bins: Int64[ndarray, " item"], weights: Float64[ndarray, " item"]
) -> Float64[ndarray, " threshold"]:
    """For every threshold of SHARES the weight of the items that reach it."""
    # counts come as integers where there are none
    sums = np.bincount(bins, weights, len(SHARES) + 1).astype(np.float64)
    return np.cumsum(sums[::-1])[::-1][1:]


def best_conditions(
    rows: UncoveredRows,
    conditions: list[tuple[Condition, float]],
    hits: Float64[ndarray, " condition"],
    false_positives: Float64[ndarray, " condition"],
) -> Iterator[TermCandidate]:
    """The best of these conditions, with the bits of each, and of their contraries, from the
    weights where each holds.
    """
    bits = np.tile([cost for _, cost in conditions], 2)
    hits = np.concatenate([hits, rows.sums[0] - hits])
    false_positives = np.concatenate([false_positives, rows.sums[1] - false_positives])
    worth, saved = (
        rows.description.worth(hits, false_positives) - bits,
        rows.description.saved(hits, false_positives) - bits,
    )
    for best in dict.fromkeys((int(worth.argmax()), int(saved.argmax()))):
        term = RuleTerm(conditions[best % len(conditions)][0], best >= len(conditions))
        make = partial(RuleTerm, term.condition, term.negated)
        yield TermCandidate(
            make,
            partial(term_mask, term),
            (str(term),),
            *column_values(best, bits, hits, false_positives, worth, saved),
        )
