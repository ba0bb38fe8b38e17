"""Conditions that need no choice of strings: classes, patterns of letters, places, surroundings."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.explain.candidates import Candidate, Rows, plain
from gloss.explain.description import CHARACTER_BITS, CLASS_BITS, DISTANCE_BITS, KIND_BITS, NUMBER_BITS
from gloss.rules.language import After, Before, Comparison, Condition, IsClass, LineBegins, Matches, Position, State, Unit
from gloss.rules.lexical import CLASSES
from gloss.rules.lexicon import Lexicon
from gloss.rules.passage import Passage
from gloss.rules.patterns import matching, meaning

POSITIONS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 100, 128)
LETTERS = 6  # the longest beginning or end of a token that is tried as a pattern
NUMBER = r"\s*\d+\s*"
SHARED_BY = 2  # a pattern that fewer strings of the vocabulary share says no more than the string


def lexical(rows: Rows) -> Iterator[Candidate]:
    """Classes of the token and of its neighbours, its beginnings and ends, its place and what surrounds it."""
    passage, at = rows.sightings.passage, rows.indices
    weights = np.stack([rows.firing, rows.silent], axis=1)
    conditions: list[tuple[Condition, float]] = []
    totals: list[Float64[ndarray, "condition 2"]] = []
    for costs, held in (classes(passage, at), surrounded(passage, at), placed(passage, at)):
        conditions += costs
        totals.append(held.astype(np.float64) @ weights)
    both = np.concatenate(totals)
    yield from plain(rows, conditions, both[:, 0], both[:, 1])
    yield from patterns(rows)


Held = tuple[list[tuple[Condition, float]], Bool[ndarray, "condition row"]]


def classes(passage: Passage, at: Int64[ndarray, " row"]) -> Held:
    """The token, the one before, the one after and the line's first token by their lexical classes."""
    predicates = [IsClass(Unit.TOKEN, name) for name in CLASSES]
    table = class_tables(passage.lexicon)
    last = len(passage) - 1
    heads = passage.line_heads[at]
    held = (
        table[:, passage.ids[at]],
        table[:, passage.ids[np.maximum(at - 1, 0)]] & (passage.reach[at] > 0),
        table[:, passage.ids[np.minimum(at + 1, last)]] & (passage.remaining[at] > 0),
        table[:, passage.ids[heads]] & (heads >= 0),
    )
    own, near = KIND_BITS + CLASS_BITS, KIND_BITS + CLASS_BITS + DISTANCE_BITS
    conditions: list[tuple[Condition, float]] = [(predicate, own) for predicate in predicates]
    conditions += [(After(1, 1, predicate), near) for predicate in predicates]
    conditions += [(Before(1, 1, predicate), near) for predicate in predicates]
    conditions += [(LineBegins(predicate), near) for predicate in predicates]
    return conditions, np.concatenate(held)


def surrounded(passage: Passage, at: Int64[ndarray, " row"]) -> Held:
    """What the token begins, and what it begins in."""
    around = passage.surroundings
    states = (State.IN_COMMENT, around.comment), (State.IN_STRING, around.string), (State.IN_BRACKETS, around.brackets)
    places = (State.START_OF_LINE, passage.line_starts), (State.START_OF_WORD, passage.word_starts == np.arange(len(passage)))
    return [(state, KIND_BITS) for state, _ in (*places, *states)], np.stack([held[at] for _, held in (*places, *states)])


def placed(passage: Passage, at: Int64[ndarray, " row"]) -> Held:
    """The token's place in its sequence, where that is known."""
    if passage.firsts is None:
        return [], np.empty((0, len(at)), bool)
    places, numbers = passage.places[at], np.array(POSITIONS)[:, None]
    cost = KIND_BITS + NUMBER_BITS
    conditions: list[tuple[Condition, float]] = [(Position(Comparison.LESS, number), cost) for number in POSITIONS]
    return conditions, places < numbers


@lru_cache(maxsize=2)
def class_tables(lexicon: Lexicon) -> Bool[ndarray, "class vocabulary"]:
    """Every lexical class of every string."""
    return np.stack([lexicon.class_table(name) for name in CLASSES])


@dataclass(frozen=True)
class Affixes:
    """Beginnings and ends that tokens of a vocabulary share: pairs of affix and token."""

    conditions: list[tuple[Condition, float]]
    affixes: Int64[ndarray, " pair"]
    tokens: Int64[ndarray, " pair"]


def patterns(rows: Rows) -> Iterator[Candidate]:
    """The best beginning or end of the token."""
    passage = rows.sightings.passage
    known = affixes_of(passage.lexicon)
    if not known.conditions:
        return
    ids, size = passage.ids[rows.indices], len(passage.strings)
    firing, silent = (np.bincount(ids, weights, size)[known.tokens] for weights in (rows.firing, rows.silent))
    hits = np.bincount(known.affixes, firing, len(known.conditions)).astype(np.float64)
    misfires = np.bincount(known.affixes, silent, len(known.conditions)).astype(np.float64)
    yield from plain(rows, known.conditions, hits, misfires)


@lru_cache(maxsize=2)
def affixes_of(lexicon: Lexicon) -> Affixes:
    """What tokens of the lexicon begin and end with, up to some letters, where several tokens share it.

    Blanks around a token do not count, neither here nor in the patterns.
    """
    members: dict[str, list[int]] = {}
    numbers = matching(NUMBER, lexicon.strings)
    for i, string in enumerate(lexicon.strings):
        core = string.strip()
        for length in range(1, min(LETTERS, len(core)) + 1):
            first, last = core[:length], core[-length:]
            if not first[-1].isspace():
                members.setdefault(rf"\s*{meaning(first)}.*", []).append(i)
            if not last[0].isspace():
                members.setdefault(rf".*{meaning(last)}\s*", []).append(i)
        if numbers[i]:
            for digits in range(len(core), LETTERS + 1):
                members.setdefault(rf"\s*\d{{1,{digits}}}\s*", []).append(i)
            members.setdefault(rf"\s*\d{{{len(core)}}}\s*", []).append(i)
    shared = {pattern: tokens for pattern, tokens in members.items() if len(tokens) >= SHARED_BY}
    costs = [KIND_BITS + CHARACTER_BITS * (len(pattern.replace(r"\s*", "")) - 2) for pattern in shared]
    return Affixes(
        [(Matches(Unit.TOKEN, pattern), cost) for pattern, cost in zip(shared, costs, strict=True)],
        np.repeat(np.arange(len(shared)), [len(tokens) for tokens in shared.values()]),
        np.array([token for tokens in shared.values() for token in tokens], np.int64),
    )
