"""Stage 3: choose the contexts that show a feature, split by document, and contexts where it is
inactive.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gloss.sample.samplers import WindowChoice

__all__ = ["Sampler", "WindowChoice"]


@runtime_checkable
class Sampler(Protocol):
    """A way to choose among the windows of one split in which a feature fires."""

    def choose(
        self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator
    ) -> WindowChoice:
        """Choose `number` windows, given the strongest activation of each.

        All of them where there are fewer.
        """
        ...
