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
    """A way to choose among the windows of one split in which a feature fires.

    A sampler is a frozen dataclass whose fields are its settings, under the entry point
    `gloss.sample`.

        >>> from gloss.sample.samplers import Top
        >>> strongest = np.array([0.5, 3.0, 1.0], np.float32)
        >>> Top().choose(strongest, 2, rng).rows
        array([1, 2])
    """

    def choose(
        self, maxima: Float32[ndarray, " window"], number: int, rng: np.random.Generator
    ) -> WindowChoice:
        """Choose `number` windows, or all where there are fewer, given the strongest activation of
        each.

        Rows are indices of `maxima`, strongest first. Random choices are made by `rng` alone.
        """
        ...
