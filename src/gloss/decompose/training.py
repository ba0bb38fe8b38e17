"""The state of a TopK training and its one step, whose decoding and gradients touch active features
alone (Gao et al., 2024).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

from gloss.errors import BadInput
from gloss.models.dictionary import Weights

AUXILIARY_WEIGHT = 1 / 32  # of the dead features' loss (Gao et al., 2024, appendix A.2)
# one token in so many teaches the dead features: they learn from many slots a token
AUXILIARY_SHARE = 4


@dataclass(frozen=True, slots=True)
class StepSettings:
    """What a step needs to know of the settings."""

    k: int
    auxiliary_k: int
    dead_after_tokens: int
    selection_dtype: torch.dtype
    learning_rate: float


@dataclass(slots=True)
class TopKTraining:
    """Parameters, optimizer and counts.

    Inputs are scaled to a variance of 1 a dimension; the result is scaled back.
    """

    pace: StepSettings
    scale: float
    encoder: Float32[Tensor, "feature d_model"]
    encoder_bias: Float32[Tensor, " feature"]
    decoder_directions: Float32[Tensor, "feature d_model"]
    bias: Float32[Tensor, " d_model"]
    optimizer: torch.optim.Adam
    inactive_tokens: Int64[Tensor, " feature"]  # seen since each feature last fired
    steps: int = 0

    @staticmethod
    def begin(
        pace: StepSettings,
        width: int,
        sample: Float32[Tensor, "token d_model"],
        rng: np.random.Generator,
    ) -> "TopKTraining":
        """Random unit decoder directions, an encoder equal to them, and the sample's geometric
        median as the bias.
        """
        d_model = sample.shape[1]
        median = geometric_median(sample)
        spread = float((sample - median).square().sum(1).mean())
        if spread == 0 or not np.isfinite(spread):
            raise BadInput(
                f"activations with a mean squared distance of {spread} from their centre teach"
                " nothing"
            )
        scale = (d_model / spread) ** 0.5
        decoder_directions = torch.from_numpy(
            rng.standard_normal((width, d_model), dtype=np.float32)
        )
        decoder_directions /= decoder_directions.norm(dim=1, keepdim=True)
        return TopKTraining.of(
            pace,
            scale,
            [decoder_directions.clone(), torch.zeros(width), decoder_directions, median * scale],
        )

    @staticmethod
    def of(pace: StepSettings, scale: float, parameters: list[Tensor]) -> "TopKTraining":
        """A training of these parameters that has made no step."""
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer = torch.optim.Adam(parameters, lr=pace.learning_rate, eps=1e-10, fused=True)
        encoder, encoder_bias, decoder_directions, bias = parameters
        inactive_tokens = torch.zeros(len(decoder_directions), dtype=torch.int64)
        return TopKTraining(
            pace, scale, encoder, encoder_bias, decoder_directions, bias, optimizer, inactive_tokens
        )

    @property
    def parameters(self) -> list[Tensor]:
        """What is learned, in the optimizer's order."""
        return [self.encoder, self.encoder_bias, self.decoder_directions, self.bias]

    @property
    def state(self) -> dict[str, Tensor]:
        """All tensors that the next steps depend on: parameters, the optimizer's moments and
        counts.
        """
        kept = {"inactive_tokens": self.inactive_tokens}
        for number, parameter in enumerate(self.parameters):
            kept[f"{number}.parameter"] = parameter
            kept |= {
                f"{number}.{name}": value for name, value in self.optimizer.state[parameter].items()
            }
        return kept

    @staticmethod
    def restore(
        pace: StepSettings, scale: float, steps: int, kept: dict[str, Tensor]
    ) -> "TopKTraining":
        """The training that had this state."""
        training = TopKTraining.of(
            pace, scale, [kept[f"{number}.parameter"] for number in range(4)]
        )
        for number, parameter in enumerate(training.parameters):
            names = [
                name
                for name in kept
                if name.startswith(f"{number}.") and name != f"{number}.parameter"
            ]
            training.optimizer.state[parameter] = {
                name.partition(".")[2]: kept[name] for name in names
            }
        training.inactive_tokens, training.steps = kept["inactive_tokens"], steps
        return training

    @property
    def dead(self) -> Int64[Tensor, " dead"]:
        """The features that have been inactive for too long."""
        return (self.inactive_tokens > self.pace.dead_after_tokens).nonzero().flatten()

    @property
    def weights(self) -> Weights:
        """The parameters, in the scale of the activations as they were given."""
        bias, encoder_bias = self.bias / self.scale, self.encoder_bias / self.scale
        return Weights(self.encoder.clone(), encoder_bias, self.decoder_directions.clone(), bias)

    @torch.no_grad()
    def step(self, x: Float32[Tensor, "token d_model"], rate_share: float) -> float:
        """Learn from one batch at this share of the full learning rate.

        Gives the share of its variance left unexplained. From less than two vectors nothing is
        learnt, because they do not vary.
        """
        if len(x) < 2:
            self.steps += 1
            return float("nan")
        x = x * self.scale
        centred = x - self.bias
        pre, indices, values = self._encode(centred)
        error = decode_active(indices, values, self.decoder_directions) - centred
        variance = float((x - x.mean(0)).square().sum())
        self.optimizer.zero_grad(set_to_none=False)
        self._backward(centred, indices, values, error * (2 / variance))
        parameter_gradient(self.bias).copy_(
            error.sum(0) * (2 / variance) - parameter_gradient(self.encoder_bias) @ self.encoder
        )
        if self.pace.auxiliary_k and len(dead := self.dead):
            self._revive(
                centred[::AUXILIARY_SHARE],
                pre[::AUXILIARY_SHARE],
                dead,
                error[::AUXILIARY_SHARE],
                variance,
            )
        self._descend(rate_share)
        self.inactive_tokens += len(x)
        self.inactive_tokens[indices[values > 0]] = 0
        self.steps += 1
        return float(error.square().sum()) / variance

    def _encode(self, centred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pre-activations, and the k largest as indices and values."""
        if self.pace.selection_dtype == torch.float32:
            pre = torch.addmm(self.encoder_bias, centred, self.encoder.T)
            values, indices = pre.topk(self.pace.k, dim=1)
            return pre, indices, values.relu()
        rounded = self.pace.selection_dtype
        pre = torch.addmm(
            self.encoder_bias.to(rounded), centred.to(rounded), self.encoder.to(rounded).T
        )
        indices = pre.topk(self.pace.k, dim=1).indices
        return (
            pre,
            indices,
            (dot_active_rows(centred, self.encoder, indices) + self.encoder_bias[indices]).relu(),
        )

    def _backward(
        self, centred: Tensor, indices: Tensor, values: Tensor, of_output: Tensor
    ) -> None:
        """Add the gradients of decoder directions and encoder, given the gradient of the loss by
        the output.
        """
        of_values = dot_active_rows(of_output, self.decoder_directions, indices).mul_(values > 0)
        by_feature = CodesByFeature.of(indices, len(self.decoder_directions))
        parameter_gradient(self.decoder_directions).add_(by_feature.gather(values, of_output))
        parameter_gradient(self.encoder).add_(by_feature.gather(of_values, centred))
        parameter_gradient(self.encoder_bias).index_add_(0, indices.flatten(), of_values.flatten())

    def _revive(
        self, centred: Tensor, pre: Tensor, dead: Tensor, error: Tensor, variance: float
    ) -> None:
        """Let dead features learn what the living ones left unexplained."""
        active = min(self.pace.auxiliary_k, len(dead))
        values, places = pre[:, dead].float().topk(active, dim=1)
        indices, values = dead[places], values.relu()
        left = decode_active(indices, values, self.decoder_directions) + error
        weight = AUXILIARY_WEIGHT * min(1.0, len(dead) / self.pace.auxiliary_k) * AUXILIARY_SHARE
        self._backward(centred, indices, values, left * (2 * weight / variance))

    def _descend(self, rate_share: float) -> None:
        """One step of Adam; decoder directions keep the norm 1, and their gradients lose what would
        change it.
        """
        of_decoder_directions = parameter_gradient(self.decoder_directions)
        of_decoder_directions -= (of_decoder_directions * self.decoder_directions).sum(
            1, keepdim=True
        ) * self.decoder_directions
        for group in self.optimizer.param_groups:
            group["lr"] = self.pace.learning_rate * rate_share
        self.optimizer.step()
        self.decoder_directions /= self.decoder_directions.norm(dim=1, keepdim=True)


def parameter_gradient(parameter: Tensor) -> Tensor:
    """The parameter's gradient, which is made with it."""
    assert parameter.grad is not None
    return parameter.grad


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


@dataclass(frozen=True, slots=True)
class CodesByFeature:
    """A batch of codes turned round: for each feature, the slots that it is active in, feature
    after feature.
    """

    slots: Int64[Tensor, " slot"]  # token * active + position
    tokens: Int64[Tensor, " slot"]
    starts: Int64[Tensor, " feature"]

    @staticmethod
    def of(indices: Int64[Tensor, "token active"], width: int) -> "CodesByFeature":
        """Sort the slots by feature."""
        flat = indices.flatten()
        # 16-bit keys sort by radix
        small = flat.numpy().astype(np.uint16 if width <= 2**16 else np.int64)
        slots = torch.from_numpy(np.argsort(small, kind="stable"))
        counts = torch.bincount(flat, minlength=width)
        return CodesByFeature(slots, slots // indices.shape[1], counts.cumsum(0) - counts)

    def gather(
        self, weights: Float[Tensor, "token active"], vectors: Float[Tensor, "token d_model"]
    ) -> Float[Tensor, "feature d_model"]:
        """Each feature's sum of its tokens' vectors, weighted: the transpose of decoding."""
        chosen = weights.flatten()[self.slots]
        return embedding_bag(
            self.tokens, vectors, offsets=self.starts, per_sample_weights=chosen, mode="sum"
        )


def decode_active(
    indices: Int64[Tensor, "token active"],
    values: Float[Tensor, "token active"],
    decoder_directions: Float[Tensor, "feature d_model"],
) -> Float[Tensor, "token d_model"]:
    """Each token's sum of its features' decoder directions."""
    return embedding_bag(indices, decoder_directions, per_sample_weights=values, mode="sum")


def dot_active_rows(
    vectors: Float[Tensor, "token d_model"],
    rows: Float[Tensor, "feature d_model"],
    indices: Int64[Tensor, "token active"],
) -> Float[Tensor, "token active"]:
    """Each token's inner product with its active features' rows, without gathering the rows."""
    tokens, active = indices.shape
    offsets = torch.arange(0, tokens * active, active)
    token_of_slot = torch.arange(tokens).repeat_interleave(active)
    backward = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return backward(vectors, rows, indices.flatten(), offsets, token_of_slot, 0).view(
        tokens, active
    )
