"""The conditions that are tried: those with a set of strings, and those that need none (classes,
patterns, positions, states).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.explain.rule_search.alike import SIZES
from gloss.explain.rule_search.description_length import (
    CLASS_BITS,
    DISTANCE_BITS,
    FIELD_BITS,
    KIND_BITS,
    NUMBER_BITS,
)
from gloss.explain.rule_search.set_search import SetFamily, Sight
from gloss.explain.rule_search.term_candidates import (
    CandidateGroup,
    TermMaker,
    UncoveredRows,
)
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules.language import (
    After,
    Before,
    Condition,
    IsClass,
    LineBegins,
    OneOf,
    Position,
    PositionComparison,
    Predicate,
    PredicateUnit,
)
from gloss.rules.lexical_classes import CLASSES, SPELLINGS

BACK = (1, 2, 3, 4, 5, 8)  # how far back `after` is tried
AHEAD = (1, 2, 3, 4)  # how far on `before` is tried
LINE = 1  # where the line's first token stands among the places beside a row
POSITIONS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 100, 128)


def own_sights(rows: UncoveredRows) -> Iterator[Sight]:
    """The token itself, and its word so far."""
    windows = rows.train_windows
    token = SetFamily(0, KIND_BITS, ("token",), own_condition)
    yield Sight.of_rows(rows, windows.tokens, token)
    word = SetFamily(0, KIND_BITS + 1, ("word",), own_condition)
    yield Sight.of_rows(rows, windows.words, word)


def nearby_sight(rows: UncoveredRows) -> Sight:
    """The token itself, without a family, and tokens beside it: the one that begins the line, those
    just so far back as may drive the feature, and those before and after.
    """
    windows = rows.train_windows
    back = tuple(-offset for offset in windows.offsets if offset < -1)
    numbers, places = windows.apart
    heads = windows.passage.line_heads.take(rows.indices)
    beside = np.array(
        [*(-each for each in back), *range(-1, -BACK[-1] - 1, -1), *range(1, AHEAD[-1] + 1)]
    )
    at = places.take(rows.indices)
    # places of nothing surround each window, and are the first
    line = np.where(heads >= 0, places.take(heads), 0)
    seen = numbers.take(np.concatenate([[at, line], at + beside[:, None]]))
    return Sight.of_places(rows, *nearby_families(back), seen)


@lru_cache(maxsize=64)
def nearby_families(back: tuple[int, ...]) -> tuple[tuple[SetFamily, ...], tuple[int, ...]]:
    """The families of what stands beside a row, where tokens just so far back are tried, and where
    the runs of places begin.
    """
    families = [SetFamily(LINE, KIND_BITS, ("line",), LineBegins)]
    for place, distance in enumerate(back, LINE + 1):
        bits, form = KIND_BITS + 2 * DISTANCE_BITS, ("After", distance, distance)
        families.append(SetFamily(place, bits, form, partial(After, distance, distance)))
    begins = list(range(LINE + 1 + len(back)))
    for kind, farthest in ((After, BACK), (Before, AHEAD)):
        first = len(begins)
        for far in farthest:
            bits, form = KIND_BITS + DISTANCE_BITS, (kind.__name__, far)
            families.append(SetFamily(first + far - 1, bits, form, partial(kind, 1, far)))
        begins += [first] * farthest[-1]
    return tuple(families), tuple(begins)


def lexical_groups(rows: UncoveredRows, sight: Sight) -> Iterator[CandidateGroup]:
    """Classes of the token and of its neighbours, its beginnings and ends, its position and what
    surrounds it.
    """
    weights = np.where([rows.fires, ~rows.fires], rows.weights, 0.0)
    places = tokens_at_places(sight)
    conditions, bits, totals = class_weights(rows, places)
    for others, cost, held in (state_conditions(rows), position_conditions(rows)):
        conditions = (*conditions, *others)
        bits = np.append(bits, np.full(len(others), cost))
        totals = np.concatenate([totals, weights @ held.T.astype(np.float64)], axis=1)

    def maker(number: int, negated: bool) -> TermMaker:
        return TermMaker.of(("lexical", number, negated), lambda: conditions[number], negated)

    hits, false_positives = totals
    yield CandidateGroup.of_conditions(rows, bits, hits, false_positives, maker)
    yield from affix_groups(rows, places[0])
    yield from alike_groups(rows, places)


HeldConditions = tuple[Sequence[Condition], float, Bool[ndarray, "condition row"]]


@dataclass(frozen=True)
class TokensAtPlace:
    """Which tokens stand at a place beside each row, with the weight of the rows."""

    name: str
    condition: Callable[[Predicate], Condition]  # what is said of a token there
    bits: float  # of saying where
    numbers: Int64[ndarray, " token"]  # of those that stand beside a row, ascending
    # of rows where the feature fires, and where it does not; 0 for a token of another place
    weights: Float64[ndarray, "2 token"]


def tokens_at_places(sight: Sight) -> list[TokensAtPlace]:
    """The token itself, its neighbours and the line's first token."""
    first_back, first_ahead = sorted(set(sight.begins))[-2:]
    return [
        TokensAtPlace(*beside, sight.seen, sight.weights_at(place))
        for beside, place in zip(BESIDE, (0, first_back, first_ahead, LINE), strict=True)
    ]


def class_weights(
    rows: UncoveredRows, places: list[TokensAtPlace]
) -> tuple[tuple[Condition, ...], Float64[ndarray, " condition"], Float64[ndarray, "2 condition"]]:
    """Tokens at the places by how they are spelled and by their word fields: each condition, its
    bits, and the firing and inactive weight where it holds.
    """
    conditions, bits = class_conditions(tuple(CLASSES))
    weights = np.concatenate([place.weights for place in places])
    sums, _ = rows.train_windows.classes.weigh(places[0].numbers, weights)
    by_place = sums[:, : len(CLASSES)].reshape(len(places), 2, -1)
    return conditions, bits, by_place.swapaxes(0, 1).reshape(2, -1)


@lru_cache(maxsize=2)
def class_conditions(
    names: tuple[str, ...],
) -> tuple[tuple[Condition, ...], Float64[ndarray, " condition"]]:
    """For every place the conditions with each of the classes, and their bits."""
    predicates = [IsClass(PredicateUnit.TOKEN, name) for name in names]
    costs = [KIND_BITS + (CLASS_BITS if name in SPELLINGS else FIELD_BITS) for name in names]
    return (
        tuple(condition(predicate) for _, condition, _ in BESIDE for predicate in predicates),
        np.array([cost + bits for *_, bits in BESIDE for cost in costs]),
    )


def affix_groups(rows: UncoveredRows, tokens: TokensAtPlace) -> Iterator[CandidateGroup]:
    """The beginnings and ends of the token that the rows show."""
    known, there = rows.train_windows.affixes, np.flatnonzero(tokens.weights.sum(axis=0) > 0)
    sums, affixes = known.tokens.weigh(tokens.numbers.take(there), tokens.weights[:, there])
    seen = np.flatnonzero(np.bincount(affixes, minlength=len(known.texts)))
    hits, false_positives = sums[:, seen]

    def maker(number: int, negated: bool) -> TermMaker:
        affix = int(seen[number])
        made = TermMaker.of(("affix", affix, negated), lambda: known.condition(affix), negated)
        return replace(made, confirmed=partial(where_affix, affix, negated))

    yield CandidateGroup.of_conditions(rows, known.bits[seen], hits, false_positives, maker)


def where_affix(affix: int, negated: bool, windows: TrainWindows) -> Bool[ndarray, " token"]:
    """Where tokens have it, or have it not."""
    table = np.full(windows.tokens.number, negated)
    table[windows.affixes.tokens.members(affix)] = not negated
    return table.take(windows.tokens.ids)


def alike_groups(rows: UncoveredRows, places: list[TokensAtPlace]) -> Iterator[CandidateGroup]:
    """Sets of a token that stands where the feature fires and those that the subject takes for most
    like it, whether they were seen or not: of each centre one a size.
    """
    windows, alike = rows.train_windows, rows.train_windows.alike
    if alike is None or not alike.table.shape[1]:
        return
    cost = KIND_BITS + float(np.log2(windows.tokens.universe)) + float(np.log2(len(SIZES)))
    size = windows.tokens.number + 1
    weights = np.zeros((2, len(places), size))
    for number, place in enumerate(places):
        weights[:, number, place.numbers] = place.weights
    # the centres of all places one after the other
    of_place, centres = np.nonzero(weights[0] > 0)
    members = windows.alike_numbers[centres]
    seen = members + (of_place * size)[:, None]
    sizes = np.minimum(SIZES, members.shape[1]) - 1
    hits, false_positives = (
        np.cumsum(each.reshape(-1).take(seen), axis=1).take(sizes, axis=1) for each in weights
    )
    ends = np.searchsorted(of_place, np.arange(len(places) + 1)).tolist()
    for place, (begin, end) in zip(places, pairwise(ends), strict=True):
        yield CandidateGroup(
            np.full((end - begin) * len(SIZES), cost + place.bits),
            hits[begin:end].reshape(-1),
            false_positives[begin:end].reshape(-1),
            partial(field_of_alike, windows, place, centres[begin:end]),
        )


def field_of_alike(
    windows: TrainWindows, place: TokensAtPlace, centres: Int64[ndarray, " centre"], field: int
) -> TermMaker:
    """That one of those that are alike stands at the place."""
    alike, (centre, size) = windows.alike, divmod(field, len(SIZES))
    assert alike is not None

    def condition() -> Condition:
        members = alike.around(windows.token_ids[centres[centre : centre + 1]])[0]
        kept = (i for i in members[: SIZES[size]].tolist() if i >= 0)
        strings = tuple(dict.fromkeys(windows.passage.strings[i] for i in kept))
        return place.condition(OneOf(PredicateUnit.TOKEN, strings))

    return TermMaker.of(("alike", place.name), condition)


def own_condition(predicate: Predicate) -> Condition:
    """What is said of the token itself."""
    return predicate


def state_conditions(rows: UncoveredRows) -> HeldConditions:
    """What the token begins, and what it begins in."""
    states = rows.train_windows.states
    return list(states), KIND_BITS, np.stack([held.take(rows.indices) for held in states.values()])


def position_conditions(rows: UncoveredRows) -> HeldConditions:
    """The token's position in its sequence, where that is known."""
    passage, at = rows.train_windows.passage, rows.indices
    if passage.firsts is None:
        return [], 0.0, np.empty((0, len(at)), bool)
    conditions = [Position(PositionComparison.LESS, number) for number in POSITIONS]
    held = passage.sequence_positions.take(at) < np.array(POSITIONS)[:, None]
    return conditions, KIND_BITS + NUMBER_BITS, held


# of tokens beside a row their name, what is said of one, and the bits of saying where
BESIDE: tuple[tuple[str, Callable[[Predicate], Condition], float], ...] = (
    ("own", own_condition, 0.0),
    ("before", partial(After, 1, 1), DISTANCE_BITS),
    ("after", partial(Before, 1, 1), DISTANCE_BITS),
    ("line", LineBegins, DISTANCE_BITS),
)
