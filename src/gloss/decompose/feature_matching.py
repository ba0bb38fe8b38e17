"""Which features two dictionaries share: one-to-one partners by encoder and by decoder that agree
(Paulo and Belrose, 2025).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray
from torch import Tensor

from gloss.decompose.all_pairs import AllPairs, Partners
from gloss.decompose.partner_search import GAP, MOST, ROUNDS, assign, mutual_nearest
from gloss.errors import Mismatch
from gloss.models.dictionary import Dictionary, encoder_of
from gloss.models.joint_coder import JointCoder

# cosine from which on partners count as the same feature, in encoder and decoder (2501.16615,
# section 3)
SHARED_COSINE = 0.7


@dataclass(frozen=True, slots=True)
class UnitDirections:
    """Where each feature of a dictionary reads and writes, as vectors of length 1."""

    reads: Float32[ndarray, "feature d_in"]
    writes: Float32[ndarray, "feature d_out"]

    def __len__(self) -> int:
        return len(self.writes)

    @staticmethod
    def of(dictionary: Dictionary) -> "UnitDirections":
        """The rows of encoder and decoder.

        A dictionary without an encoder of its own reads where it writes.
        """
        decoder_directions = unit_row_array(dictionary.decoder_directions)
        encoder = (
            dictionary.whole_encoder
            if isinstance(dictionary, JointCoder)
            else encoder_of(dictionary)
        )
        return UnitDirections(
            decoder_directions if encoder is None else unit_row_array(encoder),
            decoder_directions,
        )

    def random_twin(self, rng: np.random.Generator) -> "UnitDirections":
        """As many directions drawn at random, of the same length.

        Each reads where it writes, which flatters chance.
        """
        drawn = rng.standard_normal(
            (len(self), max(self.reads.shape[1], self.writes.shape[1])), dtype=np.float32
        )
        reads, writes = (
            torch.from_numpy(drawn[:, : side.shape[1]]) for side in (self.reads, self.writes)
        )
        return UnitDirections(unit_row_array(reads), unit_row_array(writes))


@dataclass(frozen=True, slots=True)
class FeaturePartners:
    """The feature of the right dictionary that goes with each of the left: every feature has one
    partner at most.
    """

    by_reading: Int64[ndarray, " left"]  # -1 where there is no partner
    by_writing: Int64[ndarray, " left"]
    # cosine with the partner by reading; not a number where there is none
    reading: Float32[ndarray, " left"]
    writing: Float32[ndarray, " left"]
    # the share by which the cosines of the best partners can add up to more, by reading or by
    # writing, whichever is larger; None where nobody knows
    gap: float | None = None

    def shared(self, cosine: float = SHARED_COSINE) -> Bool[ndarray, " left"]:
        """Which features are in both: both assignments give them the same partner, and neither
        cosine lies below this one.
        """
        near = (self.reading >= cosine) & (self.writing >= cosine)
        return (self.by_writing >= 0) & (self.by_reading == self.by_writing) & near


@runtime_checkable
class Matcher(Protocol):
    """Finds partners for the features of one dictionary among those of another."""

    def match(self, left: UnitDirections, right: UnitDirections) -> FeaturePartners:
        """The partners.

        Raises BadInput for dictionaries that cannot be matched in this way. Both read vectors of
        the same length, and so they write.
        """
        ...


@dataclass(frozen=True)
class Hungarian:
    """Assigns features one to one so that the cosines add up to the most (Kuhn, 1955).

    Of more features than `exact`, candidates for partners are the nearest of each, and a bound on
    all pairs tells how much more the best partners can have; those that the bound points to become
    candidates, too, until this is no more than the share `gap`, or all pairs were seen `rounds`
    times.
    """

    exact: int = MOST
    gap: float = GAP
    rounds: int = ROUNDS

    def __post_init__(self) -> None:
        if self.exact < 0 or self.rounds < 1:
            raise ValueError(
                f"exact must be 0 or more and rounds 1 or more, got {self.exact} and {self.rounds}"
            )
        if not 0 <= self.gap < 1:
            raise ValueError(f"gap is a share, at least 0 and below 1, got {self.gap}")

    def match(self, left: UnitDirections, right: UnitDirections) -> FeaturePartners:
        """The partners by encoder, and by decoder."""
        return partners_by_both(
            left, right, lambda pairs: assign(pairs, self.exact, self.gap, self.rounds)
        )


@dataclass(frozen=True)
class MutualNearest:
    """Pairs features that are each other's nearest by cosine; dictionaries of any width."""

    def match(self, left: UnitDirections, right: UnitDirections) -> FeaturePartners:
        """The partners by encoder, and by decoder."""
        return partners_by_both(left, right, mutual_nearest)


def partners_by_both(
    left: UnitDirections, right: UnitDirections, find: Callable[[AllPairs], Partners]
) -> FeaturePartners:
    """The partners by encoder, and by decoder, each found in this way; once where both dictionaries
    read where they write.
    """
    tied = [np.array_equal(side.reads, side.writes) for side in (left, right)]
    reading = find(AllPairs.of_directions(left.reads, right.reads))
    writing = reading if all(tied) else find(AllPairs.of_directions(left.writes, right.writes))
    gaps = [gap for gap in (reading.gap, writing.gap) if gap is not None]
    return FeaturePartners(
        reading.of_left,
        writing.of_left,
        reading.closeness,
        writing.closeness,
        max(gaps) if len(gaps) == 2 else None,
    )


def match_features(
    left: UnitDirections, right: UnitDirections, matcher: Matcher = Hungarian()
) -> FeaturePartners:
    """The features of one dictionary with their partners in the other.

    Raises Mismatch for dictionaries of different sites' widths.
    """
    require_same_widths(left, right)
    return matcher.match(left, right)


def require_same_widths(left: UnitDirections, right: UnitDirections) -> None:
    """Raise Mismatch for directions of different lengths, which have no angle."""
    for name, mine, other in (
        ("read", left.reads, right.reads),
        ("write", left.writes, right.writes),
    ):
        if mine.shape[1] != other.shape[1]:
            raise Mismatch(
                f"one dictionary's features {name} vectors of {mine.shape[1]} numbers and the"
                f" other's of {other.shape[1]}; compare dictionaries of sites of the same width, or"
                " runs on the same text with --by coactivation"
            )


def unit_row_array(rows: Tensor) -> Float32[ndarray, "feature d"]:
    """The rows, of length 1."""
    return torch.nn.functional.normalize(rows.detach().float().cpu(), dim=1).numpy()
