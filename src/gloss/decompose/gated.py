"""Train a gated sparse autoencoder (Rajamanoharan et al., 2024): the price of sparsity falls on
whether a feature is active, and not on how strongly.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.fit import SparseTrainer, threshold_at_rate
from gloss.decompose.sparse_gradients import (
    ActiveCodes,
    CodesByFeature,
    add_by_feature,
    decode_active,
    dot_active_rows,
)
from gloss.decompose.training import NamedTensors, StepOutcome, Training
from gloss.models.dictionary import Weights
from gloss.models.sparse_codes import AboveThreshold

BEGINNING = 4  # times k features a token are active at first
PACE = 0.03  # of the logarithm of the price, for an L0 that is twice or none of what is wanted


@dataclass(frozen=True, slots=True)
class GatedAutoencoder(SparseTrainer):
    """A sparse autoencoder in which one path says which features are active and another how strong
    they are; an L1 price falls on the first alone (Rajamanoharan et al., 2024, arXiv 2404.16014).

        gate      = (x - b_dec) @ W_enc + b_gate          active where it is positive
        magnitude = exp(r_mag) (x - b_dec) @ W_enc + b_mag

    The loss is the squared error of the magnitudes' reconstruction, plus that of the gates' own by
    a decoder that is held fixed, plus the price of the gates. The price is found while training:
    it rises where more than `k` features a token are active, and falls where fewer are.

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = GatedAutoencoder(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """Gain and bias of the magnitudes; the price, which is measured."""
        bias, encoder = parameters["encoder_bias"], parameters["encoder"]
        bias -= threshold_at_rate(centred[:512] @ encoder.T, BEGINNING * self.k)
        price = 0.2 * math.sqrt(centred.shape[1] / self.k)
        learned = {"gain": bias.new_zeros(bias.shape), "magnitude_bias": bias.new_zeros(bias.shape)}
        return learned, {"price": bias.new_tensor(price)}

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """Both reconstructions, and the price."""
        gain, price = training.parameters["gain"].exp(), training.measured["price"]
        centred, directions = x - training.bias, training.decoder_directions
        pre = training.pre_activations(centred)
        gates = ActiveCodes.where(pre, pre > 0)
        read = (gates.values - training.encoder_bias[gates.indices]) * gain[gates.indices]
        strong = read + training.parameters["magnitude_bias"][gates.indices]
        codes = gates.with_values(strong.relu())
        error = decode_active(codes, directions) - centred
        variance = float((x - x.mean(0)).square().sum())
        by_feature = CodesByFeature.of(codes, self.width)
        of_output = error * (2 / variance)
        of_magnitude = dot_active_rows(of_output, directions, codes).mul_(codes.values > 0)
        left_by_gates = decode_active(gates, directions) - centred
        of_gate = dot_active_rows(left_by_gates * (2 / variance), directions, gates)
        of_gate += price / variance
        paid = left_by_gates.square().sum() + price * gates.values.sum()
        of_reading = of_magnitude * gain[codes.indices] + of_gate
        training.accumulate("decoder_directions", by_feature.gather(codes.values, of_output))
        training.accumulate("encoder", by_feature.gather(of_reading, centred))
        add_by_feature(training.gradient("encoder_bias"), codes, of_reading, by_feature)
        training.set_bias_gradient(of_output.sum(0))
        # the bias of the gates is none of the magnitudes'
        sums = training.gradient("encoder_bias")
        sums.zero_()
        add_by_feature(sums, codes, of_gate, by_feature)
        add_by_feature(training.gradient("gain"), codes, of_magnitude * read, by_feature)
        add_by_feature(training.gradient("magnitude_bias"), codes, of_magnitude, by_feature)
        training.revive(centred, pre, error, variance)
        price *= math.exp(PACE * max(-1.0, min(1.0, codes.l0 / self.k - 1)))
        return StepOutcome(codes, error, variance, float(paid) / variance)

    def finished(self, training: Training) -> tuple[Weights, AboveThreshold]:
        """One path with a threshold for each feature: where the gate is positive, because the two
        read along the same directions.
        """
        weights, gain = training.weights, training.parameters["gain"].exp()
        magnitude_bias = training.parameters["magnitude_bias"] / training.scale
        thresholds = magnitude_bias - gain * weights.encoder_bias
        encoder = weights.encoder * gain[:, None]
        return (
            replace(weights, encoder=encoder, encoder_bias=magnitude_bias),
            AboveThreshold(thresholds),
        )
