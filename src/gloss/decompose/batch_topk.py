"""Train a BatchTopK sparse autoencoder (Bussmann et al., 2024): tokens may differ in how many
features they need.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.decompose.fit import SparseTrainer
from gloss.decompose.sparse_gradients import ActiveCodes
from gloss.decompose.training import NamedTensors, StepOutcome, Training
from gloss.errors import BadSettings
from gloss.models.sparse_codes import AboveThreshold

BY_TOKEN, OF_BATCH = "topk", "batch_topk"  # how active features are chosen
FOLLOWED = 0.01  # the share of a step's least active value in the running threshold


@dataclass(frozen=True, slots=True)
class BatchTopK(SparseTrainer):
    """A sparse autoencoder that keeps the `k` strongest features a token on average: the strongest
    of a whole batch, wherever they are (Bussmann et al., 2024, arXiv 2412.06410).

    What it gives has one threshold for all features, the mean of the least value that was active in
    a batch, so that a token's codes do not depend on its neighbours.

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = BatchTopK(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """The running threshold, which is measured."""
        return {}, {"threshold": parameters["bias"].new_zeros(())}

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """Reconstruct the batch from its strongest pre-activations."""
        centred = x - training.bias
        pre = training.pre_activations(centred)
        codes = choose_of_batch(training, pre, self.k)
        return training.learn_codes(x, centred, pre, codes)

    def selection(self, training: Training) -> AboveThreshold:
        """One threshold for all."""
        return shared_threshold(training)


def choose_of_batch(
    training: Training, pre: Float32[Tensor, "token feature"], k: int
) -> ActiveCodes:
    """The `k` largest pre-activations a token on average, as far as they are positive; the running
    threshold follows the least of them.
    """
    threshold = training.measured["threshold"]
    codes = largest_of_batch(pre, k * len(pre), float(threshold) / 2)
    if len(codes.values):
        # the mean of all, until there are many
        share = max(FOLLOWED, 1 / (training.steps + 1))
        threshold += (codes.values.min() - threshold) * share
    return codes


def largest_of_batch(
    pre: Float[Tensor, "token feature"], number: int, guess: float = 0.0
) -> ActiveCodes:
    """The largest of all pre-activations together, so many, as far as they are positive.

    They are sought among those above the guess, where these are enough.
    """
    found = ActiveCodes.where(pre, pre > guess)
    if len(found.values) < number and guess > 0:
        found = ActiveCodes.where(pre, pre > 0)
    if len(found.values) <= number:
        return found
    kept = found.values.topk(number, sorted=False).indices.sort().values
    return ActiveCodes.of_slots(
        found.tokens[kept], found.indices[kept], found.values[kept], len(pre)
    )


def shared_threshold(training: Training) -> AboveThreshold:
    """The running threshold for every feature, in the units of the activations."""
    threshold = training.measured["threshold"] / training.scale
    return AboveThreshold(torch.full_like(training.encoder_bias, float(threshold)))


def require_selection(selection_of: str) -> None:
    """Raise BadSettings for what is no way to choose active features."""
    if selection_of not in (BY_TOKEN, OF_BATCH):
        raise BadSettings(
            f'selection_of is {selection_of!r}; it must be "{BY_TOKEN}" or "{OF_BATCH}"'
        )


def choose_active(
    selection_of: str, training: Training, pre: Float32[Tensor, "token feature"], k: int
) -> ActiveCodes:
    """The active features, of each token or of the batch."""
    if selection_of == OF_BATCH:
        return choose_of_batch(training, pre, k)
    largest = pre.topk(k, dim=1)
    return ActiveCodes.of_rows(largest.indices, largest.values.relu())
