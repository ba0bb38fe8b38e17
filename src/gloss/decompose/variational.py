"""Train a variational sparse autoencoder (Baker and Li, 2025): a baseline that does worse than
`topk`, and shows by how much.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.fit import SparseTrainer
from gloss.decompose.sparse_gradients import (
    ActiveCodes,
    CodesByFeature,
    decode_active,
    dot_active_rows,
)
from gloss.decompose.training import NamedTensors, StepOutcome, Training
from gloss.errors import require_at_least
from gloss.models.sparse_codes import LargestK

RISES = 0.2  # the share of the training in which the price of the divergence rises from 0


@dataclass(frozen=True, slots=True)
class Variational(SparseTrainer):
    """A TopK autoencoder whose codes are drawn around their means, with a price for means that are
    not 0 (Baker and Li, 2025, arXiv 2509.22994). A negative baseline.

        mean = relu((x - b_dec) @ W_enc + b_enc);  codes = the k largest of mean + noise * N(0, 1)
        loss = (|x - decode(codes)|² + divergence |mean|² / 2) / variance

    The noise is fixed, so that what becomes of it goes by the scale of the inputs, which `fit`
    makes one of variance 1. The trained dictionary keeps the k largest means, without noise.

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = Variational(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    noise: float = 1.0  # standard deviation, in units of activations of variance 1
    divergence: float = 0.1  # the price of half a mean's square

    def __post_init__(self) -> None:
        SparseTrainer.__post_init__(self)
        require_at_least(0, self, "noise")
        require_at_least(0, self, "divergence")

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """What the noise is drawn by, from what was drawn before."""
        drawn = parameters["decoder_directions"].flatten()[:2].cpu().view(torch.int32)
        return {}, {"seed": drawn.to(torch.int64).sum().abs()}

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """One draw; a code's gradient is its mean's, and each mean, active or not, has its price.

        What counts as active, and as alive, are means.
        """
        centred, generator = x - training.bias, torch.Generator(x.device)
        generator.manual_seed(int(training.measured["seed"]) + training.steps)
        pre = training.pre_activations(centred)
        means = pre.relu()
        noise = torch.randn(pre.shape, generator=generator, device=pre.device)
        largest = torch.add(means, noise, alpha=self.noise).topk(self.k, dim=1)
        drawn = ActiveCodes.of_rows(largest.indices, largest.values.relu())
        error = decode_active(drawn, training.decoder_directions) - centred
        variance = float((x - x.mean(0)).square().sum())
        of_output = error * (2 / variance)
        price = self.divergence * min(1.0, training.steps * self.batch / (RISES * self.tokens))
        of_means = means * (price / variance)
        of_values = dot_active_rows(of_output, training.decoder_directions, drawn)
        of_values *= drawn.values > 0
        of_means.scatter_add_(1, largest.indices, of_values.view(largest.indices.shape))
        of_means *= pre > 0
        by_feature = CodesByFeature.of(drawn, self.width)
        training.accumulate("decoder_directions", by_feature.gather(drawn.values, of_output))
        training.accumulate("encoder", of_means.T @ centred)
        training.gradient("encoder_bias").copy_(of_means.sum(0))
        training.set_bias_gradient(of_output.sum(0))
        training.revive(centred, pre, error, variance)
        active = drawn.with_values(means.gather(1, largest.indices).flatten())
        paid = price / 2 * float(means.square().sum()) / variance
        return StepOutcome(active, error, variance, paid)

    def selection(self, training: Training) -> LargestK:
        """The k largest means."""
        return LargestK(self.k)
