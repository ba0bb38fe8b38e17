"""Train a TopK sparse autoencoder (Gao et al., 2024)."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.decompose.checkpoints import (
    Checkpoints,
    HasState,
    TensorState,
    extract_state,
    prefix_state,
)
from gloss.decompose.training import StepSettings, TopKTraining
from gloss.errors import BadInput, BadSettings, require_at_least
from gloss.models.dictionary import Card, SparseCoder
from gloss.models.massive_tokens import VectorLengths
from gloss.models.model_settings import MASSIVE_MULTIPLE, require_massive_multiple
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK

# shares of the training in which the learning rate rises from 0, and falls to 0, linearly
RISE, FALL = 0.02, 0.2
# with the rows that were drawn and not learned from
TrainingStart = tuple[TopKTraining, VectorLengths, list[Tensor]]
FIRST_SAMPLE = 16_384  # tokens that the scale and the centre are measured on


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training has come; given about 100 times in its course."""

    tokens: int
    of_tokens: int
    fvu: float  # of the latest batch: squared error over variance
    dead: int  # features inactive for `dead_after_tokens` or more


@dataclass(frozen=True, slots=True)
class TopK:
    """A sparse autoencoder that keeps each token's `k` strongest features, trained by Adam on
    `tokens` activations (Gao et al., 2024, arXiv 2406.04093).

    A trainer is a frozen dataclass with `fit`, under the entry point `gloss.decompose`. Raises
    BadSettings for settings that contradict each other.

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> TopK(width=32, k=4, tokens=2048, batch=512).fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    width: int = 2048
    k: int = 32
    tokens: int = 4_000_000
    batch: int = 2048  # tokens a step
    learning_rate: float = 5e-3
    auxiliary_k: int = 128  # dead features that learn each token's residual; 0 leaves them dead
    dead_after_tokens: int = 200_000
    # "bfloat16" picks the k by rounded pre-activations; their values stay exact
    selection_dtype: str = "float32"

    def __post_init__(self) -> None:
        require_at_least(1e-12, self, "learning_rate")
        if not 1 <= self.k <= self.width:
            raise BadSettings(
                f"k={self.k} features of width={self.width} cannot be active; k must be between 1"
                " and the width"
            )
        if self.selection_dtype not in ("float32", "bfloat16"):
            raise BadSettings(
                f'selection_dtype is {self.selection_dtype!r}; it must be "float32" or "bfloat16"'
            )
        if not 1 <= self.batch <= self.tokens:
            raise BadSettings(
                f"tokens={self.tokens} do not fill one batch of {self.batch}; train on more tokens"
            )

    def memory(self, d_model: int) -> int:
        """The bytes that training holds at least: weights, their gradients and two moments, one
        batch's pre-activations.
        """
        return 4 * (4 * self.width * (2 * d_model + 1) + 2 * self.batch * self.width)

    resumes = True  # `fit` takes checkpoints

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_model"]],
        site: Site,
        rng: np.random.Generator,
        progress: Callable[[TrainingProgress], None] | None = None,
        massive: float = MASSIVE_MULTIPLE,
        checkpoints: Checkpoints | None = None,
    ) -> SparseCoder:
        """Train a dictionary on activations, batches of shape (token, d_model).

        They should come in random order; a batch may have any length. Those that are longer than
        `massive` times the median of the first ones count as seen and teach nothing; 0 lets all
        teach. The same rng, activations and number of threads give the same dictionary. With
        `checkpoints`, and batches that can be gone on with, a training that was killed goes on
        where the last checkpoint was and ends with the same bytes. Raises BadInput when the
        activations end before `tokens` of them were seen: repeat them, or ask for fewer.
        """
        require_massive_multiple(massive)
        steps = self.tokens // self.batch
        rows = cut_evenly(batches, self.batch)
        saving = (
            TrainingCheckpoints(checkpoints, f"{self} {site} {massive}", rows, rng)
            if checkpoints and isinstance(batches, HasState)
            else None
        )
        pace = StepSettings(
            self.k,
            self.auxiliary_k,
            self.dead_after_tokens,
            getattr(torch, self.selection_dtype),
            self.learning_rate,
        )
        training, lengths, first = (
            saving and saving.restore(pace, massive)
        ) or self.start_training(pace, rows, site, rng, massive)
        for x in itertools.islice(itertools.chain(first, rows), steps - training.steps):
            step = training.steps
            fvu = training.step(x[~lengths.are_massive(x)], learning_rate_share(step, steps))
            if saving and training.steps >= len(first):
                saving.save(training, lengths)
            if progress is not None and (step % max(1, steps // 100) == 0 or step + 1 == steps):
                progress(
                    TrainingProgress(
                        (step + 1) * self.batch, steps * self.batch, fvu, len(training.dead)
                    )
                )
        if training.steps < steps:
            raise BadInput(
                f"the activations of {site} end after {training.steps * self.batch:,} tokens, and"
                f" the training wants {steps * self.batch:,}; give more text, repeat it, or set"
                " `tokens` lower"
            )
        return SparseCoder(
            site, site, training.weights, LargestK(self.k), card=Card(tokens=steps * self.batch)
        )

    def start_training(
        self,
        pace: StepSettings,
        rows: "EvenBatches",
        site: Site,
        rng: np.random.Generator,
        massive: float,
    ) -> TrainingStart:
        """A training that has made no step, which vectors are massive, and the rows that say so and
        are to be learned from.
        """
        first = list(itertools.islice(rows, max(1, FIRST_SAMPLE // self.batch)))
        if not first:
            raise BadInput(
                f"the activations of {site} end before one batch of {self.batch} tokens is full;"
                " give more text"
            )
        sample = torch.cat(first)
        lengths = VectorLengths.of(sample, massive)
        return (
            TopKTraining.begin(pace, self.width, sample[~lengths.are_massive(sample)], rng),
            lengths,
            first,
        )


@dataclass(frozen=True)
class TrainingCheckpoints:
    """Puts together what a checkpoint holds: the training, the rows that wait, the batches and the
    generator.
    """

    checkpoints: Checkpoints
    made_by: str  # settings and site; what others left is not gone on with
    rows: "EvenBatches"
    rng: np.random.Generator

    def save(self, training: TopKTraining, lengths: VectorLengths) -> None:
        """Write a checkpoint if one is due."""
        if self.checkpoints.due():
            values = {
                "made_by": self.made_by,
                "scale": training.scale,
                "steps": training.steps,
                "median": lengths.median,
            }
            state = prefix_state("training", training.state) | prefix_state("rows", self.rows.state)
            self.checkpoints.write(state, values | {"generator": self.rng.bit_generator.state})

    def restore(self, pace: StepSettings, massive: float) -> TrainingStart | None:
        """The training of the last checkpoint, with rows, batches and generator as they were then;
        None without one.
        """
        found = self.checkpoints.read()
        if found is None or found[1]["made_by"] != self.made_by:
            return None
        state, values = found
        self.rows.state = extract_state(state, "rows")
        self.rng.bit_generator.state = values["generator"]
        training = TopKTraining.restore(
            pace, values["scale"], values["steps"], extract_state(state, "training")
        )
        return training, VectorLengths(values["median"], massive), []


def cut_evenly(batches: Iterator[Float[Tensor, "_ d_model"]], size: int) -> "EvenBatches":
    """The same rows on the CPU, which trains, `size` at a time.

    What does not fill a last batch is left out.
    """
    return EvenBatches(batches, size)


class EvenBatches:
    """Rows that can be gone on with, if the batches can that they are cut from."""

    def __init__(self, batches: Iterator[Float[Tensor, "_ d_model"]], size: int) -> None:
        self.batches, self.size = batches, size
        self.ready = torch.empty(0)

    def __iter__(self) -> "EvenBatches":
        return self

    def __next__(self) -> Float32[Tensor, "_ d_model"]:
        held = [self.ready] if len(self.ready) else []
        while sum(map(len, held)) < self.size:
            try:
                held.append(next(self.batches).float().cpu())
            except StopIteration:
                self.ready = torch.cat(held) if held else self.ready
                raise
        joined = torch.cat(held) if len(held) > 1 else held[0]
        row, self.ready = joined[: self.size], joined[self.size :]
        return row

    @property
    def state(self) -> TensorState:
        """The rows that wait, and the state of the batches."""
        assert isinstance(self.batches, HasState)
        return {"ready": self.ready} | prefix_state("batches", self.batches.state)

    @state.setter
    def state(self, kept: TensorState) -> None:
        assert isinstance(self.batches, HasState)
        self.ready, self.batches.state = kept["ready"], extract_state(kept, "batches")


def learning_rate_share(step: int, steps: int) -> float:
    """The share of the full learning rate at this step of so many."""
    return min(1.0, (step + 1) / (RISE * steps + 1), (steps - step) / (FALL * steps))
