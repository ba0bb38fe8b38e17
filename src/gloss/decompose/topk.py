"""Train a TopK sparse autoencoder (Gao et al., 2024)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.fit import SparseTrainer
from gloss.decompose.sparse_gradients import ActiveCodes, dot_active_rows
from gloss.decompose.training import StepOutcome, Training
from gloss.errors import BadSettings
from gloss.models.sparse_codes import LargestK


@dataclass(frozen=True, slots=True)
class TopK(SparseTrainer):
    """A sparse autoencoder that keeps each token's `k` strongest features, trained by Adam on
    `tokens` activations (Gao et al., 2024, arXiv 2406.04093).

    A trainer is a frozen dataclass with `fit`, under the entry point `gloss.decompose`. Raises
    BadSettings for settings that contradict each other.

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> TopK(width=32, k=4, tokens=2048, batch=512).fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    # "bfloat16" picks the k by rounded pre-activations; their values stay exact
    selection_dtype: str = "float32"

    def __post_init__(self) -> None:
        SparseTrainer.__post_init__(self)
        if self.selection_dtype not in ("float32", "bfloat16"):
            raise BadSettings(
                f'selection_dtype is {self.selection_dtype!r}; it must be "float32" or "bfloat16"'
            )

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """Reconstruct each token from its k largest pre-activations, where they are positive."""
        centred = x - training.bias
        pre, codes = self.choose(training, centred)
        return training.learn_codes(x, centred, pre, codes)

    def choose(
        self, training: Training, centred: Float32[Tensor, "token d_model"]
    ) -> tuple[Tensor, ActiveCodes]:
        """Pre-activations, and the k largest of each token."""
        if self.selection_dtype == "float32":
            pre = training.pre_activations(centred)
            largest = pre.topk(self.k, dim=1)
            return pre, ActiveCodes.of_rows(largest.indices, largest.values.relu())
        rounded = getattr(torch, self.selection_dtype)
        pre = torch.addmm(
            training.encoder_bias.to(rounded), centred.to(rounded), training.encoder.to(rounded).T
        )
        indices = pre.topk(self.k, dim=1).indices
        codes = ActiveCodes.of_rows(indices, torch.zeros_like(indices, dtype=torch.float32))
        exact = dot_active_rows(centred, training.encoder, codes)
        return pre, codes.with_values((exact + training.encoder_bias[codes.indices]).relu())

    def selection(self, training: Training) -> LargestK:
        """The same k."""
        return LargestK(self.k)
