"""The conditions that are tried: those with a set of strings, and those that need none (classes,
patterns, positions, states).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.explain.rule_search.alike import SIZES
from gloss.explain.rule_search.description_length import (
    CHARACTER_BITS,
    CLASS_BITS,
    DISTANCE_BITS,
    FIELD_BITS,
    KIND_BITS,
    NUMBER_BITS,
)
from gloss.explain.rule_search.term_candidates import (
    SetFamily,
    TermCandidate,
    UncoveredRows,
    best_conditions,
    column_values,
    term_mask,
)
from gloss.rules.language import (
    After,
    Before,
    Condition,
    IsClass,
    LineBegins,
    Matches,
    OneOf,
    Position,
    PositionComparison,
    Predicate,
    PredicateUnit,
    RuleTerm,
    TokenState,
)
from gloss.rules.lexical_classes import CLASSES, SPELLINGS
from gloss.rules.lexicon import Lexicon
from gloss.rules.passage import Passage
from gloss.rules.patterns import literal_pattern, match_strings

BACK = (1, 2, 3, 4, 5, 8)  # how far back `after` is tried
AHEAD = (1, 2, 3, 4)  # how far on `before` is tried
POSITIONS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 100, 128)
LETTERS = 6  # the longest beginning or end of a token that is tried as a pattern
NUMBER = r"\s*\d+\s*"
SHARED_BY = 2  # a pattern that fewer strings of the vocabulary share says no more than the string


def own_families(rows: UncoveredRows) -> Iterator[SetFamily]:
    """The token itself, and its word so far."""
    passage, every = rows.train_windows.passage, np.arange(len(rows))
    strings = passage.strings
    yield SetFamily(
        every,
        passage.ids[rows.indices].astype(np.int64),
        len(strings),
        KIND_BITS,
        ("token",),
        partial(token_set_predicate, strings),
    )
    items, words = rows.train_windows.words
    universe = max(len(strings), len(words))
    yield SetFamily(
        every,
        items[rows.indices],
        universe,
        KIND_BITS + 1,
        ("word",),
        partial(word_set_predicate, words),
    )


def nearby_families(rows: UncoveredRows) -> Iterator[SetFamily]:
    """Tokens before and after, and the one that begins the line."""
    passage, at = rows.train_windows.passage, rows.indices
    strings = passage.strings
    heads = passage.line_heads[at]
    begun = np.flatnonzero(heads >= 0)
    items = passage.ids[heads[begun]].astype(np.int64)
    yield SetFamily(
        begun,
        items,
        len(strings),
        KIND_BITS,
        ("line",),
        lambda chosen: LineBegins(token_set_predicate(strings, chosen)),
    )
    for back in (-offset for offset in rows.train_windows.offsets if offset < -1):
        near = np.flatnonzero(passage.reach[at] >= back)
        condition = partial(token_at_distance, back, strings)
        items = passage.ids[at[near] - back].astype(np.int64)
        yield SetFamily(
            near,
            items,
            len(strings),
            KIND_BITS + 2 * DISTANCE_BITS,
            ("After", back, back),
            condition,
        )
    for direction, reach, farthest in ((-1, passage.reach, BACK), (1, passage.following, AHEAD)):
        kind = After if direction < 0 else Before
        near, items, distance = nearby_token_pairs(
            rows, direction, reach[at].astype(np.int64), farthest[-1]
        )
        for far in farthest:
            close = distance <= far
            condition = partial(token_within_distance, kind, far, strings)
            yield SetFamily(
                near[close],
                items[close],
                len(strings),
                KIND_BITS + DISTANCE_BITS,
                (kind.__name__, far),
                condition,
            )


def token_set_predicate(strings: tuple[str, ...], chosen: list[int]) -> Predicate:
    """The token is one of these."""
    return OneOf(PredicateUnit.TOKEN, tuple(dict.fromkeys(strings[i] for i in chosen)))


def word_set_predicate(words: tuple[str, ...], chosen: list[int]) -> Predicate:
    """The word so far is one of these."""
    return OneOf(PredicateUnit.WORD, tuple(words[i] for i in chosen))


def token_within_distance(
    kind: type[After] | type[Before], far: int, strings: tuple[str, ...], chosen: list[int]
) -> Condition:
    """One of these tokens is at most so far away."""
    return kind(1, far, token_set_predicate(strings, chosen))


def token_at_distance(back: int, strings: tuple[str, ...], chosen: list[int]) -> Condition:
    """One of these tokens is just so far back."""
    return After(back, back, token_set_predicate(strings, chosen))


def nearby_token_pairs(
    rows: UncoveredRows, direction: int, reach: Int64[ndarray, " row"], far: int
) -> tuple[Int64[ndarray, " pair"], Int64[ndarray, " pair"], Int64[ndarray, " pair"]]:
    """Tokens up to `far` away on one side: row, token, and the distance at which that token stands
    first; sorted by row.
    """
    ids, distances = rows.train_windows.passage.ids, np.arange(1, far + 1)
    row, distance = np.nonzero(distances[None, :] <= reach[:, None])
    items = ids[rows.indices[row] + direction * (distance + 1)].astype(np.int64)
    size = int(items.max(initial=0)) + 1
    key = np.sort((row * size + items) * (far + 1) + distance)
    pair = key // (far + 1)
    fresh = np.flatnonzero(np.diff(pair, prepend=-1))
    row, items = np.divmod(pair[fresh], size)
    return row, items, key[fresh] % (far + 1) + 1


def lexical_candidates(rows: UncoveredRows) -> Iterator[TermCandidate]:
    """Classes of the token and of its neighbours, its beginnings and ends, its position and what
    surrounds it.
    """
    passage, at = rows.train_windows.passage, rows.indices
    weights = np.stack([rows.firing, rows.inactive], axis=1)
    places = tokens_at_places(rows)
    conditions, classes = class_weights(passage, places)
    totals = [classes]
    for costs, held in (state_conditions(passage, at), position_conditions(passage, at)):
        conditions += costs
        totals.append(held.astype(np.float64) @ weights)
    both = np.concatenate(totals)
    yield from best_conditions(rows, conditions, both[:, 0], both[:, 1])
    yield from affix_candidates(rows, places[0])
    yield from alike_candidates(rows, places)


HeldConditions = tuple[list[tuple[Condition, float]], Bool[ndarray, "condition row"]]


@dataclass(frozen=True)
class TokensAtPlace:
    """Which tokens stand at a place beside each row, with the weight of the rows."""

    condition: Callable[[Predicate], Condition]  # what is said of a token there
    bits: float  # of saying where
    ids: Int64[ndarray, " id"]  # that stand there, ascending
    weights: Float64[ndarray, "id 2"]  # of rows where the feature fires, and where it does not


def tokens_at_places(rows: UncoveredRows) -> list[TokensAtPlace]:
    """The token itself, its neighbours and the line's first token."""
    passage, at = rows.train_windows.passage, rows.indices
    heads = passage.line_heads[at]
    places: tuple[tuple[Callable[[Predicate], Condition], float, ndarray, ndarray], ...] = (
        (own_condition, 0.0, np.ones(len(at), bool), at),
        (partial(After, 1, 1), DISTANCE_BITS, passage.reach[at] > 0, at - 1),
        (partial(Before, 1, 1), DISTANCE_BITS, passage.following[at] > 0, at + 1),
        (LineBegins, DISTANCE_BITS, heads >= 0, heads),
    )
    found: list[TokensAtPlace] = []
    for condition, bits, near, seen in places:
        ids, inverse = np.unique(passage.ids[seen[near]], return_inverse=True)
        weights = [
            np.bincount(inverse, each[near], len(ids)) for each in (rows.firing, rows.inactive)
        ]
        both = np.stack(weights, axis=1).astype(np.float64)
        found.append(TokensAtPlace(condition, bits, ids.astype(np.int64), both))
    return found


def class_weights(
    passage: Passage, places: list[TokensAtPlace]
) -> tuple[list[tuple[Condition, float]], Float64[ndarray, "condition 2"]]:
    """Tokens at the places by how they are spelled and by their word fields: each condition with
    its bits, and the firing and inactive weight where it holds.
    """
    table = class_tables(passage.lexicon)
    predicates = [IsClass(PredicateUnit.TOKEN, name) for name in CLASSES]
    bits = [KIND_BITS + (CLASS_BITS if name in SPELLINGS else FIELD_BITS) for name in CLASSES]
    conditions = [
        (place.condition(predicate), cost + place.bits)
        for place in places
        for predicate, cost in zip(predicates, bits, strict=True)
    ]
    return conditions, np.concatenate([table[:, place.ids] @ place.weights for place in places])


def alike_candidates(rows: UncoveredRows, places: list[TokensAtPlace]) -> Iterator[TermCandidate]:
    """The best set of a token that stands where the feature fires and those that the subject takes
    for most like it, whether they were seen or not.
    """
    alike = rows.train_windows.alike
    if alike is None or not alike.table.shape[1]:
        return
    strings, size = rows.train_windows.passage.strings, len(rows.train_windows.passage.strings)
    cost = KIND_BITS + float(np.log2(size)) + float(np.log2(len(SIZES)))
    for place in places:
        weights = np.zeros((size + 1, 2))
        weights[place.ids] = place.weights
        centres = place.ids[place.weights[:, 0] > 0]
        members = alike.around(centres)
        sums = np.cumsum(weights[members], axis=1)[:, np.minimum(SIZES, members.shape[1]) - 1]
        hits, false_positives = sums.reshape(-1, 2).T
        if len(centres):
            bits = np.full(len(hits), cost + place.bits)
            yield from best_fields(rows, place, members, strings, bits, hits, false_positives)


def best_fields(
    rows: UncoveredRows,
    place: TokensAtPlace,
    members: Int64[ndarray, "centre member"],
    strings: tuple[str, ...],
    bits: Float64[ndarray, " field"],
    hits: Float64[ndarray, " field"],
    false_positives: Float64[ndarray, " field"],
) -> Iterator[TermCandidate]:
    """The most worthy and the most saving of the fields, of each centre one a size."""
    worth, saved = (
        rows.description.worth(hits, false_positives) - bits,
        rows.description.saved(hits, false_positives) - bits,
    )
    for best in dict.fromkeys((int(worth.argmax()), int(saved.argmax()))):
        centre, size = divmod(best, len(SIZES))
        chosen = members[centre, : SIZES[size]]
        term = RuleTerm(place.condition(token_set_predicate(strings, chosen[chosen >= 0].tolist())))
        yield TermCandidate(
            partial(RuleTerm, term.condition),
            partial(term_mask, term),
            ("alike", type(term.condition).__name__),
            *column_values(best, bits, hits, false_positives, worth, saved),
        )


def own_condition(predicate: Predicate) -> Condition:
    """What is said of the token itself."""
    return predicate


def state_conditions(passage: Passage, at: Int64[ndarray, " row"]) -> HeldConditions:
    """What the token begins, and what it begins in."""
    around = passage.syntax_states
    states = (
        (TokenState.IN_COMMENT, around.comment),
        (TokenState.IN_STRING, around.string),
        (TokenState.IN_BRACKETS, around.brackets),
    )
    places = (
        (TokenState.START_OF_LINE, passage.line_starts),
        (TokenState.START_OF_WORD, passage.word_starts == np.arange(len(passage))),
    )
    return [(state, KIND_BITS) for state, _ in (*places, *states)], np.stack(
        [held[at] for _, held in (*places, *states)]
    )


def position_conditions(passage: Passage, at: Int64[ndarray, " row"]) -> HeldConditions:
    """The token's position in its sequence, where that is known."""
    if passage.firsts is None:
        return [], np.empty((0, len(at)), bool)
    places, numbers = passage.sequence_positions[at], np.array(POSITIONS)[:, None]
    cost = KIND_BITS + NUMBER_BITS
    conditions: list[tuple[Condition, float]] = [
        (Position(PositionComparison.LESS, number), cost) for number in POSITIONS
    ]
    return conditions, places < numbers


@lru_cache(maxsize=2)
def class_tables(lexicon: Lexicon) -> Float64[ndarray, "class vocabulary"]:
    """1 where a string of the lexicon belongs to a lexical class, else 0."""
    return np.stack([lexicon.class_table(name) for name in CLASSES]).astype(np.float64)


@dataclass(frozen=True)
class SharedAffixes:
    """Beginnings and ends that tokens of a vocabulary share: pairs of token and affix, sorted by
    token.
    """

    conditions: list[tuple[Condition, float]]
    affixes: Int64[ndarray, " pair"]
    begins: Int64[ndarray, " token_and_end"]  # each token's first pair, then the number of pairs

    def of_tokens(
        self, ids: Int64[ndarray, " id"]
    ) -> tuple[Int64[ndarray, " pair"], Int64[ndarray, " pair"]]:
        """The pairs of these tokens: which of them it is, and the affix."""
        numbers = self.begins[ids + 1] - self.begins[ids]
        owners = np.repeat(np.arange(len(ids)), numbers)
        places = np.arange(len(owners)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
        return owners, self.affixes[self.begins[ids[owners]] + places]


def affix_candidates(rows: UncoveredRows, tokens: TokensAtPlace) -> Iterator[TermCandidate]:
    """The best beginning or end of the token, of those that the rows show."""
    known = find_shared_affixes(rows.train_windows.passage.lexicon)
    owners, affixes = known.of_tokens(tokens.ids)
    seen, inverse = np.unique(affixes, return_inverse=True)
    if len(seen):
        hits, false_positives = (
            np.bincount(inverse, weights[owners], len(seen)) for weights in tokens.weights.T
        )
        conditions = [known.conditions[i] for i in seen.tolist()]
        yield from best_conditions(rows, conditions, hits, false_positives)


@lru_cache(maxsize=2)
def find_shared_affixes(lexicon: Lexicon) -> SharedAffixes:
    """What tokens of the lexicon begin and end with, up to some letters, where several tokens share
    it.

    Blanks around a token do not count, neither here nor in the patterns.
    """
    members: dict[str, list[int]] = {}
    numbers = match_strings(NUMBER, lexicon.strings)
    for i, string in enumerate(lexicon.strings):
        core = string.strip()
        for length in range(1, min(LETTERS, len(core)) + 1):
            first, last = core[:length], core[-length:]
            if not first[-1].isspace():
                members.setdefault(rf"\s*{literal_pattern(first)}.*", []).append(i)
            if not last[0].isspace():
                members.setdefault(rf".*{literal_pattern(last)}\s*", []).append(i)
        if numbers[i]:
            for digits in range(len(core), LETTERS + 1):
                members.setdefault(rf"\s*\d{{1,{digits}}}\s*", []).append(i)
            members.setdefault(rf"\s*\d{{{len(core)}}}\s*", []).append(i)
    shared = {pattern: tokens for pattern, tokens in members.items() if len(tokens) >= SHARED_BY}
    costs = [
        KIND_BITS + CHARACTER_BITS * (len(pattern.replace(r"\s*", "")) - 2) for pattern in shared
    ]
    conditions: list[tuple[Condition, float]] = [
        (Matches(PredicateUnit.TOKEN, pattern), cost)
        for pattern, cost in zip(shared, costs, strict=True)
    ]
    affixes = np.repeat(np.arange(len(shared)), [len(tokens) for tokens in shared.values()])
    tokens = np.array([token for tokens in shared.values() for token in tokens], np.int64)
    begins = np.append(0, np.cumsum(np.bincount(tokens, minlength=len(lexicon.strings))))
    return SharedAffixes(conditions, affixes[np.argsort(tokens, kind="stable")], begins)
