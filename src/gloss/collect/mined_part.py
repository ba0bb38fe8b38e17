"""What mining keeps of some text: a sample of the sequences in which each feature fires, and exact
counts of all. Parts of a text add up to the part of the whole, in any order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8, UInt64
from numpy import ndarray

from gloss.errors import require_at_least
from gloss.store.activations import BINS, BINS_PER_OCTAVE, LOWEST_OCTAVE, histogram_bins

BINS_PER_STRATUM = 2  # bins of the histogram: half an octave
STRATA = BINS // BINS_PER_STRATUM  # of a feature and a split
SIGNED_BINS = 2 * BINS  # of positive values, then of negative ones
IN_TRAIN, IN_BACKGROUND = np.uint8(1), np.uint8(2)
# a value is added up in units of its bin's octave over this, as a whole number: in any order the
# sum is the same
UNITS_PER_OCTAVE = 2.0**24
# of a sequence's number, beside which the features of a range have room in 64 bits
SEQUENCE_BITS = 40


@dataclass(frozen=True, slots=True)
class Mining:
    """How much is kept of each feature, beside exact counts.

    A stratum is a feature's sequences of one split whose strongest activation lies in the same half
    octave.
    """

    kept: int = 64  # sequences of a stratum, drawn at random
    strongest: int = 20  # sequences of a split, with the strongest activations
    # sequences in which every feature is kept, drawn before anything is read, half of each split
    background: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(2, self, "kept", "background")
        require_at_least(1, self, "strongest")


@dataclass(frozen=True, slots=True)
class MinedPart:
    """Of some features over some text: sequences and activations that are kept, and counts of all.

    An entry is a feature in a sequence. Everything is sorted by feature.
    """

    # of each entry, by feature and then by sequence
    features: Int32[ndarray, " entry"]
    sequences: Int64[ndarray, " entry"]
    peaks: Float32[ndarray, " entry"]  # the largest magnitude there
    flags: UInt8[ndarray, " entry"]  # IN_TRAIN, IN_BACKGROUND
    priorities: UInt64[ndarray, " entry"]  # as if drawn at random; the smallest are kept
    lengths: Int32[ndarray, " entry"]  # activations of each
    # of each activation, entry after entry
    positions: Int32[ndarray, " activation"]  # in its sequence
    values: Float32[ndarray, " activation"]
    # all of the text: by feature, split and stratum
    strata: Int64[ndarray, " stratum"]
    stratum_sequences: Int64[ndarray, " stratum"]
    stratum_tokens: Int64[ndarray, " stratum"]
    # by feature, sign and bin of the histogram
    bins: Int64[ndarray, " bin"]
    bin_tokens: Int64[ndarray, " bin"]
    bin_sums: Int64[ndarray, " bin"]  # of values, in units of the bin
    live: Int32[ndarray, " live"]  # features that fire somewhere
    lowest: Float32[ndarray, " live"]  # value
    highest: Float32[ndarray, " live"]

    @staticmethod
    def of(
        features: Int32[ndarray, " activation"],
        sequences: Int64[ndarray, " activation"],
        positions: Int32[ndarray, " activation"],
        values: Float32[ndarray, " activation"],
        in_train: Bool[ndarray, " activation"],
        in_background: Bool[ndarray, " activation"],
    ) -> "MinedPart":
        """All of some text, of which nothing is left out yet: activations by feature, sequence and
        position. Priorities are 0.
        """
        first = changes(features, sequences)
        lengths = np.diff(first, append=len(features)).astype(np.int32)
        magnitudes = np.abs(values)
        peaks = np.maximum.reduceat(magnitudes, first) if len(first) else magnitudes
        flags = in_train[first] * IN_TRAIN + in_background[first] * IN_BACKGROUND
        own = features[first]
        keys = stratum_keys(own, flags, peaks)
        strata, (sequences_there, tokens_there) = added_by_key(
            keys, np.ones(len(first), np.int64), lengths.astype(np.int64)
        )
        bins = histogram_bins(values)
        units = np.rint(values / bin_units(bins)).astype(np.int64)
        signed = features.astype(np.int64) * SIGNED_BINS + bins + BINS * (values < 0)
        keys, (tokens, sums) = added_by_key(signed, np.ones(len(values), np.int64), units)
        begins = changes(features)
        return MinedPart(
            own,
            sequences[first],
            peaks,
            flags.astype(np.uint8),
            np.zeros(len(first), np.uint64),
            lengths,
            positions,
            values,
            strata,
            sequences_there,
            tokens_there,
            keys,
            tokens,
            sums,
            features[begins],
            np.minimum.reduceat(values, begins) if len(begins) else values,
            np.maximum.reduceat(values, begins) if len(begins) else values,
        )

    @staticmethod
    def together(parts: Sequence["MinedPart"]) -> "MinedPart":
        """What all of these parts hold, of different texts and the same features."""
        if len(parts) == 1:
            return parts[0]
        whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
        first = whole["features"].min() if len(whole["features"]) else 0
        keys = (whole["features"] - first).astype(np.int64) << SEQUENCE_BITS
        order = np.argsort(keys | whole["sequences"])
        starts = (np.cumsum(whole["lengths"]) - whole["lengths"])[order]
        for name in ENTRY_ARRAYS:
            whole[name] = whole[name][order]
        there = spans(starts, whole["lengths"])
        whole["positions"], whole["values"] = whole["positions"][there], whole["values"][there]
        for key, *counts in (STRATUM_ARRAYS, BIN_ARRAYS):
            whole[key], sums = added_by_key(whole[key], *(whole[name] for name in counts))
            whole |= dict(zip(counts, sums, strict=True))
        order = np.argsort(whole["live"], kind="stable")
        begins = changes(whole["live"][order])
        for name, extreme in (("lowest", np.minimum), ("highest", np.maximum)):
            if len(begins):
                whole[name] = extreme.reduceat(whole[name][order], begins)
        whole["live"] = whole["live"][order][begins]
        return MinedPart(**whole)

    def only(self, kept: Bool[ndarray, " entry"]) -> "MinedPart":
        """Without the entries that are not kept. Counts stay as they are."""
        if kept.all():
            return self
        own = {name: getattr(self, name)[kept] for name in ENTRY_ARRAYS}
        there = np.repeat(kept, self.lengths)
        return replace(self, **own, positions=self.positions[there], values=self.values[there])

    def sampled(self, mining: Mining) -> "MinedPart":
        """Without the entries that neither the background nor a sample holds.

        What is dropped here would be dropped in any text that holds this one.
        """
        strongest, drawn = self.chosen(mining)
        return self.only(strongest | drawn | ((self.flags & IN_BACKGROUND) > 0))

    def chosen(self, mining: Mining) -> tuple[Bool[ndarray, " entry"], Bool[ndarray, " entry"]]:
        """Which entries are among a feature's strongest of a split, and which of the others are
        drawn from their strata.
        """
        number = len(self.features)
        groups = self.features.astype(np.int64) * 2 + (self.flags & IN_TRAIN)
        base = 2 * int(self.features[0]) if number else 0
        sizes = np.bincount(groups - base, minlength=1)[groups - base]
        strongest = sizes <= mining.strongest
        rows = np.flatnonzero(~strongest)
        if len(rows):
            # magnitudes, as whole numbers in their order
            weakness = np.uint32(2**32 - 1) - self.peaks[rows].view(np.uint32)
            keys = (groups[rows] - base) << 32 | weakness
            ranks = ranks_within(groups[rows], keys, self.priorities[rows])
            strongest[rows] = ranks < mining.strongest
        drawn = ~strongest
        rows = np.flatnonzero(drawn & (sizes > mining.kept))
        if len(rows):
            keys = stratum_keys(self.features[rows], self.flags[rows], self.peaks[rows])
            ranks = ranks_within(keys, keys, self.priorities[rows])
            drawn[rows] = ranks < mining.kept
        return strongest, drawn

    def cut(self, ranges: Sequence[tuple[int, int]]) -> Iterator["MinedPart"]:
        """The part of each range of features, which follow each other."""
        borders = np.array([ranges[0][0], *(last for _, last in ranges)], np.int64)
        entries = np.searchsorted(self.features, borders)
        ends = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        places = {
            ENTRY_ARRAYS: entries,
            CODE_ARRAYS: ends[entries],
            STRATUM_ARRAYS: np.searchsorted(self.strata, borders * 2 * STRATA),
            BIN_ARRAYS: np.searchsorted(self.bins, borders * SIGNED_BINS),
            LIVE_ARRAYS: np.searchsorted(self.live, borders),
        }
        for number in range(len(ranges)):
            yield MinedPart(
                **{
                    name: getattr(self, name)[found[number] : found[number + 1]]
                    for names, found in places.items()
                    for name in names
                }
            )

    @property
    def arrays(self) -> Mapping[str, ndarray]:
        """All that it holds, by name."""
        return {name: getattr(self, name) for name in ARRAYS}


ARRAYS = tuple(each.name for each in fields(MinedPart))
ENTRY_ARRAYS, CODE_ARRAYS, STRATUM_ARRAYS, BIN_ARRAYS, LIVE_ARRAYS = (
    ARRAYS[:6],
    ARRAYS[6:8],
    ARRAYS[8:11],
    ARRAYS[11:14],
    ARRAYS[14:],
)


def stratum_keys(
    features: Int32[ndarray, " entry"],
    flags: UInt8[ndarray, " entry"],
    peaks: Float32[ndarray, " entry"],
) -> Int64[ndarray, " entry"]:
    """A number for each feature, split and half octave, in this order."""
    groups = features.astype(np.int64) * 2 + (flags & IN_TRAIN)
    return groups * STRATA + histogram_bins(peaks) // BINS_PER_STRATUM


def bin_units(bins: Int64[ndarray, " bin"]) -> ndarray:
    """What values of these bins are counted in."""
    return 2.0 ** (bins // BINS_PER_OCTAVE + LOWEST_OCTAVE) / UNITS_PER_OCTAVE


def rounded_to_16_bits(values: Float32[ndarray, "*_"]) -> Float32[ndarray, "*_"]:
    """The values with as many digits as 16-bit floats have, so that what is counted is what is
    stored.
    """
    bits = values.astype(np.float32).view(np.uint32)
    even = (bits >> np.uint32(13)) & np.uint32(1)
    return ((bits + np.uint32(0xFFF) + even) & np.uint32(0xFFFFE000)).view(np.float32)


def changes(*keys: ndarray) -> Int64[ndarray, " run"]:
    """Where each run of equal rows begins."""
    if not len(keys[0]):
        return np.empty(0, np.int64)
    differs = np.zeros(len(keys[0]), bool)
    differs[0] = True
    for each in keys:
        differs[1:] |= each[1:] != each[:-1]
    return np.flatnonzero(differs)


def ranks_within(
    groups: Int64[ndarray, " row"],
    keys: Int64[ndarray, " row"],
    priorities: UInt64[ndarray, " row"],
) -> Int64[ndarray, " row"]:
    """Each row's rank among those of its group: by the keys, of which those of a group follow each
    other, then by priority; equal rows keep their order.
    """
    order = np.lexsort((priorities, keys))
    begins = changes(groups[order])
    ranks = np.empty(len(groups), np.int64)
    sizes = np.diff(begins, append=len(groups))
    ranks[order] = np.arange(len(groups)) - np.repeat(begins, sizes)
    return ranks


def added_by_key(
    keys: Int64[ndarray, " row"], *counts: Int64[ndarray, " row"]
) -> tuple[Int64[ndarray, " key"], list[Int64[ndarray, " key"]]]:
    """The different keys, ascending, and the sums of each count."""
    order = np.argsort(keys)
    begins = changes(keys[order])
    if not len(begins):
        return keys, list(counts)
    return keys[order][begins], [np.add.reduceat(each[order], begins) for each in counts]


def spans(
    starts: Int64[ndarray, " span"], lengths: Int32[ndarray, " span"] | Int64[ndarray, " span"]
) -> Int64[ndarray, " index"]:
    """The indices of all spans, one after the other."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - ends + lengths, lengths) + np.arange(total)
