"""Conditions with a set of strings: which forms there are, and which strings each could hold at given tokens."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.explain.candidates import Family, Rows
from gloss.explain.description import DISTANCE_BITS, KIND_BITS
from gloss.rules.language import After, Before, Condition, LineBegins, OneOf, Predicate, Unit

BACK = (1, 2, 3, 4, 5, 8)  # how far back `after` is tried
AHEAD = (1, 2, 3, 4)  # how far on `before` is tried


def own_families(rows: Rows) -> Iterator[Family]:
    """The token itself, and its word so far."""
    passage, every = rows.sightings.passage, np.arange(len(rows))
    strings = passage.strings
    yield Family(every, passage.ids[rows.indices].astype(np.int64), len(strings), KIND_BITS, ("token",), partial(tokens, strings))
    items, words = rows.sightings.words
    universe = max(len(strings), len(words))
    yield Family(every, items[rows.indices], universe, KIND_BITS + 1, ("word",), partial(spelled, words))


def nearby_families(rows: Rows) -> Iterator[Family]:
    """Tokens before and after, and the one that begins the line."""
    passage, at = rows.sightings.passage, rows.indices
    strings = passage.strings
    heads = passage.line_heads[at]
    begun = np.flatnonzero(heads >= 0)
    items = passage.ids[heads[begun]].astype(np.int64)
    yield Family(begun, items, len(strings), KIND_BITS, ("line",), lambda chosen: LineBegins(tokens(strings, chosen)))
    for back in (-offset for offset in rows.sightings.offsets if offset < -1):
        near = np.flatnonzero(passage.reach[at] >= back)
        condition = partial(standing, back, strings)
        items = passage.ids[at[near] - back].astype(np.int64)
        yield Family(near, items, len(strings), KIND_BITS + 2 * DISTANCE_BITS, ("After", back, back), condition)
    for direction, reach, farthest in ((-1, passage.reach, BACK), (1, passage.remaining, AHEAD)):
        kind = After if direction < 0 else Before
        near, items, distance = around(rows, direction, reach[at].astype(np.int64), farthest[-1])
        for far in farthest:
            close = distance <= far
            condition = partial(windowed, kind, far, strings)
            yield Family(near[close], items[close], len(strings), KIND_BITS + DISTANCE_BITS, (kind.__name__, far), condition)


def tokens(strings: tuple[str, ...], chosen: list[int]) -> Predicate:
    """The token is one of these."""
    return OneOf(Unit.TOKEN, tuple(dict.fromkeys(strings[i] for i in chosen)))


def spelled(words: tuple[str, ...], chosen: list[int]) -> Predicate:
    """The word so far is one of these."""
    return OneOf(Unit.WORD, tuple(words[i] for i in chosen))


def windowed(kind: type[After] | type[Before], far: int, strings: tuple[str, ...], chosen: list[int]) -> Condition:
    """One of these tokens is at most so far away."""
    return kind(1, far, tokens(strings, chosen))


def standing(back: int, strings: tuple[str, ...], chosen: list[int]) -> Condition:
    """One of these tokens is just so far back."""
    return After(back, back, tokens(strings, chosen))


def around(
    rows: Rows, direction: int, reach: Int64[ndarray, " row"], far: int
) -> tuple[Int64[ndarray, " pair"], Int64[ndarray, " pair"], Int64[ndarray, " pair"]]:
    """Tokens up to `far` away on one side: row, token, and the distance at which that token stands first; sorted by row."""
    ids, distances = rows.sightings.passage.ids, np.arange(1, far + 1)
    row, distance = np.nonzero(distances[None, :] <= reach[:, None])
    items = ids[rows.indices[row] + direction * (distance + 1)].astype(np.int64)
    size = int(items.max(initial=0)) + 1
    key = np.sort((row * size + items) * (far + 1) + distance)
    pair = key // (far + 1)
    fresh = np.flatnonzero(np.diff(pair, prepend=-1))
    row, items = np.divmod(pair[fresh], size)
    return row, items, key[fresh] % (far + 1) + 1
