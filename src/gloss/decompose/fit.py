"""The training that all methods share: batches of one size, massive tokens left out, the course of
the learning rate, progress, and checkpoints from which a killed one goes on.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

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
from gloss.decompose.training import NamedTensors, StepOutcome, Training
from gloss.errors import BadInput, BadSettings, Mismatch, require_at_least
from gloss.models.dictionary import Card, SparseCoder, Weights
from gloss.models.formats.dictionary_format import StoredDictionary
from gloss.models.massive_tokens import VectorLengths
from gloss.models.model_settings import MASSIVE_MULTIPLE, require_massive_multiple
from gloss.models.sites import Site
from gloss.models.sparse_codes import Selection

# shares of the training in which the learning rate rises from 0, and falls to 0, linearly
RISE, FALL = 0.02, 0.2
# with the rows that were drawn and not learned from
TrainingStart = tuple[Training, VectorLengths, list[Tensor]]
FIRST_SAMPLE = 16_384  # tokens that the scale and the centre are measured on


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training has come; given about 100 times in its course."""

    tokens: int
    of_tokens: int
    # of the latest batch: squared error over variance; nan where nothing is reconstructed yet
    fvu: float = float("nan")
    dead: int = 0  # features inactive for `dead_after_tokens` or more
    l0: float = float("nan")  # of the latest batch: active features a token
    loss: float = float("nan")  # FVU, and what the method's loss has besides
    seconds_left: float = float("nan")  # at the pace of this process

    def __str__(self) -> str:
        if math.isnan(self.fvu):
            return ""
        return f"FVU {self.fvu:.3f} · L0 {self.l0:.1f} · {self.dead:,} dead"


@dataclass(frozen=True, slots=True)
class SparseTrainer:
    """The settings of every method that learns sparse codes, and `fit`. A method says what differs:
    how it `learns` from a batch, and which `selection` it ends with.
    """

    width: int = 2048
    k: int = 32
    tokens: int = 4_000_000
    batch: int = 2048  # tokens a step
    learning_rate: float = 5e-3
    auxiliary_k: int = 128  # dead features that learn each token's residual; 0 leaves them dead
    dead_after_tokens: int = 200_000

    def __post_init__(self) -> None:
        require_at_least(1e-12, self, "learning_rate")
        if not 1 <= self.k <= self.width:
            raise BadSettings(
                f"k={self.k} features of width={self.width} cannot be active; k must be between 1"
                " and the width"
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

    resumes: ClassVar[bool] = True  # `fit` takes checkpoints
    frozen: ClassVar[tuple[str, ...]] = ()  # the parameters that stay as they were drawn

    def sites(self, site: Site) -> tuple[Site, ...]:
        """The sites whose vectors a row has side by side, to train a dictionary of this one. The
        first is read, and says which tokens are massive.
        """
        return (site,)

    def begin(
        self,
        sample: Float32[Tensor, "token _"],
        widths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Training:
        """A training that has made no step, scaled by a sample of rows."""
        return Training.begin(self, sample, rng)

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """Nothing besides what all learn."""
        return {}, {}

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """Set all gradients from one batch in the training's scale."""
        raise NotImplementedError

    def constrain(self, training: Training) -> None:
        """Every method's parameters are free, but for the norms of decoder directions."""

    def selection(self, training: Training) -> Selection:
        """Which features of the trained dictionary are active."""
        raise NotImplementedError

    def finished(self, training: Training) -> tuple[Weights, Selection]:
        """What was learned, in the units of the activations."""
        return training.weights, self.selection(training)

    def made(self, training: Training, site: Site, card: Card) -> StoredDictionary:
        """The trained dictionary."""
        weights, selection = self.finished(training)
        return SparseCoder(site, site, weights, selection, card=card)

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_row"]],
        site: Site,
        rng: np.random.Generator,
        progress: Callable[[TrainingProgress], None] | None = None,
        massive: float = MASSIVE_MULTIPLE,
        checkpoints: Checkpoints | None = None,
    ) -> StoredDictionary:
        """Train a dictionary on activations, batches of shape (token, d_model), on their device.

        They should come in random order; a batch may have any length. A method of several `sites`
        takes rows with the vectors of all, side by side: as long as `batches.widths` says, or
        equally long. Those that are longer than `massive` times the median of the first ones count
        as seen and teach nothing; 0 lets all teach. The same rng, activations and number of threads
        give the same dictionary. With `checkpoints`, and batches that can be gone on with, a
        training that was killed goes on where the last checkpoint was and ends with the same bytes.
        Raises BadInput when the activations end before `tokens` of them were seen: repeat them, or
        ask for fewer.
        """
        require_massive_multiple(massive)
        steps = self.tokens // self.batch
        rows = EvenBatches(batches, self.batch, len(self.sites(site)))
        saving = (
            TrainingCheckpoints(checkpoints, f"{self} {site} {massive}, tensors by name", rows, rng)
            if checkpoints and isinstance(batches, HasState)
            else None
        )
        training, lengths, first = (
            saving and saving.restore(self, massive)
        ) or self.start_training(rows, site, rng, massive)
        begun, before = time.monotonic(), training.steps
        for x in itertools.islice(itertools.chain(first, rows), steps - training.steps):
            step = training.steps
            usual = x[~lengths.are_massive(rows.read(x))]
            found = training.step(usual, learning_rate_share(step, steps))
            if saving and training.steps >= len(first):
                saving.save(training, lengths)
            if progress is not None and (step % max(1, steps // 100) == 0 or step + 1 == steps):
                pace = (time.monotonic() - begun) / (step + 1 - before)
                progress(self.told_progress(training, found, steps, pace))
        if training.steps < steps:
            raise BadInput(
                f"the activations of {site} end after {training.steps * self.batch:,} tokens, and"
                f" the training wants {steps * self.batch:,}; give more text, repeat it, or set"
                " `tokens` lower"
            )
        return self.made(training, site, Card(tokens=steps * self.batch))

    def told_progress(
        self, training: Training, found: StepOutcome | None, steps: int, pace: float
    ) -> TrainingProgress:
        """What the latest step says, at a pace of so many seconds a step."""
        of_tokens, nan = steps * self.batch, float("nan")
        fvu, l0 = (found.fvu, found.codes.l0) if found else (nan, nan)
        return TrainingProgress(
            training.steps * self.batch,
            of_tokens,
            fvu,
            len(training.dead),
            l0,
            fvu + found.penalty if found else nan,
            pace * (steps - training.steps),
        )

    def start_training(
        self, rows: "EvenBatches", site: Site, rng: np.random.Generator, massive: float
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
        read = rows.read(sample)
        lengths = VectorLengths.of(read, massive)
        usual = sample[~lengths.are_massive(read)]
        return self.begin(usual, rows.widths(sample), rng), lengths, first


@dataclass(frozen=True)
class TrainingCheckpoints:
    """Puts together what a checkpoint holds: the training, the rows that wait, the batches and the
    generator.
    """

    checkpoints: Checkpoints
    made_by: str  # settings and site; what others left is not gone on with
    rows: "EvenBatches"
    rng: np.random.Generator

    def save(self, training: Training, lengths: VectorLengths) -> None:
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

    def restore(self, method: SparseTrainer, massive: float) -> TrainingStart | None:
        """The training of the last checkpoint, with rows, batches and generator as they were then;
        None without one.
        """
        found = self.checkpoints.read()
        if found is None or found[1]["made_by"] != self.made_by:
            return None
        state, values = found
        self.rows.state = extract_state(state, "rows")
        self.rng.bit_generator.state = values["generator"]
        device = self.rows.device or torch.device("cpu")
        kept = {
            name: tensor.to(device) for name, tensor in extract_state(state, "training").items()
        }
        training = Training.restore(method, values["scale"], values["steps"], kept)
        return training, VectorLengths(values["median"], massive), []


def cut_evenly(batches: Iterator[Float[Tensor, "_ d_model"]], size: int) -> "EvenBatches":
    """The same rows, `size` at a time.

    What does not fill a last batch is left out.
    """
    return EvenBatches(batches, size)


class EvenBatches:
    """Rows that can be gone on with, if the batches can that they are cut from."""

    def __init__(
        self, batches: Iterator[Float[Tensor, "_ d_row"]], size: int, sites: int = 1
    ) -> None:
        self.batches, self.size, self.sites = batches, size, sites
        # where the batches come from, if they say so
        self.device: torch.device | None = getattr(batches, "device", None)
        self.ready = torch.empty(0)

    def __iter__(self) -> "EvenBatches":
        return self

    def __next__(self) -> Float32[Tensor, "_ d_model"]:
        held = [self.ready] if len(self.ready) else []
        while sum(map(len, held)) < self.size:
            try:
                held.append(next(self.batches).to(self.device).float())
            except StopIteration:
                self.ready = torch.cat(held) if held else self.ready
                raise
        joined = torch.cat(held) if len(held) > 1 else held[0]
        row, self.ready = joined[: self.size], joined[self.size :]
        return row

    def widths(self, rows: Float32[Tensor, "_ d_row"]) -> tuple[int, ...]:
        """How long the vectors of each site are: as the batches say, or equally long."""
        equal = (rows.shape[1] // self.sites,) * self.sites
        found: tuple[int, ...] = getattr(self.batches, "widths", equal)
        if len(found) != self.sites or sum(found) != rows.shape[1]:
            raise Mismatch(
                f"rows of {rows.shape[1]} numbers, in parts of {found}, are not those of"
                f" {self.sites} sites side by side; read activation_batches of these sites"
            )
        return found

    def read(self, rows: Float32[Tensor, "_ d_row"]) -> Float32[Tensor, "_ d_in"]:
        """What is of the first site."""
        return rows[:, : self.widths(rows)[0]]

    @property
    def state(self) -> TensorState:
        """The rows that wait, and the state of the batches."""
        assert isinstance(self.batches, HasState)
        return {"ready": self.ready} | prefix_state("batches", self.batches.state)

    @state.setter
    def state(self, kept: TensorState) -> None:
        assert isinstance(self.batches, HasState)
        self.ready = kept["ready"].to(self.device)
        self.batches.state = extract_state(kept, "batches")


def learning_rate_share(step: int, steps: int) -> float:
    """The share of the full learning rate at this step of so many."""
    return min(1.0, (step + 1) / (RISE * steps + 1), (steps - step) / (FALL * steps))


def threshold_at_rate(pre: Float32[Tensor, "token feature"], active: int) -> float:
    """Above which so many features of a token lie on average, of the first 512 tokens."""
    some = pre[:512]
    number = min(some.numel(), active * len(some))
    return max(1e-3, float(some.flatten().topk(number).values[-1]))


def take_sample(
    batches: Iterator[Float[Tensor, "_ d_model"]], tokens: int, site: Site, massive: float
) -> Float32[Tensor, "token d_model"]:
    """The first activations, so many or as many as there are, on the processor, without massive
    ones: for what is computed and not trained. Raises BadInput where there are none.
    """
    sample: list[Tensor] = []
    while sum(map(len, sample)) < tokens and (batch := next(batches, None)) is not None:
        sample.append(batch.float().cpu())
    if not sample:
        raise BadInput(f"there are no activations of {site}; give more text")
    x = torch.cat(sample)[:tokens]
    return x[~VectorLengths.of(x, massive).are_massive(x)]
