"""Makes a rule shorter where that costs next to nothing of its F1 score (reduced error pruning: Cohen, 1995)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.explain.sightings import Sightings
from gloss.rules.execute import holds
from gloss.rules.language import After, Before, Condition, IsClass, LineBegins, Matches, OneOf, Predicate, Term, Unit
from gloss.rules.lexicon import Lexicon
from gloss.rules.passage import Passage

STEP = 0.012  # of the F1 score, that a term or an alternative must be good for
TAIL = 0.006  # of the F1 score, that all strings which are dropped may cost together

Terms = tuple[Term, ...]


def simplified(found: list[Terms], sightings: Sightings) -> list[Terms]:
    """The alternatives without the terms, alternatives and strings that hardly matter; strings that matter most come first."""
    draft = Draft([merged(terms) for terms in found], sightings)
    draft.drop_parts()
    draft.drop_strings()
    return [merged(terms) for terms in draft.alternatives]


def merged(terms: Terms) -> Terms:
    """The same with whatever else is said of the token told by the set of tokens, where there is one."""
    own = [term for term in terms if isinstance(term.condition, OneOf | Matches | IsClass) and term.condition.unit is Unit.TOKEN]
    base = next((term for term in own if isinstance(term.condition, OneOf) and not term.negated), None)
    if base is None or len(own) == 1:
        return terms
    assert isinstance(base.condition, OneOf)
    lexicon = Lexicon(base.condition.strings)
    kept = np.ones(len(lexicon.strings), bool)
    for term in own:
        assert isinstance(term.condition, OneOf | Matches | IsClass)
        kept &= lexicon.table(term.condition) ^ term.negated
    if not kept.any():
        return terms
    strings = tuple(string for string, stays in zip(lexicon.strings, kept, strict=True) if stays)
    return (Term(OneOf(Unit.TOKEN, strings)), *(term for term in terms if term not in own))


class Draft:
    """A rule while parts of it are taken away, with what is left of its F1 score."""

    def __init__(self, alternatives: list[Terms], sightings: Sightings) -> None:
        self.alternatives = alternatives
        self.sightings = sightings
        self.firing = sightings.weights * sightings.fires
        self.wanted = float(self.firing.sum())
        self.masks: dict[Term, Bool[ndarray, " token"]] = {}

    def f1(self, held: Bool[ndarray, " token"]) -> float:
        """The F1 score of a rule that holds there."""
        foretold = float(self.sightings.weights[held].sum())
        return 2 * float(self.firing[held].sum()) / max(foretold + self.wanted, 1e-9)

    def mask(self, term: Term) -> Bool[ndarray, " token"]:
        """Where the term holds."""
        if term not in self.masks:
            self.masks[term] = holds(term.condition, self.sightings.passage) ^ term.negated
        return self.masks[term]

    def held_by(self, terms: Terms) -> Bool[ndarray, " token"]:
        """Where all the terms hold."""
        held = np.ones(len(self.firing), bool)
        for term in terms:
            held &= self.mask(term)
        return held

    def held_by_all(self, alternatives: list[Terms]) -> Bool[ndarray, " token"]:
        """Where one of the alternatives holds."""
        held = np.zeros(len(self.firing), bool)
        for terms in alternatives:
            held |= self.held_by(terms)
        return held

    def drop_parts(self) -> None:
        """Take away the term or alternative that costs least, as long as one costs next to nothing."""
        score = self.f1(self.held_by_all(self.alternatives))
        while shorter := list(self.shorter()):
            left = [self.f1(self.held_by_all(alternatives)) for alternatives in shorter]
            best = int(np.argmax(left))
            if left[best] < (1 - STEP) * score:
                return
            self.alternatives, score = shorter[best], left[best]

    def shorter(self) -> Iterator[list[Terms]]:
        """The rule without one of its alternatives, or without one of its terms."""
        for i, terms in enumerate(self.alternatives):
            before, after = self.alternatives[:i], self.alternatives[i + 1 :]
            if before or after:
                yield [*before, *after]
            if len(terms) > 1:
                for j in range(len(terms)):
                    yield [*before, (*terms[:j], *terms[j + 1 :]), *after]
                for joined in self.joined(terms):
                    yield [*before, joined, *after]

    def joined(self, terms: Terms) -> Iterator[Terms]:
        """The terms with one set in place of two that speak of the token and of its word: that of those strings which hold."""
        own = [term for term in terms if isinstance(term.condition, OneOf)]
        if len(own) != 2 or all(term.negated for term in own):
            return
        held = self.held_by(terms)
        for term in own:
            if not term.negated:
                members = Members.of(term.condition, self.sightings.passage)
                whole, part = (
                    np.bincount(members.ranks[members.ids], self.sightings.weights * where, len(members.strings) + 1)
                    for where in (self.mask(term), held)
                )
                if len(kept := np.flatnonzero(part[:-1] * 2 > whole[:-1])):
                    strings = tuple(members.strings[k] for k in kept.tolist())
                    one = Term(with_strings(term.condition, strings))
                    yield (one, *(each for each in terms if each not in own))

    def drop_strings(self) -> None:
        """Take strings out of the sets, those that matter least first; the others are put in order."""
        least = (1 - TAIL) * self.f1(self.held_by_all(self.alternatives))
        places = [(i, j) for i, terms in enumerate(self.alternatives) for j in range(len(terms))]
        for i, j in sorted(places, key=lambda place: -len(strings_of(self.alternatives[place[0]][place[1]].condition))):
            terms = self.alternatives[i]
            if strings_of(terms[j].condition):
                term = self.shortened(i, j, least)
                self.alternatives[i] = (*terms[:j], term, *terms[j + 1 :])

    def shortened(self, i: int, j: int, least: float) -> Term:
        """The term with fewer strings, so that the rule's F1 score stays at `least`; where it is below, only put in order."""
        terms = self.alternatives[i]
        term = terms[j]
        others = self.held_by((*terms[:j], *terms[j + 1 :]))
        elsewhere = self.held_by_all(self.alternatives[:i] + self.alternatives[i + 1 :])
        held = holds(term.condition, self.sightings.passage)
        rows = np.flatnonzero(others & held & ~elsewhere)
        members = Members.of(term.condition, self.sightings.passage)
        mass = self.sightings.weights[rows] * (~self.sightings.fires[rows] if term.negated else self.sightings.activations[rows])
        order = members.by_mass(rows, mass)
        members = members.reordered(order)
        first = members.first(rows)
        hits = np.bincount(first, self.firing[rows], len(order))
        foretold = np.bincount(first, self.sightings.weights[rows], len(order))
        rule = self.held_by_all(self.alternatives)
        now = float(self.firing[rule].sum()), float(self.sightings.weights[rule].sum())
        kept = self.worth_keeping(hits, foretold, now, least, sign=1 if term.negated else -1)
        strings = [members.strings[k] for k in kept]
        return replace(term, condition=with_strings(term.condition, tuple(strings)))

    def worth_keeping(
        self,
        hits: Float64[ndarray, " string"],
        foretold: Float64[ndarray, " string"],
        now: tuple[float, float],
        least: float,
        *,
        sign: int,
    ) -> list[int]:
        """Which strings stay, where each adds (`sign` 1) or takes away so many hits and foretold tokens when it is dropped."""
        total = 2 * now[0] / max(now[1] + self.wanted, 1e-9)
        harm = -sign * (2 * hits - total * foretold)
        order = np.argsort(harm, kind="stable")
        found, said = now[0] + sign * np.cumsum(hits[order]), now[1] + sign * np.cumsum(foretold[order])
        left = 2 * found / np.maximum(said + self.wanted, 1e-9)
        dropped = int(np.count_nonzero(np.logical_and.accumulate(left >= least)))
        return sorted(order[min(dropped, len(order) - 1) :].tolist())


@dataclass(frozen=True)
class Members:
    """The strings of a set, and where each of them stands as the set's condition sees it."""

    strings: tuple[str, ...]
    ranks: Int64[ndarray, " unit"]  # of every token or word: its place among the strings; their number where it is none of them
    ids: Int64[ndarray, " token"]  # of the token or word at every token
    condition: Condition
    passage: Passage

    @staticmethod
    def of(condition: Condition, passage: Passage) -> "Members":
        """The strings of the condition's set, in their order."""
        predicate = predicate_of(condition)
        assert isinstance(predicate, OneOf)
        is_word = predicate.unit is Unit.WORD
        lexicon = passage.words.lexicon if is_word else passage.lexicon
        ranks = np.full(len(lexicon.strings), len(predicate.strings), np.int64)
        for rank, string in enumerate(predicate.strings):
            ranks[list(lexicon.ids_of.get(string, ()))] = rank
        ids = (passage.words.ids if is_word else passage.ids).astype(np.int64)
        return Members(predicate.strings, ranks, ids, condition, passage)

    def around(self, rows: Int64[ndarray, " row"]) -> Iterator[Int64[ndarray, " row"]]:
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
                    yield np.where(self.passage.remaining[rows] >= distance, seen, none)
            case LineBegins():
                yield self.ranks[self.ids[self.passage.line_heads[rows]]]
            case _:
                yield self.ranks[self.ids[rows]]

    def by_mass(self, rows: Int64[ndarray, " row"], mass: Float64[ndarray, " row"]) -> list[int]:
        """The ranks of the strings, first the one with most mass at the rows where it is seen."""
        total = np.zeros(len(self.strings) + 1)
        for ranks in self.around(rows):
            total += np.bincount(ranks, mass, len(total))
        return np.argsort(-total[:-1], kind="stable").tolist()

    def reordered(self, order: list[int]) -> "Members":
        """The same strings in another order."""
        places = np.append(np.argsort(order), len(order))
        return replace(self, strings=tuple(self.strings[k] for k in order), ranks=places[self.ranks])

    def first(self, rows: Int64[ndarray, " row"]) -> Int64[ndarray, " row"]:
        """The first of the strings that each row sees."""
        best = np.full(len(rows), len(self.strings) - 1)
        for ranks in self.around(rows):
            best = np.minimum(best, ranks)
        return best


def predicate_of(condition: Condition) -> Predicate | None:
    """What the condition says of a token or word, its own or another; None where it says nothing of any."""
    match condition:
        case After(_, _, predicate) | Before(_, _, predicate) | LineBegins(predicate):
            return predicate
        case OneOf() | Matches() | IsClass():
            return condition
        case _:
            return None


def strings_of(condition: Condition) -> tuple[str, ...]:
    """The strings of the condition's set; none where it has no set."""
    predicate = predicate_of(condition)
    return predicate.strings if isinstance(predicate, OneOf) else ()


def with_strings(condition: Condition, strings: tuple[str, ...]) -> Condition:
    """The same condition with these strings as its set."""
    match condition:
        case OneOf():
            return replace(condition, strings=strings)
        case After(_, _, OneOf() as predicate) | Before(_, _, OneOf() as predicate) | LineBegins(OneOf() as predicate):
            return replace(condition, predicate=replace(predicate, strings=strings))
        case _:
            return condition
