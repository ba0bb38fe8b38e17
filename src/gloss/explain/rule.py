"""Finds an executable rule by the shortest description of where a feature fires, without any language model.

Alternatives are found one after the other, each grown term by term (FOIL: Quinlan, 1990; RIPPER: Cohen, 1995). A set of
strings is chosen on one half of the documents and judged on the other, and a rule is only given where it and its mistakes
together are shorter to write down than the firings alone (minimum description length: Rissanen, 1978).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gloss.errors import require_at_least
from gloss.explain.candidates import Candidate, Rows, choose_sets
from gloss.explain.description import Ledger
from gloss.explain.families import nearby_families, own_families
from gloss.explain.lexical import lexical
from gloss.explain.sightings import Sightings
from gloss.explain.simplify import simplified
from gloss.explain.wording import worded
from gloss.models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure, Reason
from gloss.rules.execute import holds_all
from gloss.rules.language import Alternative, Rule, Term
from gloss.store.vocabulary import Vocabulary

METHOD = "rule"
THINNED = 3000  # rows on which conditions about other tokens are tried
FIRM = 0.97  # precision at which an alternative needs no more terms
MARGIN = 16.0  # bits that an alternative must save beyond its own: the search sees many, and chance favours some of them
LEAST_GAIN = 0.005  # of all bits, that another term must earn
LEAST_SHARE = 0.01  # of all bits, that an alternative must earn
THOROUGH = 1  # alternatives that are looked for from several first terms; what they leave over is little
REJUDGED = 4  # candidates from thinned rows that are judged on all


@dataclass(frozen=True)
class RuleSearch:
    """Searches the rule language; asks no language model."""

    max_alternatives: int = 6
    max_terms: int = 4
    beam: int = 2  # first terms from which an alternative is grown
    fewest_firing: int = 8  # shown contexts
    reads_reasons: ClassVar[bool] = (
        True  # tokens just as far back as those that drive the feature are tried, where these are known
    )

    def __post_init__(self) -> None:
        require_at_least(1, self, "max_alternatives", "max_terms", "beam", "fewest_firing")

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """The rule that was found, as source text and in plain English. Yields no prompts."""
        yield from ()
        if len(examples.shown) < self.fewest_firing:
            detail = f"{len(examples.shown)} shown contexts in which it fires, want at least {self.fewest_firing}"
            return Failure(examples.feature, METHOD, Reason.TOO_FEW_EXAMPLES, detail)
        sightings = Sightings.of(examples, vocabulary, rng)
        rule = self.find(sightings)
        if rule is None:
            detail = "no rule is shorter to write down, with its mistakes, than where the feature fires"
            return Failure(examples.feature, METHOD, Reason.NO_RULE_FOUND, detail)
        return Explanation(examples.feature, worded(rule, sightings), METHOD, str(rule))

    def find(self, sightings: Sightings) -> Rule | None:
        """The rule, or None where none shortens the description."""
        uncovered = np.ones(len(sightings.fires), bool)
        weights, fires = sightings.weights, sightings.fires
        ledger = Ledger(float(weights[fires].sum()), float(weights[~fires].sum()))
        found: list[tuple[Term, ...]] = []
        while len(found) < self.max_alternatives and fires[uncovered].any():
            rows = Rows.of(sightings, uncovered, ledger)
            grown = self.best(rows) if len(found) < THOROUGH else self.quickest(rows)
            if grown is None or min(grown.worth, grown.saved) < MARGIN or grown.worth < LEAST_SHARE * ledger.bits:
                break
            found.append(grown.terms)
            ledger = ledger.with_covered(grown.hits, grown.misfires)
            uncovered &= ~holds_all(Alternative(grown.terms), sightings.passage)
        return graded(simplified(found, sightings), sightings)

    def best(self, rows: Rows) -> "Grown | None":
        """The alternative that is worth most, grown from the most promising first terms."""
        best: Grown | None = None
        for first in self.firsts(rows):
            grown = self.grow(rows, Grown.of(first))
            if len(grown.candidates) > 1 and not grown.is_firm(rows):
                grown = self.grow(rows, revisited(rows, grown))
            if best is None or grown.worth > best.worth:
                best = grown
            if best.is_firm(rows):
                break
        return best

    def quickest(self, rows: Rows) -> "Grown | None":
        """The alternative that grows from the first term that is worth most."""
        first = max(candidates(rows), key=lambda each: each.worth, default=None)
        return None if first is None else self.grow(rows, Grown.of(first))

    def firsts(self, rows: Rows) -> list[Candidate]:
        """The first term that is worth most, then those that save most, all of different form."""
        everything = candidates(rows)
        chosen: dict[tuple[str | int | bool, ...], Candidate] = {}
        by_saved = sorted(everything, key=lambda each: -each.saved)
        for candidate in [max(everything, key=lambda each: each.worth), *by_saved] if everything else []:
            chosen.setdefault(candidate.form, candidate)
        return list(chosen.values())[: self.beam]

    def grow(self, rows: Rows, grown: "Grown") -> "Grown":
        """Add terms while that is worth their bits."""
        inside = grown.held_in(rows)
        while len(grown.candidates) < self.max_terms and not grown.is_precise:
            best = max(candidates(inside), key=lambda each: each.worth, default=None)
            if best is None or best.worth - grown.bits <= grown.worth + LEAST_GAIN * rows.ledger.bits:
                break
            grown = grown.joined_by(best)
            inside = inside.where(best.confirmed(inside))
        return grown


def revisited(rows: Rows, grown: "Grown") -> "Grown":
    """Each term but the last chosen anew among the others, where that is worth more."""
    for place in range(len(grown.candidates) - 1):
        others = Grown.of(*grown.candidates[:place], *grown.candidates[place + 1 :])
        best = max(candidates(others.held_in(rows)), key=lambda each: each.worth, default=None)
        if best is not None and best.worth - others.bits > grown.worth + 1:
            grown = others.joined_by(best)
    return grown


@dataclass(frozen=True)
class Grown:
    """An alternative: candidates of which each was judged where those before it hold."""

    candidates: tuple[Candidate, ...]

    @staticmethod
    def of(*candidates: Candidate) -> "Grown":
        """An alternative of these terms."""
        return Grown(candidates)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms, with their sets as all documents suggest them."""
        return tuple(candidate.term for candidate in self.candidates)

    @property
    def hits(self) -> float:
        """Weight of firing tokens where all terms hold."""
        return self.candidates[-1].hits

    @property
    def misfires(self) -> float:
        """Weight of silent tokens where all terms hold."""
        return self.candidates[-1].misfires

    @property
    def bits(self) -> float:
        """Bits of all terms."""
        return sum(candidate.bits for candidate in self.candidates)

    @property
    def worth(self) -> float:
        """What all terms together are worth, once they have been paid for."""
        return self.candidates[-1].worth - self.bits + self.candidates[-1].bits

    @property
    def saved(self) -> float:
        """The bits that all terms together save, once they have been paid for."""
        return self.candidates[-1].saved - self.bits + self.candidates[-1].bits

    @property
    def is_precise(self) -> bool:
        """Whether there is nothing left to rule out."""
        return self.hits >= FIRM * (self.hits + self.misfires)

    def is_firm(self, rows: Rows) -> bool:
        """Whether nothing is left to find either."""
        return self.is_precise and self.hits >= FIRM * float(rows.firing.sum())

    def held_in(self, rows: Rows) -> Rows:
        """The rows where all terms hold, as the other half of the documents foretells."""
        for candidate in self.candidates:
            rows = rows.where(candidate.confirmed(rows))
        return rows

    def joined_by(self, candidate: Candidate) -> "Grown":
        """The same with one more term, which was judged where the others hold."""
        return Grown((*self.candidates, candidate))


def candidates(rows: Rows) -> list[Candidate]:
    """The best candidates of every form; those about other tokens are chosen on few rows and then judged on all."""
    if not rows.firing.any():
        return []
    thinned = rows.thinned(THINNED)
    found = [candidate for family in own_families(rows) for candidate in choose_sets(rows, family)]
    others = list(lexical(thinned))
    for family in nearby_families(thinned):
        others += choose_sets(thinned, family)
    if thinned is rows:
        return found + others
    others.sort(key=lambda each: -max(each.worth, each.saved))
    return found + [judged(candidate, rows) for candidate in others[:REJUDGED]]


def judged(candidate: Candidate, rows: Rows) -> Candidate:
    """The same candidate by what it does at all rows."""
    held = candidate.confirmed(rows)
    hits, misfires = rows.firing[held].sum(keepdims=True), rows.silent[held].sum(keepdims=True)
    worth, saved = rows.ledger.worth(hits, misfires)[0], rows.ledger.saved(hits, misfires)[0]
    return replace(
        candidate,
        hits=float(hits[0]),
        misfires=float(misfires[0]),
        worth=float(worth) - candidate.bits,
        saved=float(saved) - candidate.bits,
    )


def graded(found: list[tuple[Term, ...]], sightings: Sightings) -> Rule | None:
    """The alternatives with the mean activation where each holds as its strength; None where none holds at a firing token."""
    alternatives: list[Alternative] = []
    for terms in found:
        held = holds_all(Alternative(terms), sightings.passage)
        if sightings.fires[held].any():
            strength = np.average(sightings.activations[held], weights=sightings.weights[held])
            alternatives.append(Alternative(terms, float(f"{strength:.2g}")))
    return Rule(tuple(alternatives)) if alternatives else None
