"""What every training of a sparse dictionary shares: parameters, optimizer and counts, and a step,
whose decoding and gradients touch active features alone (Gao et al., 2024).

What differs from one method to another is a `Learner`: which features are active, and what the loss
adds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from gloss.decompose.checkpoints import extract_state, prefix_state
from gloss.decompose.sparse_gradients import (
    ActiveCodes,
    CodesByFeature,
    add_by_feature,
    decode_active,
    dot_active_rows,
)
from gloss.errors import BadInput
from gloss.models.dictionary import Weights
from gloss.models.joint_coder import read_in_blocks

AUXILIARY_WEIGHT = 1 / 32  # of the dead features' loss (Gao et al., 2024, appendix A.2)
# one token in so many teaches the dead features: they learn from many slots a token
AUXILIARY_SHARE = 4
BLOCK = 2**16  # numbers of a matrix that are worked on at a time, 256 KB
NamedTensors = dict[str, Tensor]


@runtime_checkable
class Learner(Protocol):
    """What a training asks of its method."""

    frozen: ClassVar[tuple[str, ...]]  # the parameters that stay as they were drawn

    @property
    def width(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def auxiliary_k(self) -> int: ...
    @property
    def dead_after_tokens(self) -> int: ...

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """What the method learns besides, and what it measures: it may set what is drawn, too."""
        ...

    def learn(self, training: "Training", x: Float32[Tensor, "token d_model"]) -> "StepOutcome":
        """Set all gradients from one batch in the training's scale."""
        ...

    def constrain_gradients(self, training: "Training") -> None:
        """Set to 0 what must not change, before a step."""
        ...

    def constrain(self, training: "Training") -> None:
        """Bring parameters back to where they must be, after a step."""
        ...


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step found before it changed anything."""

    codes: ActiveCodes
    error: Float32[Tensor, "token d_model"]
    variance: float  # of the batch, summed
    penalty: float = 0.0  # what the loss has besides

    @property
    def fvu(self) -> float:
        """The share of the batch's variance that is left unexplained."""
        return float(self.error.square().sum()) / self.variance


@dataclass(slots=True)
class Training:
    """Parameters, optimizer and counts, on the device of the activations.

    Inputs are scaled to a variance of 1 a dimension; the result is scaled back.
    """

    method: Learner
    scale: float
    parameters: NamedTensors  # in the optimizer's order
    measured: NamedTensors  # what later steps depend on and no gradient changes
    optimizer: torch.optim.Adam
    inactive_tokens: Int64[Tensor, " feature"]  # seen since each feature last fired
    steps: int = 0

    @staticmethod
    def begin(
        method: Learner, sample: Float32[Tensor, "token d_model"], rng: np.random.Generator
    ) -> "Training":
        """Random unit decoder directions, an encoder equal to them, and the sample's geometric
        median as the bias.
        """
        median, scale = centre_and_scale(sample)
        directions = draw_unit_rows(rng, method.width, sample)
        drawn = {
            "encoder": directions.clone(),
            "encoder_bias": directions.new_zeros(method.width),
            "decoder_directions": directions,
            "bias": median * scale,
        }
        learned, measured = method.own_tensors(drawn, (sample - median) * scale)
        return Training.of(method, scale, drawn | learned, measured)

    @staticmethod
    def of(
        method: Learner, scale: float, parameters: NamedTensors, measured: NamedTensors
    ) -> "Training":
        """A training of these parameters that has made no step."""
        for parameter in parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        learned = [value for name, value in parameters.items() if name not in method.frozen]
        optimizer = torch.optim.Adam(learned, lr=method.learning_rate, eps=1e-10, fused=True)
        directions = parameters["decoder_directions"]
        inactive = torch.zeros(len(directions), dtype=torch.int64, device=directions.device)
        return Training(method, scale, parameters, measured, optimizer, inactive)

    @property
    def encoder(self) -> Float32[Tensor, "feature d_model"]:
        """Along which features read."""
        return self.parameters["encoder"]

    @property
    def encoder_bias(self) -> Float32[Tensor, " feature"]:
        """What each pre-activation gets besides."""
        return self.parameters["encoder_bias"]

    @property
    def decoder_directions(self) -> Float32[Tensor, "feature d_model"]:
        """Along which features write, of norm 1."""
        return self.parameters["decoder_directions"]

    @property
    def bias(self) -> Float32[Tensor, " d_model"]:
        """The centre."""
        return self.parameters["bias"]

    @property
    def state(self) -> NamedTensors:
        """All tensors that the next steps depend on: parameters, the optimizer's moments and
        counts.
        """
        kept = {"inactive_tokens": self.inactive_tokens}
        kept |= prefix_state("parameter", self.parameters)
        kept |= prefix_state("measured", self.measured)
        for name, parameter in self.parameters.items():
            kept |= prefix_state(f"moments.{name}", self.optimizer.state.get(parameter, {}))
        return kept

    @staticmethod
    def restore(method: Learner, scale: float, steps: int, kept: NamedTensors) -> "Training":
        """The training that had this state."""
        parameters, measured = (extract_state(kept, part) for part in ("parameter", "measured"))
        training = Training.of(method, scale, parameters, measured)
        for name, parameter in parameters.items():
            if moments := extract_state(kept, f"moments.{name}"):
                training.optimizer.state[parameter] = moments
        training.inactive_tokens, training.steps = kept["inactive_tokens"], steps
        return training

    @property
    def dead(self) -> Int64[Tensor, " dead"]:
        """The features that have been inactive for too long."""
        return (self.inactive_tokens > self.method.dead_after_tokens).nonzero().flatten()

    @property
    def weights(self) -> Weights:
        """The parameters, in the scale of the activations as they were given."""
        bias, encoder_bias = self.bias / self.scale, self.encoder_bias / self.scale
        return Weights(self.encoder.clone(), encoder_bias, self.decoder_directions.clone(), bias)

    @torch.no_grad()
    def step(self, x: Float32[Tensor, "token d_model"], rate_share: float) -> StepOutcome | None:
        """Learn from one batch at this share of the full learning rate.

        Gives what it found. From less than two vectors nothing is learnt, because they do not vary.
        """
        if len(x) < 2:
            self.steps += 1
            return None
        self._forget_gradients()
        found = self.method.learn(self, x * self.scale)
        self._descend(rate_share)
        self.inactive_tokens += len(x)
        self.inactive_tokens[found.codes.indices[found.codes.values > 0]] = 0
        self.steps += 1
        return found

    def pre_activations(
        self, centred: Float32[Tensor, "token d_model"]
    ) -> Float32[Tensor, "token feature"]:
        """Of every feature."""
        return read_in_blocks(centred, self.encoder, self.encoder_bias)

    def learn_codes(
        self, x: Tensor, centred: Tensor, pre: Tensor, codes: ActiveCodes
    ) -> StepOutcome:
        """Set the gradients of the squared error that these codes leave, over the variance, and of
        the dead features' loss.
        """
        error = decode_active(codes, self.decoder_directions) - centred
        variance = float((x - x.mean(0)).square().sum())
        self.add_gradients(centred, codes, error * (2 / variance))
        self.set_bias_gradient(error.sum(0) * (2 / variance))
        self.revive(centred, pre, error, variance)
        return StepOutcome(codes, error, variance)

    def add_gradients(self, centred: Tensor, codes: ActiveCodes, of_output: Tensor) -> None:
        """Add the gradients of decoder directions and encoder, given the gradient of the loss by
        the output.
        """
        values = codes.values
        of_values = dot_active_rows(of_output, self.decoder_directions, codes).mul_(values > 0)
        by_feature = CodesByFeature.of(codes, len(self.decoder_directions))
        self.accumulate("decoder_directions", by_feature.gather(values, of_output))
        self.accumulate("encoder", self._encoder_gradient(by_feature, of_values, centred))
        add_by_feature(self.gradient("encoder_bias"), codes, of_values, by_feature)

    def _encoder_gradient(
        self, by_feature: CodesByFeature, of_values: Tensor, centred: Tensor
    ) -> Float32[Tensor, "feature d"]:
        """Of each feature, by what it reads: everything, or its block's part of it."""
        blocks = centred.shape[1] // self.encoder.shape[1]
        if blocks == 1:
            return by_feature.gather(of_values, centred)
        size = len(self.encoder) // blocks
        return torch.cat(
            [
                by_feature.within(block * size, size).gather(of_values, part.contiguous())
                for block, part in enumerate(centred.chunk(blocks, dim=1))
            ]
        )

    def set_bias_gradient(self, of_output: Float32[Tensor, " d_model"]) -> None:
        """The centre is added to the output, and is subtracted from what the encoder reads."""
        read = self.gradient("encoder_bias") @ self.encoder
        self.gradient("bias").copy_(of_output - read)

    def predict(
        self, given: Tensor, wanted: Tensor, pre: Tensor, codes: ActiveCodes
    ) -> StepOutcome:
        """As `learn_codes`, where something else is reconstructed than what is read; with the path
        round the features, where "skip" is among the parameters.
        """
        error = decode_active(codes, self.decoder_directions) + self.bias - wanted
        skip = self.parameters.get("skip")
        if skip is not None:
            error = error + given @ skip.T
        variance = float((wanted - wanted.mean(0)).square().sum())
        of_output = error * (2 / variance)
        self.add_gradients(given, codes, of_output)
        self.gradient("bias").copy_(of_output.sum(0))
        if skip is not None:
            self.accumulate("skip", of_output.T @ given)
        self.revive(given, pre, error, variance)
        return StepOutcome(codes, error, variance)

    def revive(self, centred: Tensor, pre: Tensor, error: Tensor, variance: float) -> None:
        """Let dead features learn what the living ones left unexplained, on some of the tokens."""
        most = self.method.auxiliary_k
        if not most or not len(dead := self.dead):
            return
        some = slice(None, None, AUXILIARY_SHARE)
        values, places = pre[some][:, dead].float().topk(min(most, len(dead)), dim=1)
        codes = ActiveCodes.of_rows(dead[places], values.relu())
        left = decode_active(codes, self.decoder_directions) + error[some]
        weight = AUXILIARY_WEIGHT * min(1.0, len(dead) / most) * AUXILIARY_SHARE
        self.add_gradients(centred[some], codes, left * (2 * weight / variance))

    def gradient(self, name: str) -> Tensor:
        """The parameter's gradient, as far as it has been added up."""
        parameter = self.parameters[name]
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        return parameter.grad

    def accumulate(self, name: str, gradient: Tensor) -> None:
        """Add to the parameter's gradient; the first is taken as it is, because large ones cost a
        step much of its time.
        """
        parameter = self.parameters[name]
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            parameter.grad += gradient

    def _forget_gradients(self) -> None:
        for parameter in self.parameters.values():
            if parameter.grad is None or parameter.dim() > 1:
                parameter.grad = None
            else:
                parameter.grad.zero_()

    def _descend(self, rate_share: float) -> None:
        """One step of Adam; decoder directions keep the norm 1, and their gradients lose what would
        change it.
        """
        self.method.constrain_gradients(self)
        of_directions = self.gradient("decoder_directions")
        for part, rows in zip(
            in_blocks(of_directions), in_blocks(self.decoder_directions), strict=True
        ):
            part -= (part * rows).sum(1, keepdim=True) * rows
        for group in self.optimizer.param_groups:
            group["lr"] = self.method.learning_rate * rate_share
        self.optimizer.step()
        if "decoder_directions" not in self.method.frozen:
            for rows in in_blocks(self.decoder_directions):
                rows /= rows.norm(dim=1, keepdim=True)
        self.method.constrain(self)


def draw_unit_rows(
    rng: np.random.Generator, number: int, like: Float32[Tensor, "token d_model"]
) -> Float32[Tensor, "feature d_model"]:
    """So many random directions, as long as these vectors and where they are."""
    rows = torch.from_numpy(rng.standard_normal((number, like.shape[1]), dtype=np.float32))
    rows /= rows.norm(dim=1, keepdim=True)
    return rows.to(like.device)


def centre_and_scale(
    sample: Float32[Tensor, "token d_model"],
) -> tuple[Float32[Tensor, " d_model"], float]:
    """The geometric median, and what gives vectors a variance of 1 a dimension around it.

    Raises BadInput where they do not vary.
    """
    median = geometric_median(sample)
    spread = float((sample - median).square().sum(1).mean())
    if spread == 0 or not np.isfinite(spread):
        raise BadInput(
            f"activations with a mean squared distance of {spread} from their centre teach nothing"
        )
    return median, (sample.shape[1] / spread) ** 0.5


def in_blocks(rows: Float32[Tensor, "feature d_model"]) -> Sequence[Float32[Tensor, "_ d_model"]]:
    """The same rows, so many at a time as a processor's cache holds, where several things are done
    to each; an accelerator takes all at once.
    """
    return rows.split(max(1, BLOCK // rows.shape[1])) if rows.device.type == "cpu" else (rows,)


def geometric_median(
    points: Float[Tensor, "token d_model"], rounds: int = 100
) -> Float[Tensor, " d_model"]:
    """The point with the smallest mean distance to all, by Weiszfeld's iteration."""
    centre = points.mean(0)
    for _ in range(rounds):
        weights = 1 / (points - centre).norm(dim=1).clamp_min(1e-6)
        centre, previous = (points * weights[:, None]).sum(0) / weights.sum(), centre
        if (centre - previous).norm() <= 1e-5 * centre.norm():
            break
    return centre
