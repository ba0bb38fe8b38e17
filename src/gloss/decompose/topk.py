"""Train a TopK sparse autoencoder (Gao et al., 2024)."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.decompose.training import Pace, Training
from gloss.errors import BadInput, BadSettings, require_at_least
from gloss.models.counting import MULTIPLE, require_multiple
from gloss.models.dictionary import Card, SparseCoder
from gloss.models.massive import Lengths
from gloss.models.selection import LargestK
from gloss.models.sites import Site

RISE, FALL = 0.02, 0.2  # shares of the training in which the learning rate rises from 0, and falls to 0, linearly
FIRST_SAMPLE = 16_384  # tokens that the scale and the centre are measured on


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training has come; told about 100 times in its course."""

    tokens: int
    of_tokens: int
    fvu: float  # of the latest batch: squared error over variance
    dead: int  # features silent for `dead_after_tokens` or more


@dataclass(frozen=True, slots=True)
class TopK:
    """A sparse autoencoder that keeps each token's `k` strongest features, trained by Adam on `tokens` activations."""

    width: int = 2048
    k: int = 32
    tokens: int = 4_000_000
    batch: int = 2048  # tokens a step
    learning_rate: float = 5e-3
    auxiliary_k: int = 128  # dead features that learn each token's residual; 0 leaves them dead
    dead_after_tokens: int = 200_000
    selection_dtype: str = "float32"  # "bfloat16" picks the k by rounded pre-activations; their values stay exact

    def __post_init__(self) -> None:
        require_at_least(1e-12, self, "learning_rate")
        if not 1 <= self.k <= self.width:
            raise BadSettings(f"k={self.k} features of width={self.width} cannot be active; k must be between 1 and the width")
        if self.selection_dtype not in ("float32", "bfloat16"):
            raise BadSettings(f'selection_dtype is {self.selection_dtype!r}; it must be "float32" or "bfloat16"')
        if not 1 <= self.batch <= self.tokens:
            raise BadSettings(f"tokens={self.tokens} do not fill one batch of {self.batch}; train on more tokens")

    def memory(self, d_model: int) -> int:
        """The bytes that training holds at least: weights, their gradients and two moments, one batch's pre-activations."""
        return 4 * (4 * self.width * (2 * d_model + 1) + 2 * self.batch * self.width)

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_model"]],
        site: Site,
        rng: np.random.Generator,
        progress: Callable[[Progress], None] | None = None,
        massive: float = MULTIPLE,
    ) -> SparseCoder:
        """The dictionary of these activations. They should come in random order; a batch may have any length.

        Those that are longer than `massive` times the median of the first ones count as seen and teach nothing; 0 lets all teach.
        The same rng, activations and number of threads give the same dictionary. Raises BadInput when the activations
        end before `tokens` of them were seen: repeat them, or ask for fewer.
        """
        require_multiple(massive)
        steps = self.tokens // self.batch
        rows = evenly_cut(batches, self.batch)
        first = list(itertools.islice(rows, max(1, FIRST_SAMPLE // self.batch)))
        if not first:
            raise BadInput(f"the activations of {site} end before one batch of {self.batch} tokens is full; give more text")
        pace = Pace(self.k, self.auxiliary_k, self.dead_after_tokens, getattr(torch, self.selection_dtype), self.learning_rate)
        sample = torch.cat(first)
        lengths = Lengths.of(sample, massive)
        training = Training.begin(pace, self.width, sample[~lengths.massive(sample)], rng)
        for step, x in enumerate(itertools.islice(itertools.chain(first, rows), steps)):
            fvu = training.step(x[~lengths.massive(x)], rate_share(step, steps))
            if progress is not None and (step % max(1, steps // 100) == 0 or step + 1 == steps):
                progress(Progress((step + 1) * self.batch, steps * self.batch, fvu, len(training.dead)))
        if training.steps < steps:
            raise BadInput(
                f"the activations of {site} end after {training.steps * self.batch:,} tokens, and the training wants "
                f"{steps * self.batch:,}; give more text, repeat it, or set `tokens` lower"
            )
        return SparseCoder(site, site, training.weights, LargestK(self.k), card=Card(tokens=steps * self.batch))


def evenly_cut(batches: Iterator[Float[Tensor, "_ d_model"]], size: int) -> Iterator[Float32[Tensor, "_ d_model"]]:
    """The same rows on the CPU, which trains, `size` at a time; what does not fill a last batch is left out."""
    held: list[Tensor] = []
    for x in batches:
        held.append(x.float().cpu())
        if sum(map(len, held)) >= size:
            joined = torch.cat(held)
            whole = len(joined) // size * size
            yield from joined[:whole].split(size)
            held = [joined[whole:]]


def rate_share(step: int, steps: int) -> float:
    """The share of the full learning rate at this step of so many."""
    return min(1.0, (step + 1) / (RISE * steps + 1), (steps - step) / (FALL * steps))
