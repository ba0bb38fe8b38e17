"""Run a rule over a whole passage at once."""

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

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
    TokenState,
)
from gloss.rules.passage import FAR, Passage

COMPARISON_FUNCTIONS = {
    PositionComparison.LESS: np.less,
    PositionComparison.AT_MOST: np.less_equal,
    PositionComparison.EQUAL: np.equal,
    PositionComparison.AT_LEAST: np.greater_equal,
    PositionComparison.MORE: np.greater,
}
SHIFTED_AT_MOST = 8  # distances: up to here shifting is quicker than summing


def execute(rule: Rule, passage: Passage) -> Float32[ndarray, " token"]:
    """The strength that the rule predicts at every token.

    It is 0 where the rule says that the feature is inactive.
    """
    strengths = np.zeros(len(passage), np.float32)
    for alternative in rule.alternatives:
        held = where_alternative_holds(alternative, passage)
        strengths[held] = np.maximum(strengths[held], np.float32(alternative.strength))
    return strengths


def where_alternative_holds(alternative: Alternative, passage: Passage) -> Bool[ndarray, " token"]:
    """Where all terms of the alternative hold."""
    held = np.ones(len(passage), bool)
    for term in alternative.terms:
        held &= where_condition_holds(term.condition, passage) ^ term.negated
    return held


def where_condition_holds(condition: Condition, passage: Passage) -> Bool[ndarray, " token"]:
    """Where the condition holds."""
    match condition:
        case After(_, _, predicate) | Before(_, _, predicate) | LineBegins(predicate):
            return where_found(condition, where_predicate_holds(predicate, passage), passage)
        case Position(comparison, number):
            return COMPARISON_FUNCTIONS[comparison](passage.sequence_positions, number)
        case TokenState.START_OF_LINE:
            return passage.line_starts
        case TokenState.START_OF_WORD:
            return passage.starts_word
        case TokenState.IN_COMMENT:
            return passage.syntax_states.comment
        case TokenState.IN_STRING:
            return passage.syntax_states.string
        case TokenState.IN_BRACKETS:
            return passage.syntax_states.brackets
        case _:
            return where_predicate_holds(condition, passage)


def where_found(
    condition: Condition, found: Bool[ndarray, " token"], passage: Passage
) -> Bool[ndarray, " token"]:
    """Where the condition holds if its predicate holds at the tokens that were found."""
    match condition:
        case After(nearest, farthest, _):
            return any_in_range_before(found, passage, nearest, farthest)
        case Before(nearest, farthest, _):
            return any_in_range_after(found, passage, nearest, farthest)
        case LineBegins():
            return found[passage.line_heads] & (passage.line_heads >= 0)
        case _:
            return found


def where_predicate_holds(predicate: Predicate, passage: Passage) -> Bool[ndarray, " token"]:
    """Where the predicate holds of the token, or of the word so far."""
    read = passage.read_by(predicate.unit)
    return read.truths(predicate).take(read.ids)


def any_in_range_before(
    found: Bool[ndarray, " token"], passage: Passage, nearest: int, farthest: int
) -> Bool[ndarray, " token"]:
    """Whether one of the tokens `nearest` to `farthest` before is among the found.

    Only tokens of the same sequence count.
    """
    if farthest - nearest < SHIFTED_AT_MOST:
        near, reach = np.zeros(len(found), bool), passage.reach
        if farthest <= FAR:
            reach = passage.near_reach
        for distance in range(nearest, min(farthest, len(found) - 1) + 1):
            near[distance:] |= found[:-distance] & (reach[distance:] >= distance)
        return near
    indices = np.arange(len(found))
    totals = np.append(0, np.cumsum(found))
    end = np.maximum(indices - nearest + 1, indices - passage.reach)
    return totals[end] > totals[indices - np.minimum(passage.reach, farthest)]


def any_in_range_after(
    found: Bool[ndarray, " token"], passage: Passage, nearest: int, farthest: int
) -> Bool[ndarray, " token"]:
    """Whether one of the tokens `nearest` to `farthest` on is among the found.

    Only tokens of the same sequence count.
    """
    if farthest - nearest < SHIFTED_AT_MOST:
        near, following = np.zeros(len(found), bool), passage.following
        if farthest <= FAR:
            following = passage.near_following
        for distance in range(nearest, min(farthest, len(found) - 1) + 1):
            near[:-distance] |= found[distance:] & (following[:-distance] >= distance)
        return near
    indices = np.arange(len(found))
    totals = np.append(0, np.cumsum(found))
    start = np.minimum(indices + nearest, indices + passage.following + 1)
    return totals[indices + np.minimum(passage.following, farthest) + 1] > totals[start]
