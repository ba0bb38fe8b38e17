"""An inverted index: where each id stands in a list of ids."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int64
from numpy import ndarray

from gloss.rules.resting_arrays import REACH, place_blocks, resting_array

RADIX = 2**16  # numbers below are sorted in time that is linear in how many there are
INT32 = 2**31


@dataclass(frozen=True, eq=False)
class Occurrences:
    """Where each id stands.

    4 bytes a place, 8 where there are more than 2^31.

        >>> Occurrences.of(np.array([1, 0, 1]), 2).of_token(1)
        array([0, 2], dtype=int32)
    """

    order: Int[ndarray, " place"]  # places, by id and then ascending
    offsets: Int64[ndarray, " id_and_end"]

    @staticmethod
    def of(ids: Int[ndarray, " place"], number: int, block: int = REACH) -> "Occurrences":
        """The index of ids from 0 to below `number`; a long one rests in a file."""
        offsets = np.concatenate([[0], np.cumsum(count_ids(ids, number))])
        if len(ids) <= block:
            return Occurrences(compact(places_by_id(ids, number), len(ids)), offsets)
        order = resting_array(len(ids), np.int32 if len(ids) <= INT32 else np.int64)
        filled = offsets[:-1].copy()
        for own in place_blocks(len(ids), block):
            counts = np.bincount(ids[own], minlength=number)
            held, places = np.flatnonzero(counts), places_by_id(ids[own], number)
            order[span_indices(filled[held], counts[held])] = places + own.start
            filled += counts
        return Occurrences(order, offsets)

    def of_token(self, token: int) -> Int[ndarray, " place"]:
        """The places at which this id stands, ascending."""
        return self.order[self.offsets[token] : self.offsets[token + 1]]

    def of_any(self, tokens: Int[ndarray, " id"]) -> Int64[ndarray, " place"]:
        """The places at which one of these different ids stands, ascending."""
        held = [self.of_token(token) for token in tokens.tolist()]
        found = np.concatenate([np.empty(0, self.order.dtype), *held])
        return (np.sort(found) if len(held) > 1 else found).astype(np.int64)

    def count(self, tokens: Int[ndarray, " id"]) -> int:
        """At how many places one of these different ids stands."""
        return int((self.offsets[tokens + 1] - self.offsets[tokens]).sum())


def places_by_id(ids: Int[ndarray, " place"], number: int) -> Int64[ndarray, " place"]:
    """All places, by id and then ascending."""
    order = np.argsort((ids % RADIX if number > RADIX else ids).astype(np.uint16), kind="stable")
    if number > RADIX:
        high = (ids // RADIX)[order]
        high = high.astype(np.uint16) if number <= RADIX**2 else high
        order = order[np.argsort(high, kind="stable")]
    return order


def count_ids(ids: Int[ndarray, " place"], number: int) -> Int64[ndarray, " id"]:
    """How often each id from 0 to below `number` stands there."""
    if len(ids) <= REACH:
        return np.bincount(ids, minlength=number)
    counts = np.zeros(number, np.int64)
    for block in place_blocks(len(ids)):
        counts += np.bincount(ids[block], minlength=number)
    return counts


def ascending(values: Int[ndarray, " value"]) -> Int[ndarray, " different"]:
    """The different ones of these numbers, ascending: as `np.unique`, which hashes, but several
    times as quick.
    """
    ordered = np.sort(values)
    return ordered[run_bounds(ordered)[:-1]]


def run_bounds(values: Int[ndarray, " value"]) -> Int64[ndarray, " run_and_end"]:
    """Where each run of equal values begins, and how many values there are.

    >>> run_bounds(np.array([4, 4, 2])).tolist()
    [0, 2, 3]
    """
    begins = np.ones(len(values) + 1, bool)
    np.not_equal(values[1:], values[:-1], out=begins[1:-1])
    return np.flatnonzero(begins)


def compact(places: Int64[ndarray, " place"], below: int) -> Int[ndarray, " place"]:
    """Numbers below this one, in 4 bytes each where they fit."""
    return places.astype(np.int32) if below <= INT32 else places


def span_indices(
    starts: Int64[ndarray, " span"], lengths: Int64[ndarray, " span"]
) -> Int64[ndarray, " index"]:
    """The indices of all spans, one after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
