"""Train with EleutherAI's sparsify: its TopK coder, its loss, and its optimizer."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.foreign_training import ForeignTrainer, ForeignTraining, step_outcome
from gloss.decompose.training import AUXILIARY_WEIGHT, StepOutcome
from gloss.models.dictionary import Weights

AT_WIDTH = 2**14  # at which its learning rate is as stated; it falls by the root of the width


@dataclass(slots=True)
class SparsifyTraining(ForeignTraining):
    """A SparseCoder of sparsify, and sign descent that needs no course of the learning rate."""

    def learn(self, x: Float32[Tensor, "token d_model"], rate_share: float) -> StepOutcome:
        """A step as its trainer makes it."""
        coder, optimizer = self.coder, self.optimizer
        coder.set_decoder_norm_to_unit_norm()
        revives = self.method.auxiliary_k > 0
        dead = self.inactive_tokens > self.method.dead_after_tokens if revives else None
        found = coder(x, dead_mask=dead)
        (found.fvu + AUXILIARY_WEIGHT * found.auxk_loss).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        return step_outcome(found.latent_acts, found.latent_indices, found.sae_out, x)

    def learned(self) -> Weights:
        """The mean of the iterates, as its optimizer keeps it."""
        self.optimizer.eval()
        self.coder.set_decoder_norm_to_unit_norm()
        coder = self.coder
        return Weights(coder.encoder.weight, coder.encoder.bias, coder.W_dec, coder.b_dec)


@dataclass(frozen=True, slots=True)
class SparsifyTrainer(ForeignTrainer):
    """A TopK autoencoder trained by sparsify (EleutherAI): its coder, its loss and its optimizer,
    schedule-free sign descent, on the activations that gloss feeds.

    `learning_rate` is that at a width of 16,384, and falls by the root of the width, as there. Dead
    features learn by its auxiliary loss, half of d_model of them; `auxiliary_k = 0` turns it off.
    Raises BadSettings where the library is not installed.
    """

    package: ClassVar[str] = "sparsify"
    extra: ClassVar[str] = "sparsify"

    def begin_with_library(
        self, centre: Float32[Tensor, " d_model"], scale: float
    ) -> SparsifyTraining:
        """Its coder and its optimizer."""
        from schedulefree import ScheduleFreeWrapper
        from sparsify import SparseCoder, SparseCoderConfig
        from sparsify.sign_sgd import SignSGD

        configuration = SparseCoderConfig(num_latents=self.width, k=self.k)
        coder = SparseCoder(len(centre), configuration, device=centre.device, dtype=torch.float32)
        coder.b_dec.data = centre.clone()
        rate = self.learning_rate / (self.width / AT_WIDTH) ** 0.5
        optimizer = ScheduleFreeWrapper(SignSGD(coder.parameters(), lr=rate), momentum=0.95)
        optimizer.train()
        inactive = torch.zeros(self.width, dtype=torch.int64, device=centre.device)
        return SparsifyTraining(self, scale, {}, {}, optimizer, inactive, coder=coder)
