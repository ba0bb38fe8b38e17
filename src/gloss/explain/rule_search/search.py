"""Finds an executable rule by the shortest description of where a feature fires, without any
language model.

Alternatives are found one after the other, each grown term by term (FOIL: Quinlan, 1990; RIPPER:
Cohen, 1995). A set of strings is chosen on one half of the documents and judged on the other, and a
rule is only given where it and its mistakes together are shorter to write down than the firings
alone (minimum description length: Rissanen, 1978).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import require_at_least
from gloss.explain.rule_search.conditions import lexical_groups, nearby_sight, own_sights
from gloss.explain.rule_search.description_length import DescriptionLength
from gloss.explain.rule_search.rule_wording import rule_sentence
from gloss.explain.rule_search.set_search import set_groups
from gloss.explain.rule_search.simplify import simplify_alternatives
from gloss.explain.rule_search.term_candidates import TermCandidate, UncoveredRows, best_of_groups
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure, Needs, Reason
from gloss.rules.execute import where_alternative_holds
from gloss.rules.language import Alternative, Rule, RuleTerm
from gloss.store.vocabulary import Vocabulary

RULE_METHOD = "rule"
THINNED = 2000  # rows on which conditions about other tokens are tried
FIRM = 0.97  # precision at which an alternative needs no more terms
# bits that an alternative must save beyond its own: the search sees many, and chance favours some
# of them
MARGIN = 16.0
LEAST_GAIN = 0.005  # of all bits, that another term must earn
LEAST_SHARE = 0.01  # of all bits, that an alternative must earn
# alternatives that are looked for from several first terms; what they leave over is little
THOROUGH = 1
REJUDGED = 4  # candidates from thinned rows that are judged on all


@dataclass(frozen=True)
class RuleSearch:
    """Searches the rule language; asks no language model."""

    max_alternatives: int = 6
    max_terms: int = 4
    beam: int = 2  # first terms from which an alternative is grown
    fewest_firing: int = 8  # train contexts
    # tokens just as far back as those that drive the feature are tried, where these are known
    needs: ClassVar[Needs] = Needs(token_attributions=True)

    def __post_init__(self) -> None:
        require_at_least(1, self, "max_alternatives", "max_terms", "beam", "fewest_firing")

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """The rule that was found, as source text and in plain English. Yields no prompts."""
        yield from ()
        if len(examples.train) < self.fewest_firing:
            detail = (
                f"{len(examples.train)} train contexts in which it fires, want at least"
                f" {self.fewest_firing}"
            )
            return Failure(examples.feature, RULE_METHOD, Reason.TOO_FEW_EXAMPLES, detail)
        train_windows = TrainWindows.of(examples, vocabulary, rng)
        rule = self.find(train_windows)
        if rule is None:
            detail = (
                "no rule is shorter to write down, with its mistakes, than where the feature fires"
            )
            return Failure(examples.feature, RULE_METHOD, Reason.NO_RULE_FOUND, detail)
        return Explanation(
            examples.feature, rule_sentence(rule, train_windows), RULE_METHOD, str(rule)
        )

    def find(self, train_windows: TrainWindows) -> Rule | None:
        """The rule, or None where none shortens the description."""
        uncovered = np.ones(len(train_windows.fires), bool)
        weights, fires = train_windows.weights, train_windows.fires
        description = DescriptionLength(float(weights[fires].sum()), float(weights[~fires].sum()))
        found: list[tuple[RuleTerm, ...]] = []
        while len(found) < self.max_alternatives and fires[uncovered].any():
            rows = UncoveredRows.of(train_windows, uncovered, description)
            wanted = max(MARGIN, LEAST_SHARE * description.bits)
            if rows.most_worth < wanted:
                break
            grown = self.best(rows) if len(found) < THOROUGH else self.quickest(rows)
            if grown is None or grown.worth < wanted or grown.saved < MARGIN:
                break
            found.append(grown.terms)
            description = description.with_covered(grown.hits, grown.false_positives)
            uncovered &= ~where_alternative_holds(Alternative(grown.terms), train_windows.passage)
        return rule_with_strengths(simplify_alternatives(found, train_windows), train_windows)

    def best(self, rows: UncoveredRows) -> "GrownAlternative | None":
        """The alternative that is worth most, grown from the most promising first terms."""
        best: GrownAlternative | None = None
        for first in self.first_terms(rows):
            grown = self.grow(rows, GrownAlternative.of(first))
            if len(grown.candidates) > 1 and not grown.is_firm(rows):
                revisited = revisit_terms(rows, grown)
                # it grew as far as it does already
                grown = grown if revisited is grown else self.grow(rows, revisited)
            if best is None or grown.worth > best.worth:
                best = grown
            if best.is_firm(rows):
                break
        return best

    def quickest(self, rows: UncoveredRows) -> "GrownAlternative | None":
        """The alternative that grows from the first term that is worth most."""
        first = worthiest_candidate(rows)
        return None if first is None else self.grow(rows, GrownAlternative.of(first))

    def first_terms(self, rows: UncoveredRows) -> list[TermCandidate]:
        """The first term that is worth most, then those that save most, all of different form."""
        everything = best_term_candidates(rows)
        chosen: dict[tuple[str | int | bool, ...], TermCandidate] = {}
        by_saved = sorted(everything, key=lambda each: -each.saved)
        for candidate in (
            [max(everything, key=lambda each: each.worth), *by_saved] if everything else []
        ):
            chosen.setdefault(candidate.form, candidate)
        return list(chosen.values())[: self.beam]

    def grow(self, rows: UncoveredRows, grown: "GrownAlternative") -> "GrownAlternative":
        """Add terms while that is worth their bits."""
        inside = grown.held_in(rows)
        while len(grown.candidates) < self.max_terms and not grown.is_precise:
            wanted = grown.worth + grown.bits + LEAST_GAIN * rows.description.bits
            if inside.most_worth <= wanted:
                break
            best = worthiest_candidate(inside)
            if best is None or best.worth <= wanted:
                break
            grown = grown.with_term(best)
            inside = inside.selected(best.confirmed(inside.train_windows))
        return grown


def revisit_terms(rows: UncoveredRows, grown: "GrownAlternative") -> "GrownAlternative":
    """Each term but the last chosen anew among the others, where that is worth more."""
    for place in range(len(grown.candidates) - 1):
        others = GrownAlternative.of(*grown.candidates[:place], *grown.candidates[place + 1 :])
        inside, wanted = others.held_in(rows), grown.worth + others.bits + 1
        if inside.most_worth <= wanted:
            continue
        best = worthiest_candidate(inside)
        if best is not None and best.worth > wanted:
            grown = others.with_term(best)
    return grown


@dataclass(frozen=True)
class GrownAlternative:
    """An alternative: candidates of which each was judged where those before it hold."""

    candidates: tuple[TermCandidate, ...]

    @staticmethod
    def of(*candidates: TermCandidate) -> "GrownAlternative":
        """An alternative of these terms."""
        return GrownAlternative(candidates)

    @property
    def terms(self) -> tuple[RuleTerm, ...]:
        """The terms, with their sets as all documents suggest them."""
        return tuple(candidate.term for candidate in self.candidates)

    @property
    def hits(self) -> float:
        """Weight of firing tokens where all terms hold."""
        return self.candidates[-1].hits

    @property
    def false_positives(self) -> float:
        """Weight of inactive tokens where all terms hold."""
        return self.candidates[-1].false_positives

    @property
    def bits(self) -> float:
        """What all terms together cost to write down, in bits."""
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
        return self.hits >= FIRM * (self.hits + self.false_positives)

    def is_firm(self, rows: UncoveredRows) -> bool:
        """Whether nothing is left to find either."""
        return self.is_precise and self.hits >= FIRM * rows.sums[0]

    def held_in(self, rows: UncoveredRows) -> UncoveredRows:
        """The rows where all terms hold, as the other half of the documents predicts."""
        for candidate in self.candidates:
            rows = rows.selected(candidate.confirmed(rows.train_windows))
        return rows

    def with_term(self, candidate: TermCandidate) -> "GrownAlternative":
        """The same with one more term, which was judged where the others hold."""
        return GrownAlternative((*self.candidates, candidate))


def worthiest_candidate(rows: UncoveredRows) -> TermCandidate | None:
    """The candidate that is worth most."""
    found = best_term_candidates(rows, saving=False)
    best = max(found, key=lambda each: each.worth, default=None)
    if best is None:
        return None
    hits, false_positives = np.array([best.hits]), np.array([best.false_positives])
    return best._replace(saved=float(rows.description.saved(hits, false_positives)[0]) - best.bits)


def best_term_candidates(rows: UncoveredRows, *, saving: bool = True) -> list[TermCandidate]:
    """The best candidates of every form; those that save most only where that is asked for.

    Those about other tokens are chosen on few rows and then judged on all.
    """
    if not rows.fires.any():
        return []
    thinned = rows.thinned(THINNED)
    nearby = nearby_sight(thinned)
    own = [group for sight in own_sights(rows) for group in set_groups(rows, sight)]
    found = best_of_groups(rows.description, own, saving=saving)
    beside = [*lexical_groups(thinned, nearby), *set_groups(thinned, nearby)]
    others = best_of_groups(rows.description, beside, saving=saving or thinned is not rows)
    if thinned is rows:
        return found + others
    others.sort(key=lambda each: -max(each.worth, each.saved))
    return found + [judge_on_all_rows(candidate, rows) for candidate in others[:REJUDGED]]


def judge_on_all_rows(candidate: TermCandidate, rows: UncoveredRows) -> TermCandidate:
    """The same candidate by what it does at all rows."""
    held = np.flatnonzero(candidate.confirmed(rows.train_windows))
    weights, fires = rows.by_token.take(held), rows.train_windows.fires.take(held)
    hits = weights.compress(fires).sum(keepdims=True)
    false_positives = weights.compress(~fires).sum(keepdims=True)
    worth, saved = (
        rows.description.worth(hits, false_positives)[0],
        rows.description.saved(hits, false_positives)[0],
    )
    return candidate._replace(
        hits=float(hits[0]),
        false_positives=float(false_positives[0]),
        worth=float(worth) - candidate.bits,
        saved=float(saved) - candidate.bits,
    )


def rule_with_strengths(
    found: list[tuple[RuleTerm, ...]], train_windows: TrainWindows
) -> Rule | None:
    """The alternatives with the mean activation where each holds as its strength; None where none
    holds at a firing token.
    """
    alternatives: list[Alternative] = []
    for terms in found:
        held = where_alternative_holds(Alternative(terms), train_windows.passage)
        if train_windows.fires[held].any():
            strength = np.average(
                train_windows.activations[held], weights=train_windows.weights[held]
            )
            alternatives.append(Alternative(terms, float(f"{strength:.2g}")))
    return Rule(tuple(alternatives)) if alternatives else None
