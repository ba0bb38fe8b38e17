"""Which features fire at the same tokens: Jaccard indices, counted feature by feature in memory
that does not grow with pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64
from numpy import ndarray

from gloss.records import FeatureActivations
from gloss.rules.occurrences import span_indices

PAIRS = 2**20  # that are in memory at a time


@dataclass(frozen=True, eq=False)
class FeaturesByToken:
    """The features that fire at each counted token."""

    # of each token of the corpus among those that are counted; -1 where it is not
    rows: Int32[ndarray, " token"]
    offsets: Int64[ndarray, " row_and_end"]  # where each row's features begin
    features: Int32[ndarray, " nonzero"]
    counts: Int64[ndarray, " feature"]  # the counted tokens at which each feature fires

    @staticmethod
    def of(
        fires: Callable[[int], FeatureActivations],
        width: int,
        eligible: Bool[ndarray, " token"],
        most: int,
        rng: np.random.Generator,
    ) -> "FeaturesByToken":
        """Count the eligible tokens, or so many of them, drawn at random, as hold about `most`
        activations.

        Reads every feature twice. Holds 4 bytes for each counted activation, and some 30 for each
        token of the corpus.
        """
        active = np.zeros(len(eligible), np.int32)
        for feature in range(width):
            active[fires(feature).positions] += 1
        held = int(active[eligible].sum())
        counted = (
            eligible & (rng.random(len(eligible), dtype=np.float32) < most / held)
            if held > most
            else eligible
        )
        rows = np.where(counted, np.cumsum(counted, dtype=np.int32) - 1, -1).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(active[counted], dtype=np.int64)])
        features, counts = np.empty(offsets[-1], np.int32), np.zeros(width, np.int64)
        free = offsets[:-1].copy()
        for feature in range(width):
            there = rows[fires(feature).positions]
            there = there[there >= 0]
            features[free[there]] = feature
            free[there] += 1
            counts[feature] = len(there)
        return FeaturesByToken(rows, offsets, features, counts)

    def nearest(
        self, own: FeatureActivations, feature: int, number: int = 10
    ) -> list[tuple[int, float]]:
        """The features with the largest Jaccard index, and the index: tokens at which both fire
        over those at which either does.

        Nearest first, among equals the first in the dictionary; fewer where fewer ever fire
        together.
        """
        both = np.zeros(len(self.counts), np.int64)
        there = self.rows[own.positions]
        there = there[there >= 0]
        lengths = self.offsets[there + 1] - self.offsets[there]
        pieces = np.cumsum(lengths) // PAIRS
        for piece in np.unique(pieces):
            chosen = slice(*np.searchsorted(pieces, [piece, piece + 1]))
            both += np.bincount(
                self.features[span_indices(self.offsets[there[chosen]], lengths[chosen])],
                minlength=len(both),
            )
        both[feature] = 0
        others = np.flatnonzero(both)
        jaccard = both[others] / (self.counts[feature] + self.counts[others] - both[others])
        order = np.argsort(-jaccard, kind="stable")[:number]
        return list(zip(others[order].tolist(), jaccard[order].tolist(), strict=True))
