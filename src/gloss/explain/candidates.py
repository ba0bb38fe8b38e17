"""Terms worth trying on a set of tokens, judged by what they earn after they have been paid for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.explain.description import Ledger, set_bits
from gloss.explain.sightings import Sightings
from gloss.rules.execute import holds
from gloss.rules.language import Condition, Term

SHRINKAGE = 1.0  # weight of the doubt in how often the feature fires on one string
SHARES = 1 / (1 + np.exp(-np.linspace(-6.0, 3.5, 39)))  # thresholds that are tried on that share


@dataclass(frozen=True)
class Rows:
    """The tokens that are still in question."""

    sightings: Sightings
    indices: Int64[ndarray, " row"]  # into the sightings' tokens
    firing: Float64[ndarray, " row"]  # the row's weight where the feature fires, else 0
    silent: Float64[ndarray, " row"]  # the row's weight where it does not, else 0
    ledger: Ledger

    @staticmethod
    def of(sightings: Sightings, uncovered: Bool[ndarray, " token"], ledger: Ledger) -> "Rows":
        """All tokens that count and that no alternative covers yet."""
        indices = np.flatnonzero(uncovered & (sightings.weights > 0))
        weights, fires = sightings.weights[indices], sightings.fires[indices]
        return Rows(sightings, indices, weights * fires, weights * ~fires, ledger)

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def sums(self) -> tuple[float, float]:
        """The weight of all firing rows, and of all silent ones."""
        return float(self.firing.sum()), float(self.silent.sum())

    def where(self, held: Bool[ndarray, " row"]) -> "Rows":
        """The rows that are held; what there is to earn stays the same."""
        return replace(self, indices=self.indices[held], firing=self.firing[held], silent=self.silent[held])

    def thinned(self, number: int) -> "Rows":
        """Every firing row, and about so many silent ones, evenly spaced, that stand for all of them."""
        step = max(1, len(self) // number)
        if step == 1:
            return self
        fewer = self.where((np.arange(len(self)) % step == 0) | (self.firing > 0))
        return replace(fewer, silent=fewer.silent * (self.silent.sum() / max(fewer.silent.sum(), 1e-300)))


@dataclass(frozen=True)
class Candidate:
    """A term, and what it would do; for a set, as one half of the documents foretells it for the other."""

    make: Callable[[], Term]  # terms are only made of candidates that win
    confirmed: Callable[["Rows"], Bool[ndarray, " row"]]  # where it holds; a set by what the other half of the documents suggests
    form: tuple[str | int | bool, ...]  # of the term, without its strings
    bits: float  # to write it down
    hits: float  # weight of firing tokens where it holds
    misfires: float  # weight of silent tokens where it holds
    worth: float  # Ledger.worth less the bits
    saved: float  # Ledger.saved less the bits

    @property
    def term(self) -> Term:
        """The term itself."""
        return self.make()


@dataclass(frozen=True)
class Family:
    """Conditions of one form that differ in a set of strings: pairs of row and string, sorted by row."""

    rows: Int64[ndarray, " pair"]
    items: Int64[ndarray, " pair"]
    universe: int
    bits: float  # of the form itself
    form: tuple[str | int | bool, ...]
    condition: Callable[[list[int]], Condition]


def choose_sets(rows: Rows, family: Family) -> Iterator[Candidate]:
    """The sets of strings that are worth most, to be near or not to be near."""
    if not len(family.rows):
        return
    fold = rows.sightings.second_half[rows.indices].astype(np.int64)[family.rows]
    size = int(family.items.max()) + 1
    key = family.items * 2 + fold
    firing = np.bincount(key, rows.firing[family.rows], 2 * size).reshape(size, 2)
    silent = np.bincount(key, rows.silent[family.rows], 2 * size).reshape(size, 2)
    yield from chosen(rows, family, fold, firing, silent, negated=False)
    yield from chosen(rows, family, fold, silent, firing, negated=True)


def chosen(
    rows: Rows,
    family: Family,
    fold: Int64[ndarray, " pair"],
    wanted: Float64[ndarray, "item half"],
    unwanted: Float64[ndarray, "item half"],
    *,
    negated: bool,
) -> Iterator[Candidate]:
    """The most worthy and the most saving set of those items that are wanted: one half chooses, the other judges."""
    halves = wanted / (wanted + unwanted + SHRINKAGE)
    found, other = wanted[:, 0] + wanted[:, 1], unwanted[:, 0] + unwanted[:, 1]
    whole = found / (found + other + SHRINKAGE)
    foretold = strongest(halves[family.items, 1 - fold], family.rows, len(rows))
    bins = np.searchsorted(SHARES, foretold, side="right")
    hits, misfires = reaching(bins, rows.firing), reaching(bins, rows.silent)
    if negated:
        hits, misfires = rows.sums[0] - hits, rows.sums[1] - misfires
    present = whole[whole > 0]
    numbers = reaching(np.searchsorted(SHARES, present, side="right"), np.ones(len(present)))
    bits = set_bits(numbers, family.universe) + family.bits
    worth, saved = rows.ledger.worth(hits, misfires) - bits, rows.ledger.saved(hits, misfires) - bits
    worth[numbers == 0] = saved[numbers == 0] = -np.inf
    for best in dict.fromkeys((int(worth.argmax()), int(saved.argmax()))):
        if numbers[best] > 0:
            make = partial(set_term, family, whole, float(SHARES[best]), negated)
            confirmed = partial(crossed, family, halves, float(SHARES[best]), negated)
            yield Candidate(make, confirmed, (*family.form, negated), *at(best, bits, hits, misfires, worth, saved))


def set_term(family: Family, shares: Float64[ndarray, " item"], least: float, negated: bool) -> Term:
    """The term whose set holds the items that reach the share."""
    return Term(family.condition(np.flatnonzero(shares >= least).tolist()), negated)


def crossed(
    family: Family, halves: Float64[ndarray, "item half"], least: float, negated: bool, rows: Rows
) -> Bool[ndarray, " row"]:
    """Where the term holds if each half of the documents is held against the set that the other half suggests."""
    second, held = rows.sightings.second_half[rows.indices], np.zeros(len(rows), bool)
    for half in (0, 1):
        items = np.flatnonzero(halves[:, half] >= least).tolist()
        if items:
            judged = second != (half == 1)
            held[judged] = holds(family.condition(items), rows.sightings.passage)[rows.indices[judged]]
    return held ^ negated


def holds_term(term: Term, rows: Rows) -> Bool[ndarray, " row"]:
    """Where among the rows the term holds."""
    return holds(term.condition, rows.sightings.passage)[rows.indices] ^ term.negated


def at(index: int, *columns: Float64[ndarray, " candidate"]) -> Iterator[float]:
    """One number of each column."""
    return (float(column[index]) for column in columns)


def strongest(values: Float64[ndarray, " pair"], rows: Int64[ndarray, " pair"], number: int) -> Float64[ndarray, " row"]:
    """Each row's largest value; 0 for a row without a pair. Pairs are sorted by row."""
    best = np.zeros(number)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    best[rows[starts]] = np.maximum.reduceat(values, starts)
    return best


def reaching(bins: Int64[ndarray, " item"], weights: Float64[ndarray, " item"]) -> Float64[ndarray, " threshold"]:
    """For every threshold of SHARES the weight of the items that reach it."""
    sums = np.bincount(bins, weights, len(SHARES) + 1).astype(np.float64)  # counts come as integers where there are none
    return np.cumsum(sums[::-1])[::-1][1:]


def plain(
    rows: Rows,
    conditions: list[tuple[Condition, float]],
    hits: Float64[ndarray, " condition"],
    misfires: Float64[ndarray, " condition"],
) -> Iterator[Candidate]:
    """The best of these conditions, with the bits of each, and of their contraries, from the weights where each holds."""
    bits = np.tile([cost for _, cost in conditions], 2)
    hits = np.concatenate([hits, rows.sums[0] - hits])
    misfires = np.concatenate([misfires, rows.sums[1] - misfires])
    worth, saved = rows.ledger.worth(hits, misfires) - bits, rows.ledger.saved(hits, misfires) - bits
    for best in dict.fromkeys((int(worth.argmax()), int(saved.argmax()))):
        term = Term(conditions[best % len(conditions)][0], best >= len(conditions))
        make = partial(Term, term.condition, term.negated)
        yield Candidate(make, partial(holds_term, term), (str(term),), *at(best, bits, hits, misfires, worth, saved))
