"""Makes a rule easier to read where that costs less of its F1 score than a reader would pay
(reduced error pruning: Cohen, 1995, with a price for every part of what is read).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int, Int8, Int64
from numpy import ndarray

from gloss.explain.rule_search.alike import AlikeTokens
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules.execute import where_condition_holds
from gloss.rules.language import (
    After,
    Before,
    Condition,
    IsClass,
    LineBegins,
    Matches,
    OneOf,
    Predicate,
    PredicateUnit,
    RuleTerm,
)
from gloss.rules.lexical_classes import CLASSES, belonging
from gloss.rules.lexicon import Lexicon
from gloss.rules.passage import Passage
from gloss.rules.string_naming import LISTED

# Shares of its F1 score that a rule must lose without the part to be worth reading with it:
ALTERNATIVE = 0.05  # another alternative, beside its terms
TERM = 0.015
EXCEPTION = 0.08  # a term that says where the feature does not fire
STRING = 0.002  # a string of a set, whatever its blanks and capitals
UNSEEN = 0.12  # strings of a set that are only counted, all together
FIELD = 0.012  # a set of tokens that the subject takes for alike, whatever its strings
PATTERN = 0.012  # how a token begins or ends

NAMED_FROM = 3  # strings of a set, in whose place a class is tried
BELONGING = 0.6  # of them to the class

TermTuple = tuple[RuleTerm, ...]


def simplify_alternatives(found: list[TermTuple], train_windows: TrainWindows) -> list[TermTuple]:
    """The alternatives without the terms, alternatives and strings that hardly matter.

    Strings that matter most come first.
    """
    draft = RuleDraft([merge_token_terms(terms) for terms in found], train_windows)
    draft.drop_parts()
    draft.drop_strings()
    return [merge_token_terms(terms) for terms in draft.alternatives]


def merge_token_terms(terms: TermTuple) -> TermTuple:
    """The same with all that is said of the token put into its set of strings, if there is one."""
    own = [
        term
        for term in terms
        if isinstance(term.condition, OneOf | Matches | IsClass)
        and term.condition.unit is PredicateUnit.TOKEN
    ]
    base = next(
        (term for term in own if isinstance(term.condition, OneOf) and not term.negated), None
    )
    if base is None or len(own) == 1:
        return terms
    assert isinstance(base.condition, OneOf)
    lexicon = Lexicon(base.condition.strings)
    kept = np.ones(len(lexicon.strings), bool)
    for term in own:
        assert isinstance(term.condition, OneOf | Matches | IsClass)
        kept &= lexicon.truths(term.condition) ^ term.negated
    if not kept.any():
        return terms
    strings = tuple(string for string, stays in zip(lexicon.strings, kept, strict=True) if stays)
    return (
        RuleTerm(OneOf(PredicateUnit.TOKEN, strings)),
        *(term for term in terms if term not in own),
    )


class RuleDraft:
    """A rule while parts of it are taken away, with what is left of its F1 score."""

    def __init__(self, alternatives: list[TermTuple], train_windows: TrainWindows) -> None:
        self.alternatives = alternatives
        self.train_windows = train_windows
        self.firing = train_windows.weights * train_windows.fires
        self.wanted = float(self.firing.sum())
        self.masks: dict[RuleTerm, Bool[ndarray, " token"]] = {}

    def f1(self, held: Bool[ndarray, " token"]) -> float:
        """The F1 score of a rule that holds there."""
        there = np.flatnonzero(held)  # few, most often
        predicted = float(self.train_windows.weights.take(there).sum())
        return 2 * float(self.firing.take(there).sum()) / max(predicted + self.wanted, 1e-9)

    def mask(self, term: RuleTerm) -> Bool[ndarray, " token"]:
        """Where the term holds."""
        if term not in self.masks:
            self.masks[term] = (
                where_condition_holds(term.condition, self.train_windows.passage) ^ term.negated
            )
        return self.masks[term]

    def held_by(self, terms: TermTuple) -> Bool[ndarray, " token"]:
        """Where all the terms hold."""
        held = np.ones(len(self.firing), bool)
        for term in terms:
            held &= self.mask(term)
        return held

    def held_by_all(self, alternatives: list[TermTuple]) -> Bool[ndarray, " token"]:
        """Where one of the alternatives holds."""
        held = np.zeros(len(self.firing), bool)
        for terms in alternatives:
            held |= self.held_by(terms)
        return held

    def value(self, alternatives: list[TermTuple]) -> float:
        """The logarithm of the rule's F1 score, less what a reader pays for it."""
        f1 = self.f1(self.held_by_all(alternatives))
        return math.log(max(f1, 1e-9)) - reading_price(alternatives, self.train_windows.alike)

    def drop_parts(self) -> None:
        """Change the rule for the shorter one that is worth most to a reader, while one is worth
        more.
        """
        value = self.value(self.alternatives)
        while shorter := list(self.shorter_rules()):
            left = [self.value(alternatives) for alternatives in shorter]
            best = int(np.argmax(left))
            if left[best] <= value:
                return
            self.alternatives, value = shorter[best], left[best]

    def shorter_rules(self) -> Iterator[list[TermTuple]]:
        """The rule without one of its alternatives, without one of its terms, with two alternatives
        or two sets in one, with a class in place of a set, or with a few strings in place of a
        pattern.
        """
        for i, terms in enumerate(self.alternatives):
            before, after = self.alternatives[:i], self.alternatives[i + 1 :]
            if before or after:
                yield [*before, *after]
            for k, others in enumerate(after):
                if joined := united_alternatives(terms, others):
                    yield [*before, joined, *after[:k], *after[k + 1 :]]
            for j, term in enumerate(terms):
                if len(terms) > 1:
                    yield [*before, (*terms[:j], *terms[j + 1 :]), *after]
                for other in (
                    *classes_instead(term, self.train_windows.alike),
                    *self.strings_instead(term),
                ):
                    yield [*before, (*terms[:j], other, *terms[j + 1 :]), *after]
            for joined in self.with_joined_sets(terms):
                yield [*before, joined, *after]

    def strings_instead(self, term: RuleTerm) -> Iterator[RuleTerm]:
        """The term with the strings at which the feature fires in place of what they match, where
        they are few.
        """
        if isinstance(term.condition, Matches) and term.condition.unit is PredicateUnit.TOKEN:
            passage = self.train_windows.passage
            ids = np.unique(passage.ids[self.mask(term) & self.train_windows.fires])
            if not term.negated and 0 < len(ids) <= LISTED:
                strings = tuple(passage.strings[i] for i in ids.tolist())
                yield RuleTerm(OneOf(PredicateUnit.TOKEN, strings))

    def with_joined_sets(self, terms: TermTuple) -> Iterator[TermTuple]:
        """The terms with one set in place of two that speak of the token and of its word: that of
        those strings which hold.
        """
        own = [term for term in terms if isinstance(term.condition, OneOf)]
        if len(own) != 2 or all(term.negated for term in own):
            return
        held = self.held_by(terms)
        for term in own:
            if not term.negated:
                members = SetMembers.of(term.condition, self.train_windows.passage)
                whole, part = (
                    np.bincount(
                        members.ranks[members.ids],
                        self.train_windows.weights * where,
                        len(members.strings) + 1,
                    )
                    for where in (self.mask(term), held)
                )
                if len(kept := np.flatnonzero(part[:-1] * 2 > whole[:-1])):
                    strings = tuple(members.strings[k] for k in kept.tolist())
                    one = RuleTerm(replace_condition_strings(term.condition, strings))
                    yield (one, *(each for each in terms if each not in own))

    def drop_strings(self) -> None:
        """Take strings out of the sets, those that matter least first.

        The others are put in order.
        """
        places = [(i, j) for i, terms in enumerate(self.alternatives) for j in range(len(terms))]
        for i, j in sorted(
            places,
            key=lambda place: (
                -len(condition_strings(self.alternatives[place[0]][place[1]].condition))
            ),
        ):
            terms = self.alternatives[i]
            if condition_strings(terms[j].condition):
                term = self.shorten_set(i, j)
                self.alternatives[i] = (*terms[:j], term, *terms[j + 1 :])

    def shorten_set(self, i: int, j: int) -> RuleTerm:
        """The term with those strings that are worth reading, the weightiest first."""
        terms = self.alternatives[i]
        term = terms[j]
        others = self.held_by((*terms[:j], *terms[j + 1 :]))
        elsewhere = self.held_by_all(self.alternatives[:i] + self.alternatives[i + 1 :])
        held = where_condition_holds(term.condition, self.train_windows.passage)
        rows = np.flatnonzero(others & held & ~elsewhere)
        members = SetMembers.of(term.condition, self.train_windows.passage)
        mass = self.train_windows.weights[rows] * (
            ~self.train_windows.fires[rows]
            if term.negated
            else self.train_windows.activations[rows]
        )
        order = members.by_mass(rows, mass)
        members = members.in_order(order)
        first = members.first_ranks(rows)
        hits = np.bincount(first, self.firing[rows], len(order))
        predicted = np.bincount(first, self.train_windows.weights[rows], len(order))
        rule = self.held_by_all(self.alternatives)
        now = float(self.firing[rule].sum()), float(self.train_windows.weights[rule].sum())
        kept = self.worth_keeping(members.strings, hits, predicted, now, 1 if term.negated else -1)
        strings = [members.strings[k] for k in kept]
        return replace(term, condition=replace_condition_strings(term.condition, tuple(strings)))

    def worth_keeping(
        self,
        strings: tuple[str, ...],
        hits: Float64[ndarray, " string"],
        predicted: Float64[ndarray, " string"],
        now: tuple[float, float],
        sign: int,
    ) -> list[int]:
        """Which strings stay, where each adds (`sign` 1) or takes away so many hits and predicted
        tokens when it is dropped.
        """
        total = 2 * now[0] / max(now[1] + self.wanted, 1e-9)
        harm = -sign * (2 * hits - total * predicted)
        order = np.argsort(harm, kind="stable")
        found = now[0] + sign * np.append(0.0, np.cumsum(hits[order[:-1]]))
        said = now[1] + sign * np.append(0.0, np.cumsum(predicted[order[:-1]]))
        left = np.log(np.maximum(2 * found / np.maximum(said + self.wanted, 1e-9), 1e-9))
        alike = self.train_windows.alike
        prices = [set_price(strings, alike)]
        prices += [set_price([strings[k] for k in order[n:]]) for n in range(1, len(order))]
        # of equal ones the shortest
        value = (left - np.array(prices))[::-1]
        return sorted(order[len(order) - 1 - int(np.argmax(value)) :].tolist())


def reading_price(alternatives: list[TermTuple], alike: AlikeTokens | None = None) -> float:
    """What a reader pays for the rule, as a share of its F1 score."""
    terms = [term for each in alternatives for term in each]
    sets = sum(set_price(condition_strings(term.condition), alike) for term in terms)
    patterns = sum(isinstance(condition_predicate(term.condition), Matches) for term in terms)
    exceptions = sum(term.negated for term in terms)
    return (
        ALTERNATIVE * len(alternatives)
        + EXCEPTION * exceptions
        + TERM * (len(terms) - exceptions)
        + PATTERN * patterns
        + sets
    )


def set_price(strings: Sequence[str], alike: AlikeTokens | None = None) -> float:
    """What a reader pays for the strings of a set: for each, and for those that are not listed."""
    number = len({string.strip().casefold() or string for string in strings})
    price = STRING * number + UNSEEN * (number > LISTED + 1)
    is_field = price > FIELD and alike is not None and alike.centre(strings) is not None
    return FIELD if is_field else price


def united_alternatives(one: TermTuple, other: TermTuple) -> TermTuple | None:
    """One alternative in place of two that differ in the strings of a single set; None where they
    differ in more.
    """
    if len(one) != len(other):
        return None
    differing = [k for k, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
    if len(differing) != 1:
        return None
    k = differing[0]
    mine, theirs = (condition_strings(each[k].condition) for each in (one, other))
    if one[k].negated or other[k].negated or not mine or not theirs:
        return None
    both = tuple(dict.fromkeys((*mine, *theirs)))
    if replace_condition_strings(other[k].condition, mine) != one[k].condition:
        return None
    united = replace(one[k], condition=replace_condition_strings(one[k].condition, both))
    return (*one[:k], united, *one[k + 1 :])


def classes_instead(term: RuleTerm, alike: AlikeTokens | None = None) -> Iterator[RuleTerm]:
    """The term with a class in place of its set, for each that most of a larger set belongs to, or
    with tokens that the subject takes for alike.
    """
    predicate = condition_predicate(term.condition)
    if not isinstance(predicate, OneOf) or len(predicate.strings) < NAMED_FROM:
        return
    strings, unit = predicate.strings, predicate.unit
    instead: list[Predicate] = [IsClass(unit, name) for name in classes_of_most(strings)]
    if alike is not None and unit is PredicateUnit.TOKEN:
        instead += [OneOf(unit, field) for field in alike.covering(strings, BELONGING)]
    for each in instead:
        yield replace(term, condition=replace_condition_predicate(term.condition, each))


@lru_cache(maxsize=64)  # a rule is asked for again after each part that it loses
def classes_of_most(strings: tuple[str, ...]) -> tuple[str, ...]:
    """The lexical classes that most of the strings belong to."""
    numbers = sum(map(memberships, strings), np.zeros(len(CLASSES), np.int64))
    most = (numbers >= BELONGING * len(strings)).tolist()
    return tuple(name for name, belongs in zip(CLASSES, most, strict=True) if belongs)


@lru_cache(maxsize=2**14)  # of the strings that rules are made of, in a process
def memberships(string: str) -> Int8[ndarray, " class"]:
    """1 for each class of CLASSES that the string belongs to, 0 for the others."""
    return np.array(belonging(string), np.int8)


@dataclass(frozen=True)
class SetMembers:
    """The strings of a set, and where each of them stands as the set's condition sees it."""

    strings: tuple[str, ...]
    # of every token or word: its place among the strings; their number where it is none of them
    ranks: Int64[ndarray, " unit"]
    ids: Int[ndarray, " token"]  # of the token or word at every token
    condition: Condition
    passage: Passage

    @staticmethod
    def of(condition: Condition, passage: Passage) -> "SetMembers":
        """The strings of the condition's set, in their order."""
        predicate = condition_predicate(condition)
        assert isinstance(predicate, OneOf)
        read = passage.read_by(predicate.unit)
        ranks = np.full(read.number, len(predicate.strings), np.int64)
        for rank, string in enumerate(predicate.strings):
            ranks[read.ids_of(string)] = rank
        return SetMembers(predicate.strings, ranks, read.ids, condition, passage)

    def ranks_seen(self, rows: Int64[ndarray, " row"]) -> Iterator[Int64[ndarray, " row"]]:
        """For every place that the condition looks at, the rank of the string that stands there."""
        none = len(self.strings)
        match self.condition:
            case After(nearest, farthest, _):
                for distance in range(nearest, farthest + 1):
                    seen = self.ranks[self.ids[np.maximum(rows - distance, 0)]]
                    yield np.where(self.passage.reach[rows] >= distance, seen, none)
            case Before(nearest, farthest, _):
                for distance in range(nearest, farthest + 1):
                    seen = self.ranks[self.ids[np.minimum(rows + distance, len(self.ids) - 1)]]
                    yield np.where(self.passage.following[rows] >= distance, seen, none)
            case LineBegins():
                yield self.ranks[self.ids[self.passage.line_heads[rows]]]
            case _:
                yield self.ranks[self.ids[rows]]

    def by_mass(self, rows: Int64[ndarray, " row"], mass: Float64[ndarray, " row"]) -> list[int]:
        """The ranks of the strings, first the one with most mass at the rows where it is seen."""
        total = np.zeros(len(self.strings) + 1)
        for ranks in self.ranks_seen(rows):
            total += np.bincount(ranks, mass, len(total))
        return np.argsort(-total[:-1], kind="stable").tolist()

    def in_order(self, order: list[int]) -> "SetMembers":
        """The same strings in another order."""
        places = np.append(np.argsort(order), len(order))
        return replace(
            self, strings=tuple(self.strings[k] for k in order), ranks=places[self.ranks]
        )

    def first_ranks(self, rows: Int64[ndarray, " row"]) -> Int64[ndarray, " row"]:
        """The first of the strings that each row sees."""
        best = np.full(len(rows), len(self.strings) - 1)
        for ranks in self.ranks_seen(rows):
            best = np.minimum(best, ranks)
        return best


def condition_predicate(condition: Condition) -> Predicate | None:
    """What the condition says of a token or word, its own or another; None where it says nothing of
    any.
    """
    match condition:
        case After(_, _, predicate) | Before(_, _, predicate) | LineBegins(predicate):
            return predicate
        case OneOf() | Matches() | IsClass():
            return condition
        case _:
            return None


def condition_strings(condition: Condition) -> tuple[str, ...]:
    """The strings of the condition's set; none where it has no set."""
    predicate = condition_predicate(condition)
    return predicate.strings if isinstance(predicate, OneOf) else ()


def replace_condition_strings(condition: Condition, strings: tuple[str, ...]) -> Condition:
    """The same condition with these strings as its set."""
    predicate = condition_predicate(condition)
    if not isinstance(predicate, OneOf):
        return condition
    return replace_condition_predicate(condition, replace(predicate, strings=strings))


def replace_condition_predicate(condition: Condition, predicate: Predicate) -> Condition:
    """The same place with another predicate."""
    match condition:
        case After() | Before() | LineBegins():
            return replace(condition, predicate=predicate)
        case _:
            return predicate
