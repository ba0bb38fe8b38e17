"""Vectors whose features are known: many directions in few dimensions, of which some fire often
and most rarely, children only where their parent does, and some together (in the manner of
SynthSAEBench, 2026, arXiv 2602.14687).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadSettings, require_at_least

# a stream of its own: NumPy takes [seed, 0] for seed, by which others draw their directions
STREAM = 260_214_687
TOGETHER = 2048  # vectors that are drawn at a time
AT_ONCE = 2**24  # numbers that are drawn at a time: of so many vectors as have that many features
SPARSE_FROM = 4096  # features, of which few fire: vectors are summed from these alone
MOST_CHILDREN = 0.8  # of the places where a parent fires one of its children does, at most


@dataclass(frozen=True)
class PlantedSuperposition:
    """A law of vectors: x = the strengths of the features that fire, times their directions, plus a
    little noise. Two of the same settings are the same.

    Rates fall by Zipf's law from `highest` to `lowest`. The first `roots` features have `branching`
    children each, these have as many, and so on for `depth` levels; of the children of one parent
    at most one fires. What has no parent fires in patterns: of `rank` hidden causes, which
    explain the share `correlated` of whether it does. Raises BadSettings for what cannot be.

        >>> planted = PlantedSuperposition(features=64, dimensions=16, roots=4, depth=1)
        >>> x, fires = planted.draw(100, np.random.default_rng(0))
        >>> x.shape, fires.shape
        (torch.Size([100, 16]), (100, 64))
    """

    features: int = 512
    dimensions: int = 64
    exponent: float = 0.5
    highest: float = 0.4
    lowest: float = 5e-4
    roots: int = 8
    branching: int = 4
    depth: int = 2  # levels below the roots
    rank: int = 8
    correlated: float = 0.25
    noise: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(2, self, "features", "dimensions")
        require_at_least(0, self, "roots", "depth", "noise", "rank")
        require_at_least(1, self, "branching")
        if not 0 < self.lowest <= self.highest < 1:
            raise BadSettings(
                f"rates from {self.highest} to {self.lowest}: they must fall, between 0 and 1"
            )
        if not 0 <= self.correlated < 1:
            raise BadSettings(f"correlated is {self.correlated}; it must be from 0 to below 1")
        if self.in_trees > self.features:
            raise BadSettings(
                f"{self.roots} trees of {self.depth} levels below have {self.in_trees} features,"
                f" and there are {self.features}; give fewer roots, or more features"
            )

    @property
    def in_trees(self) -> int:
        """Features that are a root, or have a parent."""
        return self.roots * sum(self.branching**level for level in range(self.depth + 1))

    @cached_property
    def parents(self) -> Int64[ndarray, " feature"]:
        """Each feature's parent, which stands before it; -1 where there is none."""
        found = np.full(self.features, -1)
        for child in range(self.roots, self.in_trees):
            found[child] = (child - self.roots) // self.branching
        return found

    @cached_property
    def rates(self) -> Float64[ndarray, " feature"]:
        """How often each feature fires."""
        falls = np.arange(1, self.features + 1) ** -self.exponent
        rates = self.lowest + (self.highest - self.lowest) * (falls - falls[-1]) / (1 - falls[-1])
        for first in range(self.roots, self.in_trees, self.branching):
            children, most = slice(first, first + self.branching), MOST_CHILDREN
            most *= rates[self.parents[first]]
            rates[children] *= min(1.0, most / rates[children].sum())
        return rates

    @cached_property
    def directions(self) -> Float32[Tensor, "feature d"]:
        """What each feature writes, of length 1: drawn evenly over the sphere."""
        rng = np.random.default_rng([STREAM, self.seed, 0])
        drawn = torch.from_numpy(
            rng.standard_normal((self.features, self.dimensions), dtype=np.float32)
        )
        return drawn / drawn.norm(dim=1, keepdim=True)

    @cached_property
    def causes(self) -> Float64[ndarray, "feature cause"]:
        """How much of each hidden cause is in each feature."""
        drawn = np.random.default_rng([STREAM, self.seed, 1]).standard_normal(
            (self.features, max(1, self.rank))
        )
        drawn *= (self.correlated**0.5 if self.rank else 0.0) / np.linalg.norm(
            drawn, axis=1, keepdims=True
        )
        return drawn

    def draw(
        self, number: int, rng: np.random.Generator
    ) -> tuple[Float32[Tensor, "token d"], Bool[ndarray, "token feature"]]:
        """So many vectors, and which features fire in each."""
        most = max(1, AT_ONCE // self.features)
        if number > most:
            sizes = [most] * (number // most) + [number % most] * (number % most > 0)
            parts = [self.draw(size, rng) for size in sizes]
            return torch.cat([x for x, _ in parts]), np.concatenate([fires for _, fires in parts])
        fires = self.draw_firing(number, rng)
        x = self._written(fires, rng)
        noise = rng.standard_normal((number, self.dimensions), dtype=np.float32)
        return x + self.noise * torch.from_numpy(noise), fires

    def _written(
        self, fires: Bool[ndarray, "token feature"], rng: np.random.Generator
    ) -> Float32[Tensor, "token d"]:
        """What features that fire write, each with a strength of its own."""
        if self.features <= SPARSE_FROM:
            strengths = fires * (0.5 + rng.random(fires.shape, dtype=np.float32))
            return torch.from_numpy(strengths.astype(np.float32)) @ self.directions
        rows, features = np.nonzero(fires)
        strengths = torch.from_numpy(0.5 + rng.random(len(rows), dtype=np.float32))
        begins = np.searchsorted(rows, np.arange(len(fires)))
        return torch.nn.functional.embedding_bag(
            torch.from_numpy(features),
            self.directions,
            torch.from_numpy(begins),
            mode="sum",
            per_sample_weights=strengths,
        )

    def draw_firing(self, number: int, rng: np.random.Generator) -> Bool[ndarray, "token feature"]:
        """Which features fire in each of so many vectors."""
        from scipy.special import ndtri

        own = (1 - (self.causes**2).sum(1)) ** 0.5
        hidden = rng.standard_normal((number, self.causes.shape[1])) @ self.causes.T
        hidden += own * rng.standard_normal((number, self.features))
        fires = np.asfortranarray(hidden > -ndtri(self.rates))  # feature by feature, for the trees
        for first in range(self.roots, self.in_trees, self.branching):
            children = slice(first, first + self.branching)
            parent = self.parents[first]
            shares = np.cumsum(self.rates[children]) / self.rates[parent]
            chosen = np.searchsorted(shares, rng.random(number), side="right")
            fires[:, children] = fires[:, [parent]] & (chosen[:, None] == np.arange(self.branching))
        return np.ascontiguousarray(fires)

    def batches(self, rng: np.random.Generator) -> Iterator[Float32[Tensor, "_ d"]]:
        """Vectors without end, for a trainer."""
        while True:
            yield self.draw(TOGETHER, rng)[0]
