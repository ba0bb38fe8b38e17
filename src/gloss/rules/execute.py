"""Run a rule over a whole passage at once."""

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from gloss.rules.language import (
    After,
    Alternative,
    Before,
    Comparison,
    Condition,
    LineBegins,
    Position,
    Predicate,
    Rule,
    State,
    Unit,
)
from gloss.rules.passage import Passage

COMPARED = {
    Comparison.LESS: np.less,
    Comparison.AT_MOST: np.less_equal,
    Comparison.EQUAL: np.equal,
    Comparison.AT_LEAST: np.greater_equal,
    Comparison.MORE: np.greater,
}
SHIFTED_AT_MOST = 8  # distances: up to here shifting is quicker than summing


def execute(rule: Rule, passage: Passage) -> Float32[ndarray, " token"]:
    """The strength that the rule foretells at every token; 0 where it says that the feature is silent."""
    strengths = np.zeros(len(passage), np.float32)
    for alternative in rule.alternatives:
        held = holds_all(alternative, passage)
        strengths[held] = np.maximum(strengths[held], np.float32(alternative.strength))
    return strengths


def holds_all(alternative: Alternative, passage: Passage) -> Bool[ndarray, " token"]:
    """Where all terms of the alternative hold."""
    held = np.ones(len(passage), bool)
    for term in alternative.terms:
        held &= holds(term.condition, passage) ^ term.negated
    return held


def holds(condition: Condition, passage: Passage) -> Bool[ndarray, " token"]:
    """Where the condition holds."""
    match condition:
        case After(nearest, farthest, predicate):
            return within(satisfied(predicate, passage), passage, nearest, farthest)
        case Before(nearest, farthest, predicate):
            return ahead(satisfied(predicate, passage), passage, nearest, farthest)
        case LineBegins(predicate):
            heads = passage.line_heads
            return satisfied(predicate, passage)[heads] & (heads >= 0)
        case Position(comparison, number):
            return COMPARED[comparison](passage.places, number)
        case State.START_OF_LINE:
            return passage.line_starts
        case State.START_OF_WORD:
            return passage.word_starts == np.arange(len(passage))
        case State.IN_COMMENT:
            return passage.surroundings.comment
        case State.IN_STRING:
            return passage.surroundings.string
        case State.IN_BRACKETS:
            return passage.surroundings.brackets
        case _:
            return satisfied(condition, passage)


def satisfied(predicate: Predicate, passage: Passage) -> Bool[ndarray, " token"]:
    """Where the predicate holds of the token, or of the word so far."""
    if predicate.unit is Unit.WORD:
        return passage.words.lexicon.table(predicate)[passage.words.ids]
    return passage.lexicon.table(predicate)[passage.ids]


def within(found: Bool[ndarray, " token"], passage: Passage, nearest: int, farthest: int) -> Bool[ndarray, " token"]:
    """Whether one of the tokens `nearest` to `farthest` before, in the same sequence, is among the found."""
    if farthest - nearest < SHIFTED_AT_MOST:
        near = np.zeros(len(found), bool)
        for distance in range(nearest, min(farthest, len(found) - 1) + 1):
            near[distance:] |= found[:-distance] & (passage.reach[distance:] >= distance)
        return near
    indices = np.arange(len(found))
    totals = np.append(0, np.cumsum(found))
    end = np.maximum(indices - nearest + 1, indices - passage.reach)
    return totals[end] > totals[indices - np.minimum(passage.reach, farthest)]


def ahead(found: Bool[ndarray, " token"], passage: Passage, nearest: int, farthest: int) -> Bool[ndarray, " token"]:
    """Whether one of the tokens `nearest` to `farthest` on, in the same sequence, is among the found."""
    if farthest - nearest < SHIFTED_AT_MOST:
        near = np.zeros(len(found), bool)
        for distance in range(nearest, min(farthest, len(found) - 1) + 1):
            near[:-distance] |= found[distance:] & (passage.remaining[:-distance] >= distance)
        return near
    indices = np.arange(len(found))
    totals = np.append(0, np.cumsum(found))
    start = np.minimum(indices + nearest, indices + passage.remaining + 1)
    return totals[indices + np.minimum(passage.remaining, farthest) + 1] > totals[start]
