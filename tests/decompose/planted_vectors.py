"""Vectors with a known answer, which a method of decompose must find or must miss."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gloss.models.dictionary import Dictionary

AT_ONCE = 512  # tokens


def draw_directions(rng: np.random.Generator, number: int, length: int) -> Tensor:
    """Random unit directions."""
    directions = torch.from_numpy(rng.standard_normal((number, length), dtype=np.float32))
    return directions / directions.norm(dim=1, keepdim=True)


@dataclass(frozen=True)
class Planted:
    """Directions, and how strong each is at tokens that are drawn."""

    directions: Tensor
    strengths: Callable[[], np.ndarray]

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            yield self.vectors(self.strengths())

    def vectors(self, strengths: np.ndarray) -> Tensor:
        return torch.from_numpy(strengths.astype(np.float32)) @ self.directions

    def sample(self, batches: int = 8) -> Tensor:
        return self.vectors(np.concatenate([self.strengths() for _ in range(batches)]))

    def recovered(self, dictionary: Dictionary) -> float:
        """The share of directions with a decoder direction at a cosine above 0.9."""
        found = torch.nn.functional.normalize(dictionary.decoder_directions, dim=1)
        return float(((self.directions @ found.T).amax(1) > 0.9).float().mean())


def superposed(
    rng: np.random.Generator,
    number: int,
    length: int,
    *rates: float,
    scales: tuple[float, ...] = (),
) -> Planted:
    """Tokens of several kinds, equally many: of each, so many directions are active on average."""

    def strengths() -> np.ndarray:
        kind = rng.integers(0, len(rates), (AT_ONCE, 1))
        on = rng.random((AT_ONCE, number)) < np.array(rates)[kind] / number
        scale = np.array(scales or [1.0] * len(rates))[kind]
        return on * (0.5 + rng.random((AT_ONCE, number))) * scale

    return Planted(draw_directions(rng, number, length), strengths)


def unexplained(dictionary: Dictionary, x: Tensor) -> float:
    """FVU."""
    error = dictionary.reconstruct(x) - x
    return float(error.square().sum() / (x - x.mean(0)).square().sum())


def mean_active(dictionary: Dictionary, x: Tensor) -> float:
    """L0."""
    return float(dictionary.encode(x).used.sum()) / len(x)
