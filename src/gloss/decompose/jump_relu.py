"""Train a JumpReLU sparse autoencoder (Rajamanoharan et al., 2024): a threshold for each feature,
learned by estimated gradients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.fit import SparseTrainer, threshold_at_rate
from gloss.decompose.sparse_gradients import ActiveCodes, add_by_feature, dot_active_rows
from gloss.decompose.training import NamedTensors, StepOutcome, Training
from gloss.errors import require_at_least
from gloss.models.sparse_codes import AboveThreshold


@dataclass(frozen=True, slots=True)
class JumpReLU(SparseTrainer):
    """A sparse autoencoder whose features are active above a threshold of their own, which is
    learned (Rajamanoharan et al., 2024, arXiv 2407.14435).

    The loss is FVU + `penalty` (L0 / k - 1)²: the variant of the paper that aims at an L0, here
    `k`, in place of a price for each active feature. Steps have no gradient; a threshold gets one
    from pre-activations within half a `bandwidth` of it, in units of activations of variance 1.

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = JumpReLU(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    bandwidth: float = 0.05
    penalty: float = 1.0

    def __post_init__(self) -> None:
        SparseTrainer.__post_init__(self)
        require_at_least(1e-12, self, "bandwidth")

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """The thresholds' logarithms: at first, k features a token are active."""
        pre = centred[:512] @ parameters["encoder"].T
        thresholds = torch.full_like(parameters["encoder_bias"], threshold_at_rate(pre, self.k))
        return {"log_threshold": thresholds.log()}, {}

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """Reconstruct from what lies above the thresholds, and move these."""
        thresholds = training.parameters["log_threshold"].exp()
        centred = x - training.bias
        pre = training.pre_activations(centred)
        codes = ActiveCodes.where(pre, pre > thresholds)
        found = training.learn_codes(x, centred, pre, codes)
        above = codes.l0 / self.k - 1
        near = ActiveCodes.where(pre, (pre - thresholds).abs() < self.bandwidth / 2)
        of_output = found.error * (2 / found.variance)
        of_value = dot_active_rows(of_output, training.decoder_directions, near)
        of_active = 2 * self.penalty * above / self.k / len(x)
        # by the logarithm of the threshold
        at = thresholds[near.indices]
        of_threshold = -(at * of_value + of_active) / self.bandwidth * at
        add_by_feature(training.gradient("log_threshold"), near, of_threshold)
        return replace(found, penalty=self.penalty * above**2)

    def selection(self, training: Training) -> AboveThreshold:
        """The thresholds, in the units of the activations."""
        return AboveThreshold(training.parameters["log_threshold"].exp() / training.scale)
