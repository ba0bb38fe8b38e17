"""The training that all methods share: batches of one size, massive tokens left out, the course of
the learning rate, progress, and checkpoints from which a killed one goes on.
"""

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

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
from gloss.decompose.shared_rows import EvenRows, SharedRows
from gloss.decompose.training import NamedTensors, StepOutcome, Training
from gloss.errors import BadInput, BadSettings, require_at_least
from gloss.models.dictionary import Card, SparseCoder, Weights
from gloss.models.formats.dictionary_format import StoredDictionary
from gloss.models.massive_tokens import VectorLengths
from gloss.models.model_settings import MASSIVE_MULTIPLE, require_massive_multiple
from gloss.models.sites import Site
from gloss.models.sparse_codes import Selection

# shares of the training in which the learning rate rises from 0, and falls to 0, linearly
RISE, FALL = 0.02, 0.2
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

    def memory(self, widths: Sequence[int]) -> int:
        """The bytes that training holds at least where the vectors of its sites are as long:
        weights, their gradients and two moments, one batch's pre-activations.
        """
        row = self.row_numbers(widths) + 1
        return 4 * (4 * self.width * row + 2 * self.batch * self.width)

    def row_numbers(self, widths: Sequence[int]) -> int:
        """How many numbers a feature reads and writes along: those of the first site and the last,
        which may be one.
        """
        return widths[0] + widths[-1]

    resumes: ClassVar[bool] = True  # `fit` takes checkpoints
    frozen: ClassVar[tuple[str, ...]] = ()  # the parameters that stay as they were drawn
    joins: ClassVar[bool] = False  # whether it is trained on several sites together

    def sites(self, site: Site) -> tuple[Site, ...]:
        """The sites whose vectors a row has side by side, to train a dictionary of this one."""
        return (site,)

    def reads_of(self, site: Site) -> int:
        """How many of these sites are read, from the first on: these say what is massive."""
        return 1

    def begin(
        self,
        sample: Float32[Tensor, "token _"],
        widths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Training:
        """A training that has made no step, scaled by a sample of rows."""
        return Training.begin(self, sample, rng)

    def restored(self, scale: float, steps: int, kept: NamedTensors) -> Training:
        """The training that had this state."""
        return Training.restore(self, scale, steps, kept)

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """Nothing besides what all learn."""
        return {}, {}

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """Set all gradients from one batch in the training's scale."""
        raise NotImplementedError

    def constrain_gradients(self, training: Training) -> None:
        """Every method's gradients are free."""

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
        trainee = Trainee(self, site, progress=progress)
        return fit_together([trainee], batches, rng, massive, checkpoints)[0]


@dataclass(frozen=True, slots=True)
class Trainee:
    """One of several dictionaries that are trained on the same rows."""

    method: SparseTrainer
    site: Site
    seed: int | None = None  # of what it draws; None: what it would draw if it were alone
    progress: Callable[[TrainingProgress], None] | None = None


def fit_together(
    trainees: Sequence[Trainee],
    batches: Iterator[Float[Tensor, "_ d_row"]],
    rng: np.random.Generator,
    massive: float = MASSIVE_MULTIPLE,
    checkpoints: Checkpoints | None = None,
) -> list[StoredDictionary]:
    """Train several dictionaries, of whatever sites and methods, in one pass over activations.

    A row has the vectors of all `joint_sites` side by side. The first is what it would be alone, to
    the byte, and so is each other of the same width and batch, with vectors of the same length.
    `checkpoints` are of all of them. Raises as `SparseTrainer.fit` does.
    """
    require_massive_multiple(massive)
    shared = SharedRows(batches, joint_sites(trainees), len(trainees))
    courses = [Course(each, shared, taker, massive) for taker, each in enumerate(trainees)]
    made_by = f"{[(str(each.method), str(each.site), each.seed) for each in trainees]} {massive}"
    saving = (
        CourseCheckpoints(checkpoints, made_by, shared, courses, rng)
        if checkpoints and isinstance(batches, HasState)
        else None
    )
    if not (saving and saving.restore()):
        alone = None
        for course in courses:
            course.look()
            alone = alone or rng.bit_generator.state
            course.start(rng if course.taker == 0 else own_generator(course.trainee, alone))
    for course in courses:
        course.begun = time.monotonic()
    while going := [course for course in courses if not course.is_done]:
        min(going, key=lambda course: course.tokens).step()
        if saving and not any(course.waiting for course in courses):
            saving.save()
    return [course.made() for course in courses]


def joint_sites(trainees: Sequence[Trainee]) -> tuple[Site, ...]:
    """Every site that one of them needs, once, in the order in which they first need it."""
    return tuple(dict.fromkeys(site for each in trainees for site in each.method.sites(each.site)))


def own_generator(trainee: Trainee, alone: Mapping[str, Any]) -> np.random.Generator:
    """What a trainee draws by: its seed, or the state in which it would be alone."""
    generator = np.random.default_rng(trainee.seed)
    if trainee.seed is None:
        generator.bit_generator.state = alone
    return generator


class Course:
    """One trainee's way: its rows, how far it has come, and what it says of that."""

    def __init__(self, trainee: Trainee, shared: SharedRows, taker: int, massive: float) -> None:
        self.trainee, self.shared, self.taker = trainee, shared, taker
        self.method = trainee.method
        sites, read = self.method.sites(trainee.site), self.method.reads_of(trainee.site)
        self.rows = EvenRows(shared, taker, sites, self.method.batch, read)
        self.steps = self.method.tokens // self.method.batch
        self.lengths = VectorLengths(multiple=massive)
        self.waiting = deque[Tensor]()  # rows that were looked at and not learned from
        self.training: Training | None = None
        self.begun, self.before = time.monotonic(), 0  # when, and with which step

    @property
    def state(self) -> TensorState:
        """All tensors that its next steps depend on."""
        return {"ready": self.rows.ready} | prefix_state("training", self.so_far.state)

    @property
    def so_far(self) -> Training:
        """Parameters and counts, once it has been started."""
        assert self.training is not None
        return self.training

    @property
    def tokens(self) -> int:
        """How many it has learned from."""
        return self.so_far.steps * self.method.batch

    @property
    def is_done(self) -> bool:
        """Whether it has learned from all that it wants."""
        return self.so_far.steps >= self.steps

    def look(self) -> None:
        """Take the rows that tell scale, centre and lengths. Raises BadInput without any."""
        self.waiting.extend(itertools.islice(self.rows, max(1, FIRST_SAMPLE // self.method.batch)))
        if not self.waiting:
            raise BadInput(
                f"the activations of {self.trainee.site} end before one batch of"
                f" {self.method.batch} tokens is full; give more text"
            )

    def start(self, rng: np.random.Generator) -> None:
        """Draw parameters, and find out which vectors are massive."""
        sample = torch.cat([*self.waiting])
        read = self.rows.read(sample)
        self.lengths = VectorLengths.of(read, self.lengths.multiple)
        usual = sample[~self.lengths.are_massive(read)]
        self.training = self.method.begin(usual, self.rows.widths(sample), rng)

    def restore(self, values: Mapping[str, Any], kept: TensorState) -> None:
        """Go on from where it was."""
        self.rows.ready = kept["ready"].to(self.shared.device)
        device = self.shared.device or torch.device("cpu")
        state = extract_state(kept, "training")
        tensors = {name: tensor.to(device) for name, tensor in state.items()}
        self.training = self.method.restored(values["scale"], values["steps"], tensors)
        self.lengths = replace(self.lengths, median=values["median"])
        self.before = self.training.steps

    def step(self) -> None:
        """Learn from the next batch. Raises BadInput where the activations end."""
        x = self.waiting.popleft() if self.waiting else next(self.rows, None)
        if x is None:
            raise BadInput(
                f"the activations of {self.trainee.site} end after {self.tokens:,} tokens, and the"
                f" training wants {self.steps * self.method.batch:,}; give more text, repeat it, or"
                " set `tokens` lower"
            )
        step = self.so_far.steps
        usual = x[~self.lengths.are_massive(self.rows.read(x))]
        found = self.so_far.step(usual, learning_rate_share(step, self.steps))
        if self.is_done:
            self.waiting.clear()  # what a short training looked at and does not need
            self.shared.leave(self.taker)
        if self.trainee.progress is not None and (
            step % max(1, self.steps // 100) == 0 or self.is_done
        ):
            self.trainee.progress(self.told(found))

    def told(self, found: StepOutcome | None) -> TrainingProgress:
        """What the latest step says."""
        nan, steps = float("nan"), self.so_far.steps
        pace = (time.monotonic() - self.begun) / (steps - self.before)
        fvu, l0 = (found.fvu, found.codes.l0) if found else (nan, nan)
        return TrainingProgress(
            self.tokens,
            self.steps * self.method.batch,
            fvu,
            len(self.so_far.dead),
            l0,
            fvu + found.penalty if found else nan,
            pace * (self.steps - steps),
        )

    def made(self) -> StoredDictionary:
        """The trained dictionary."""
        return self.method.made(self.so_far, self.trainee.site, Card(tokens=self.tokens))


@dataclass(frozen=True)
class CourseCheckpoints:
    """Puts together what a checkpoint holds: every course, the rows that wait, the batches and the
    generator.
    """

    checkpoints: Checkpoints
    made_by: str  # settings and sites; what others left is not gone on with
    shared: SharedRows
    courses: Sequence[Course]
    rng: np.random.Generator

    def save(self) -> None:
        """Write a checkpoint if one is due."""
        if self.checkpoints.due():
            own = [
                {"scale": each.so_far.scale, "steps": each.so_far.steps}
                | {"median": each.lengths.median}
                for each in self.courses
            ]
            state = prefix_state("rows", self.shared.state)
            for number, course in enumerate(self.courses):
                state |= prefix_state(f"course{number}", course.state)
            values = {"made_by": self.made_by, "courses": own}
            self.checkpoints.write(state, values | {"generator": self.rng.bit_generator.state})

    def restore(self) -> bool:
        """Whether there was one, and everything is as it was then."""
        found = self.checkpoints.read()
        if found is None or found[1]["made_by"] != self.made_by:
            return False
        state, values = found
        self.shared.state = extract_state(state, "rows")
        self.rng.bit_generator.state = values["generator"]
        for number, course in enumerate(self.courses):
            course.restore(values["courses"][number], extract_state(state, f"course{number}"))
        return True


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
