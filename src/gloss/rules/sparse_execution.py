"""Run a rule over a long passage in time that goes with where its terms occur, and not with the
passage's length.

Of the terms that must all hold, the one that can hold at the fewest tokens says where to look; the
others are asked there alone. An alternative of which no term is rare (a common class, a state of
the text, negations alone) is run over the whole passage, as `execute` runs it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Int64
from numpy import ndarray

from gloss.records import FeatureActivations
from gloss.rules.execute import (
    COMPARISON_FUNCTIONS,
    SHIFTED_AT_MOST,
    where_alternative_holds,
)
from gloss.rules.language import (
    After,
    Alternative,
    Before,
    Condition,
    LineBegins,
    Position,
    PositionComparison,
    Predicate,
    Rule,
    RuleTerm,
    TokenState,
)
from gloss.rules.occurrences import ascending, span_indices
from gloss.rules.passage import Passage
from gloss.rules.resting_arrays import by_reach, let_go

Places = Int64[ndarray, " _"]  # tokens of the passage, counted from 0, ascending
# a term is rare that can hold at one token in so many: a place that is looked up costs about as
# much as so many that are passed over
RARE = 8
ANYWHERE = 2**62  # places of a condition that is not looked up


def execute_sparsely(rule: Rule, passage: Passage, rare: int = RARE) -> FeatureActivations:
    """The tokens of the passage at which the rule says that the feature fires, and how strongly.

    Says what `execute` says. What an alternative costs goes with the occurrences of its rarest
    term; with the length of the passage where no term is as rare as one token in `rare`.

        >>> text = Passage(np.array([0, 1, 0], np.int32), np.array([0, 3]), ("a", "b"))
        >>> from gloss.rules.parser import parse_rule
        >>> found = execute_sparsely(parse_rule('token in {"b"} -> 2'), text)
        >>> found.positions.tolist(), found.values.tolist()
        ([1], [2.0])
    """
    found = [alternative_places(each, passage, rare) for each in rule.alternatives]
    places = np.concatenate(found)
    strengths = np.repeat(
        np.array([each.strength for each in rule.alternatives], np.float32), [*map(len, found)]
    )
    if len(found) > 1 and len(places):
        order = np.argsort(places, kind="stable")
        places, strengths = places[order], strengths[order]
        first = np.flatnonzero(np.diff(places, prepend=-1))
        places, strengths = places[first], np.maximum.reduceat(strengths, first)
    return FeatureActivations(places, strengths)


def alternative_places(alternative: Alternative, passage: Passage, rare: int) -> Places:
    """Where all terms of the alternative hold."""
    let_go()
    most = [
        ANYWHERE if term.negated else most_places(term.condition, passage)
        for term in alternative.terms
    ]
    if min(most) * rare > len(passage):
        found = [
            first + np.flatnonzero(where_alternative_holds(alternative, block))
            for first, block in passage.blocks()
        ]
        return np.concatenate([np.empty(0, np.int64), *found])
    rarest = most.index(min(most))
    places = condition_places(alternative.terms[rarest].condition, passage)
    others = [term for number, term in enumerate(alternative.terms) if number != rarest]
    held = [satisfying(others, passage, places[near]) for near in by_reach(places, len(passage))]
    return np.concatenate(held)


def satisfying(terms: Sequence[RuleTerm], passage: Passage, places: Places) -> Places:
    """Those of the places where all of these terms hold."""
    for term in terms:
        if len(places):
            places = places[holds_at(term.condition, passage, places) ^ term.negated]
    return places


def most_places(condition: Condition, passage: Passage) -> int:
    """At how many tokens a condition holds at most, as far as that is told without looking."""
    match condition:
        case After(nearest, farthest, predicate) | Before(nearest, farthest, predicate):
            return (farthest - nearest + 1) * count_places(predicate, passage)
        case LineBegins(predicate):
            heads = line_head_places(predicate, passage)
            return int((passage.line_ends(heads) - heads).sum())
        case Position(PositionComparison.AT_LEAST | PositionComparison.MORE) | TokenState():
            return ANYWHERE
        case Position(_, number):
            return (number + 1) * (len(passage.offsets) - 1)
        case _:
            return count_places(condition, passage)


def condition_places(condition: Condition, passage: Passage) -> Places:
    """Where the condition holds, for one that is rare."""
    match condition:
        case After(nearest, farthest, predicate):
            found = predicate_places(predicate, passage)
            return reached_places(found, passage.following[found], 1, nearest, farthest)
        case Before(nearest, farthest, predicate):
            found = predicate_places(predicate, passage)
            return reached_places(found, passage.reach[found], -1, nearest, farthest)
        case LineBegins(predicate):
            heads = line_head_places(predicate, passage)
            return span_indices(heads, passage.line_ends(heads) - heads)
        case Position(_, number):
            lengths = np.minimum(np.diff(passage.offsets), number + 1)
            near = span_indices(passage.offsets[:-1], lengths)
            return near[holds_at(condition, passage, near)]
        case TokenState():
            raise ValueError(f"{condition} is no condition that is looked up")
        case _:
            return predicate_places(condition, passage)


def holds_at(condition: Condition, passage: Passage, at: Places) -> Bool[ndarray, " place"]:
    """Whether the condition holds at each of these tokens."""
    match condition:
        case After(nearest, farthest, predicate):
            return holds_near(predicate, passage, at, -1, nearest, farthest)
        case Before(nearest, farthest, predicate):
            return holds_near(predicate, passage, at, 1, nearest, farthest)
        case LineBegins(predicate):
            heads = passage.line_heads[at].astype(np.int64)
            return predicate_at(predicate, passage, heads) & (heads >= 0)
        case Position(comparison, number):
            positions = passage.reach if passage.firsts is None else passage.sequence_positions
            return COMPARISON_FUNCTIONS[comparison](positions[at], number)
        case TokenState.START_OF_LINE:
            return passage.line_starts[at]
        case TokenState.START_OF_WORD:
            return passage.starts_word[at]
        case TokenState.IN_COMMENT:
            return passage.syntax_states.comment[at]
        case TokenState.IN_STRING:
            return passage.syntax_states.string[at]
        case TokenState.IN_BRACKETS:
            return passage.syntax_states.brackets[at]
        case _:
            return predicate_at(condition, passage, at)


def holds_near(
    predicate: Predicate, passage: Passage, at: Places, side: int, nearest: int, farthest: int
) -> Bool[ndarray, " place"]:
    """Whether the predicate holds `nearest` to `farthest` tokens behind each one (`side` 1) or
    before it (-1), in the same sequence.
    """
    room = (passage.following if side > 0 else passage.reach)[at].astype(np.int32)
    distances = farthest - nearest + 1
    if distances <= SHIFTED_AT_MOST or distances * len(at) < count_places(predicate, passage):
        near = np.zeros(len(at), bool)
        for distance in range(nearest, farthest + 1):
            inside = room >= distance
            near |= inside & predicate_at(predicate, passage, at + side * distance * inside)
        return near
    found = predicate_places(predicate, passage)
    ends = at + side * nearest, at + side * np.minimum(room, farthest)
    first, last = ends[::side]
    return np.searchsorted(found, last, side="right") > np.searchsorted(found, first)


def predicate_at(predicate: Predicate, passage: Passage, at: Places) -> Bool[ndarray, " place"]:
    """Whether the predicate holds at each of these tokens."""
    read = passage.read_by(predicate.unit)
    return read.truths(predicate)[read.ids[at]]


def reached_places(
    found: Places, room: Int[ndarray, " _"], side: int, nearest: int, farthest: int
) -> Places:
    """The tokens `nearest` to `farthest` behind the found ones or before them, as far as the
    sequence of each has `room`.
    """
    farthest = min(farthest, int(room.max(initial=0)))
    near = [found[room >= distance] + side * distance for distance in range(nearest, farthest + 1)]
    return near[0] if len(near) == 1 else ascending(np.concatenate([found[:0], *near]))


def line_head_places(predicate: Predicate, passage: Passage) -> Places:
    """The tokens that satisfy the predicate and are the first of their line that say anything."""
    heads = passage.first_said
    if count_places(predicate, passage) > len(heads):
        return heads[predicate_at(predicate, passage, heads)]
    found = predicate_places(predicate, passage)
    return found[passage.line_heads[found] == found]


def count_places(predicate: Predicate, passage: Passage) -> int:
    """At how many tokens the predicate holds."""
    read = passage.read_by(predicate.unit)
    return read.occurrences.count(read.held_ids(predicate))


def predicate_places(predicate: Predicate, passage: Passage) -> Places:
    """Where the predicate holds."""
    read = passage.read_by(predicate.unit)
    return read.occurrences.of_any(read.held_ids(predicate))
