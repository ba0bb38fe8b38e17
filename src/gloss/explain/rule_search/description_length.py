"""What a rule and its mistakes cost to write down, in bits (minimum description length: Quinlan &
Rivest, 1989).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

KIND_BITS = 4.0  # which kind of condition, and whether it is negated
DISTANCE_BITS = 3.0
CLASS_BITS = 4.0  # how a token is spelled
FIELD_BITS = 6.0  # which word field it belongs to
CHARACTER_BITS = 6.0
NUMBER_BITS = 4.0
# share of a set's bits that is charged: what it predicts has been confirmed on other documents
# already
CONFIRMED = 0.5


@dataclass(frozen=True)
class DescriptionLength:
    """What is to be described, and what the alternatives that were found before already predict of
    it, as weights of tokens.
    """

    firing: float
    inactive: float
    hits: float = 0.0
    false_positives: float = 0.0

    @property
    def bits(self) -> float:
        """Bits to say where the feature fires, without any rule."""
        return float(
            entropy_bits(np.array([self.firing]), np.array([self.firing + self.inactive]))[0]
        )

    def saved(
        self, hits: Float64[ndarray, " rule"], false_positives: Float64[ndarray, " rule"]
    ) -> Float64[ndarray, " rule"]:
        """Bits that knowing where a rule holds saves in saying where the feature fires, of what is
        not covered before.

        `hits` and `false_positives` are the weights of firing and inactive tokens at which each
        rule holds. Negative where a rule holds where the feature fires less often than elsewhere.
        """
        firing, everything = (
            self.firing - self.hits,
            self.firing - self.hits + self.inactive - self.false_positives,
        )
        covered = hits + false_positives
        before = entropy_bits(np.array([firing]), np.array([everything]))[0]
        after = entropy_bits(hits, covered) + entropy_bits(firing - hits, everything - covered)
        return np.copysign(before - after, hits * everything - firing * covered)

    def worth(
        self, hits: Float64[ndarray, " rule"], false_positives: Float64[ndarray, " rule"]
    ) -> Float64[ndarray, " rule"]:
        """The share of all bits that a rule earns by adding to the F1 score, in bits: all of them
        for a perfect rule.
        """
        return self.bits * (self.f1(hits, false_positives) - self.f1(np.zeros(1), np.zeros(1)))

    def f1(
        self, hits: Float64[ndarray, " rule"], false_positives: Float64[ndarray, " rule"]
    ) -> Float64[ndarray, " rule"]:
        """The F1 score of each rule together with what is covered before."""
        predicted = self.hits + self.false_positives + hits + false_positives
        return 2 * (self.hits + hits) / np.maximum(predicted + self.firing, 1e-9)

    def with_covered(self, hits: float, false_positives: float) -> "DescriptionLength":
        """The same after one more alternative."""
        return DescriptionLength(
            self.firing, self.inactive, self.hits + hits, self.false_positives + false_positives
        )


def entropy_bits(
    part: Float64[ndarray, " rule"], whole: Float64[ndarray, " rule"]
) -> Float64[ndarray, " rule"]:
    """Bits to say which of the whole are in the part, at the cost of the best constant code."""
    tiny = np.finfo(np.float64).tiny
    part, rest = np.maximum(part, 0.0), np.maximum(whole - part, 0.0)
    # not the whole: differences of rounded sums may leave less of it than of the part
    size = np.maximum(part + rest, tiny)
    return -part * np.log2(np.maximum(part / size, tiny)) - rest * np.log2(
        np.maximum(rest / size, tiny)
    )


def set_bits(number: Float64[ndarray, "..."], universe: int) -> Float64[ndarray, "..."]:
    """Bits to name a set of so many out of the universe: its size, then which of the sets of that
    size.
    """
    size = np.minimum(number, universe).astype(np.int64)
    factorials = log_factorials(universe)
    ways = factorials[universe] - factorials[size] - factorials[universe - size]
    return CONFIRMED * ways + 2 * np.log2(number + 1)


@lru_cache(maxsize=4)
def log_factorials(universe: int) -> Float64[ndarray, " number"]:
    """log2 of n! for every n up to the universe's size."""
    return np.concatenate([[0.0], np.cumsum(np.log2(np.arange(1, universe + 1)))])
