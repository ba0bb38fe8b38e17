"""Massive tokens: a few whose vectors are so long that they hide all others, as attention sinks
have (Sun et al., 2402.17762).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MEASURED_TOKENS = 2**12  # tokens that say how long vectors are as a rule


@dataclass(frozen=True, slots=True)
class VectorLengths:
    """How long a site's vectors are as a rule, and from what length on one is massive."""

    median: float = 0.0
    multiple: float = 0.0  # 0: none is massive

    @staticmethod
    def of(vectors: Float[Tensor, "token d"], multiple: float) -> "VectorLengths":
        """What a sample says; without vectors, or where half of them are zeros, none is massive."""
        return VectorLengths(
            float(vector_norms(vectors).median()) if len(vectors) else 0.0, multiple
        )

    @property
    def limit(self) -> float:
        """The length beyond which a vector is massive."""
        return self.median * self.multiple or math.inf

    def are_massive(self, vectors: Float[Tensor, "token d"]) -> Bool[Tensor, " token"]:
        """Which vectors are massive.

        One that is not finite is no massive one, but an error that others report.
        """
        found = vector_norms(vectors)
        return (found > self.limit) & found.isfinite()


NONE_MASSIVE = VectorLengths()  # no vector is massive


def vector_norms(vectors: Float[Tensor, "token d"]) -> Float[Tensor, " token"]:
    """Each vector's length, in 32 bits."""
    return torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float32)
