"""What the trainings by other libraries share: gloss feeds them activations and keeps their state
in its checkpoints; coder, loss and optimizer are the library's.
"""

import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.checkpoints import extract_state, prefix_state
from gloss.decompose.fit import SparseTrainer
from gloss.decompose.sparse_gradients import ActiveCodes
from gloss.decompose.training import NamedTensors, StepOutcome, Training, centre_and_scale
from gloss.errors import BadSettings
from gloss.models.dictionary import Weights
from gloss.models.sparse_codes import LargestK


@dataclass(slots=True)
class ForeignTraining(Training):
    """A training of which steps, parameters and optimizer are a library's, in gloss' scale."""

    optimizer: Any  # the library's, or torch's
    coder: Any = None  # the library's module

    @property
    def state(self) -> NamedTensors:
        """The coder's tensors, the optimizer's in the library's own form, and counts."""
        kept = {"inactive_tokens": self.inactive_tokens, "library": self.state_besides()}
        return kept | prefix_state("coder", dict(self.coder.state_dict()))

    def restore_state(self, steps: int, kept: NamedTensors) -> None:
        """Go on from there."""
        self.coder.load_state_dict(extract_state(kept, "coder"))
        self.inactive_tokens, self.steps = kept["inactive_tokens"], steps
        self.restore_library(kept["library"])

    def state_besides(self) -> Tensor:
        """What the library needs besides its coder, as bytes."""
        return as_bytes(self.optimizer.state_dict())

    def restore_library(self, kept: Tensor) -> None:
        """The same again."""
        self.optimizer.load_state_dict(of_bytes(kept))

    def step(self, x: Float32[Tensor, "token d_model"], rate_share: float) -> StepOutcome | None:
        """Let the library learn from one batch. From less than two vectors nothing is learnt."""
        found = None
        if len(x) >= 2:
            with torch.enable_grad():
                found = self.learn(x * self.scale, rate_share)
            self.inactive_tokens += len(x)
            self.inactive_tokens[found.codes.indices[found.codes.values > 0]] = 0
        self.steps += 1
        return found

    def learn(self, x: Float32[Tensor, "token d_model"], rate_share: float) -> StepOutcome:
        """One step of the library."""
        raise NotImplementedError

    def learned(self) -> Weights:
        """What the coder has learned, in gloss' scale, with decoder directions of norm 1."""
        raise NotImplementedError

    @property
    def weights(self) -> Weights:
        """The same in the scale of the activations as they were given."""
        found = self.learned()
        encoder, encoder_bias, decoder, bias = (
            each.detach().float().clone().contiguous()
            for each in (
                *(found.encoder, found.encoder_bias / self.scale),
                *(found.decoder_directions, found.bias / self.scale),
            )
        )
        return Weights(encoder, encoder_bias, decoder, bias)


@dataclass(frozen=True, slots=True)
class ForeignTrainer(SparseTrainer):
    """A method whose training is a library's, which must be installed."""

    package: ClassVar[str]  # as it is imported
    extra: ClassVar[str]  # of gloss, which brings it

    def require_library(self) -> None:
        """Raise BadSettings where the library is not installed."""
        if find_spec(self.package) is None:
            raise BadSettings(
                f"this method trains with the library {self.package}, which is not installed; pip"
                f" install 'gloss-lm[{self.extra}]'"
            )

    def begin(
        self,
        sample: Float32[Tensor, "token _"],
        widths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> ForeignTraining:
        """The library's coder, drawn by a seed of the generator's."""
        self.require_library()
        median, scale = centre_and_scale(sample)
        seed = int(rng.integers(2**63))
        with quiet_library(), torch.random.fork_rng(), torch.enable_grad():
            torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            torch.cuda.manual_seed_all(seed)
            return self.begin_with_library(median * scale, scale)

    def restored(self, scale: float, steps: int, kept: NamedTensors) -> ForeignTraining:
        """The training that had this state."""
        self.require_library()
        with quiet_library(), torch.random.fork_rng(), torch.enable_grad():
            training = self.begin_with_library(kept["coder.b_dec"], scale)
        training.restore_state(steps, kept)
        return training

    def begin_with_library(
        self, centre: Float32[Tensor, " d_model"], scale: float
    ) -> ForeignTraining:
        """A training of the library's coder, whose bias begins at the centre."""
        raise NotImplementedError

    def selection(self, training: Training) -> LargestK:
        """The same k."""
        return LargestK(self.k)


def step_outcome(
    values: Tensor, indices: Tensor, output: Tensor, x: Float32[Tensor, "token d_model"]
) -> StepOutcome:
    """What a library's step found: as many active features for each token, and its output."""
    variance = float((x - x.mean(0)).square().sum())
    codes = ActiveCodes.of_rows(indices.detach(), values.detach().relu().float())
    return StepOutcome(codes, output.detach() - x, variance)


@contextmanager
def quiet_library() -> Generator[None]:
    """What a library prints and warns of when it is imported is none of the run's progress."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def as_bytes(state: Any) -> Tensor:
    """What `torch.save` writes, as a tensor."""
    written = io.BytesIO()
    torch.save(state, written)
    return torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)


def of_bytes(kept: Tensor) -> Any:
    """The same again: tensors and plain values alone."""
    return torch.load(io.BytesIO(kept.cpu().numpy().tobytes()), weights_only=True)
