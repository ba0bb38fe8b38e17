"""Neighbours among millions of directions, nearly all of them found at a part of the cost; how many
are found is measured, not supposed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import normalize

from gloss.decompose.direction_description import nearest_directions
from gloss.records import Estimate
from gloss.statistics.intervals import wilson_interval

NUMBER = 10  # neighbours, of which it is measured how many are found
SAMPLE = 500  # features by which the search is set, and as many by which it is measured
POINTS_EACH = 64  # directions for each cluster, by which clusters are found
ROUNDS = 10  # of finding them


@dataclass(frozen=True, eq=False)
class ApproximateSearch:
    """Looks for the neighbours of a direction in the clusters that lie nearest to it alone.

    So many clusters are looked through as find the share `wanted` of the ten nearest of SAMPLE
    features; `recall` is that share on others. Both samples are drawn at random, and the truth is
    by an exact search.

        >>> search = ApproximateSearch(dictionary.decoder_directions, 0.95, rng)
        >>> search.recall.value > 0.9
        True
    """

    directions: Float[Tensor, "feature d"]
    wanted: float
    rng: np.random.Generator

    def __call__(
        self, chosen: Sequence[int], number: int = NUMBER
    ) -> Iterator[tuple[tuple[int, float], ...]]:
        """For each of these features those with the largest cosines, largest first."""
        found, cosines = self.look(np.asarray(chosen), min(number, len(self.directions) - 1))
        for its, near in zip(found.tolist(), cosines.tolist(), strict=True):
            yield tuple(
                (other, cosine) for other, cosine in zip(its, near, strict=True) if other >= 0
            )

    @property
    def recall(self) -> Estimate:
        """The share of the ten nearest that it finds, over features that it was not set by."""
        return self.measured[1]

    @property
    def n(self) -> int:
        """How many features these are."""
        return min(2 * SAMPLE, len(self.directions)) // 2

    @property
    def clusters(self) -> tuple[int, int]:
        """How many are looked through, of how many."""
        self.measured  # noqa: B018  sets the first
        return self.index.nprobe, self.index.nlist

    @cached_property
    def index(self) -> Any:
        """The directions, each in the cluster that it lies nearest to."""
        import faiss  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]

        unit = self.unit(np.arange(len(self.directions)))
        number = max(1, min(int(4 * len(unit) ** 0.5), len(unit) // POINTS_EACH))
        coarse = faiss.IndexFlatIP(unit.shape[1])
        made = faiss.IndexIVFFlat(coarse, unit.shape[1], number, faiss.METRIC_INNER_PRODUCT)
        made.cp.max_points_per_centroid, made.cp.niter = POINTS_EACH, ROUNDS
        made.cp.min_points_per_centroid = 1
        made.train(unit)
        made.add(unit)
        return made

    @cached_property
    def measured(self) -> tuple[int, Estimate]:
        """How many clusters are looked through, and the share that is found then."""
        drawn = self.rng.permutation(len(self.directions))[: 2 * SAMPLE]
        setting, measuring = drawn[::2], drawn[1::2]
        first, second = (
            [
                {other for other, _ in near}
                for near in nearest_directions(self.directions, each, NUMBER)
            ]
            for each in (setting.tolist(), measuring.tolist())
        )
        looked = 1
        while True:
            self.index.nprobe = looked
            if looked >= self.index.nlist or self.share(setting, first) >= self.wanted:
                break
            looked = min(2 * looked, self.index.nlist)
        share = self.share(measuring, second)
        # as wide as if a feature's neighbours were found together or not at all
        return looked, wilson_interval(round(share * len(measuring)), len(measuring))

    def share(self, features: Int64[ndarray, " feature"], truth: list[set[int]]) -> float:
        """The share of the true neighbours of these features that is found."""
        found, _ = self.look(features, min(NUMBER, len(self.directions) - 1))
        shared = [len(set(its) & near) for its, near in zip(found.tolist(), truth, strict=True)]
        return sum(shared) / max(1, sum(map(len, truth)))

    def look(
        self, features: Int64[ndarray, " feature"], number: int
    ) -> tuple[Int64[ndarray, "feature near"], Float32[ndarray, "feature near"]]:
        """The neighbours and their cosines, without the feature itself; -1 for one that is not
        found.
        """
        cosines, found = self.index.search(self.unit(features), number + 1)
        itself = found == features[:, None]
        itself[~itself.any(axis=1), -1] = True  # not found, or beaten by its like: one too many
        return found[~itself].reshape(-1, number), cosines[~itself].reshape(-1, number)

    def unit(self, features: Int64[ndarray, " feature"]) -> Float32[ndarray, "feature d"]:
        """The directions of some features, of length 1."""
        rows = self.directions[torch.from_numpy(features).to(self.directions.device)]
        return normalize(rows.float(), dim=1).cpu().numpy()
