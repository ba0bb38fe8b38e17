"""What each feature's activations amount to, exact, from counts of the 65,536 values that 16 bits
can hold.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float16, Float32, Float64, Int64, UInt16, UInt32
from numpy import ndarray

from gloss.store.activations import BINS, QUANTILES, STATISTICS, histogram_bins

LARGEST = 65504.0  # of 16-bit floats
SMALLEST = 2.0**-24
UNSCALED = (2.0**-8, LARGEST)  # a feature whose maximum lies here is stored as it is


def storage_scales(maxima: Float32[ndarray, " feature"]) -> Float32[ndarray, " feature"]:
    """What stored values are multiplied with: 1, or the power of two that brings a maximum out of
    range to 16,384 or above.
    """
    out_of_range = (maxima > 0) & ((maxima < UNSCALED[0]) | (maxima > UNSCALED[1]))
    # the smallest that 32 bits hold
    exponents = np.maximum(np.frexp(np.where(out_of_range, maxima, 1.0))[1] - 15, -126)
    return np.where(out_of_range, np.ldexp(1.0, exponents), 1.0).astype(np.float32)


def to_float16(
    values: Float32[ndarray, " nonzero"], scales: Float32[ndarray, " nonzero"]
) -> Float16[ndarray, " nonzero"]:
    """Values as 16-bit floats: never infinite, and never 0, so that whether a feature fires is
    exact.
    """
    half = (values / scales).astype(np.float16)
    vanished = half == 0
    half[vanished] = np.copysign(SMALLEST, values[vanished]).astype(np.float16)
    return half


def float16_ranks(half: Float16[ndarray, " nonzero"]) -> UInt16[ndarray, " nonzero"]:
    """Whole numbers in the order of the values."""
    bits = half.view(np.uint16)
    return np.where(bits >> 15, ~bits, bits | 0x8000).astype(np.uint16)


def float16_from_ranks(ranked: UInt16[ndarray, " nonzero"]) -> Float16[ndarray, " nonzero"]:
    """The values of these ranks."""
    return np.where(ranked >> 15, ranked & 0x7FFF, ~ranked).astype(np.uint16).view(np.float16)


@dataclass(frozen=True, slots=True)
class ValueTally:
    """How often each value occurs: `keys` is the feature, counted from the range's first, times
    2**16 plus the value's rank.
    """

    keys: UInt32[ndarray, " distinct"]  # sorted
    times: Int64[ndarray, " distinct"]

    @staticmethod
    def of(
        features: Int64[ndarray, " nonzero"], half: Float16[ndarray, " nonzero"]
    ) -> "ValueTally":
        keys = (features.astype(np.uint32) << 16) | float16_ranks(half)
        return ValueTally(*np.unique(keys, return_counts=True))

    def plus(self, other: "ValueTally") -> "ValueTally":
        """The tally of both together."""
        if not len(self.keys):
            return other
        keys, where = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        times = np.bincount(where, np.concatenate([self.times, other.times]), minlength=len(keys))
        return ValueTally(keys, times.astype(np.int64))


@dataclass(frozen=True, slots=True)
class FeatureRange:
    """Where the features of a range fire, and how their stored values are scaled."""

    first: int  # index of the range's first feature
    sequences: Int64[ndarray, " feature"]  # in which each fires
    scales: Float32[ndarray, " feature"]
    corpus_tokens: int  # that are not left out
    corpus_sequences: int


def statistics_table(tally: ValueTally, reach: FeatureRange) -> pa.Table:
    """One row a feature of the range; what a dead feature does not have is null."""
    number = len(reach.scales)
    feature = (tally.keys >> 16).astype(np.int64)
    values = (
        float16_from_ranks((tally.keys & 0xFFFF).astype(np.uint16)).astype(np.float32)
        * reach.scales[feature]
    )
    counts = np.bincount(feature, tally.times, minlength=number).astype(np.int64)
    sums = np.bincount(feature, tally.times * values.astype(np.float64), minlength=number)
    dead = counts == 0
    quantiles = tally_quantiles(values, tally.times, counts)
    histogram = np.bincount(
        feature * BINS + histogram_bins(values), tally.times, minlength=number * BINS
    ).astype(np.int64)
    flat = pa.array(quantiles.ravel(), pa.float32(), mask=np.repeat(dead, len(QUANTILES)))
    columns = {
        "feature": np.arange(reach.first, reach.first + number),
        "count": counts,
        "dead": dead,
        "min": pa.array(quantiles[:, 0], mask=dead),
        "max": pa.array(quantiles[:, -1], mask=dead),
        "mean": pa.array(sums / np.maximum(counts, 1), mask=dead),
        "token_share": counts / reach.corpus_tokens,
        "sequence_share": reach.sequences / reach.corpus_sequences,
        "scale": reach.scales,
        "quantiles": pa.FixedSizeListArray.from_arrays(flat, len(QUANTILES)),
        "histogram": pa.FixedSizeListArray.from_arrays(pa.array(histogram), BINS),
    }
    return pa.table(columns, schema=STATISTICS)


def tally_quantiles(
    values: Float32[ndarray, " distinct"],
    times: Int64[ndarray, " distinct"],
    counts: Int64[ndarray, " feature"],
) -> Float64[ndarray, "feature quantile"]:
    """The smallest value that this share of a feature's non-zero values does not exceed.

    Minimum and maximum at the ends.
    """
    if not len(values):
        return np.zeros((len(counts), len(QUANTILES)))
    wanted = (
        np.clip(np.ceil(np.outer(counts, QUANTILES)), 1, None)
        + (np.cumsum(counts) - counts)[:, None]
    )
    places = np.searchsorted(np.cumsum(times), wanted)
    return values[np.minimum(places, len(values) - 1)].astype(np.float64)
