"""Train with SAELens: its TopK autoencoder and its trainer, step by step."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.fit import FALL, RISE
from gloss.decompose.foreign_training import (
    ForeignTrainer,
    ForeignTraining,
    as_bytes,
    of_bytes,
    step_outcome,
)
from gloss.decompose.training import StepOutcome
from gloss.models.dictionary import Weights


@dataclass(slots=True)
class SaeLensTraining(ForeignTraining):
    """SAELens' trainer, which is given one batch after the other."""

    trainer: Any = None

    def learn(self, x: Float32[Tensor, "token d_model"], rate_share: float) -> StepOutcome:
        """Its step, with its course of the learning rate."""
        found = self.trainer.step(x)
        self.trainer.n_training_steps += 1
        acts = found.feature_acts.detach()
        largest = (acts.to_dense() if acts.is_sparse else acts).topk(self.coder.cfg.k, dim=1)
        return step_outcome(largest.values, largest.indices, found.sae_out, x)

    def state_besides(self) -> Tensor:
        """The files that it keeps of a trainer."""
        with tempfile.TemporaryDirectory() as folder:
            self.trainer.save_trainer_state(Path(folder))
            files = {each.name: each.read_bytes() for each in Path(folder).iterdir()}
        return as_bytes(
            {
                name: torch.frombuffer(bytearray(held), dtype=torch.uint8)
                for name, held in files.items()
            }
        )

    def restore_library(self, kept: Tensor) -> None:
        """From the same files."""
        with tempfile.TemporaryDirectory() as folder:
            for name, held in of_bytes(kept).items():
                (Path(folder) / name).write_bytes(held.numpy().tobytes())
            self.trainer.load_trainer_state(Path(folder))

    def learned(self) -> Weights:
        """Its weights, with the norms of decoder directions in the encoder."""
        coder = self.coder
        coder.fold_W_dec_norm()
        return Weights(coder.W_enc.T, coder.b_enc, coder.W_dec, coder.b_dec)


@dataclass(frozen=True, slots=True)
class SaeLensTrainer(ForeignTrainer):
    """A TopK autoencoder trained by SAELens: its coder and its trainer, on the activations that
    gloss feeds.

    The learning rate rises and falls by its own scheduler over the shares of the training that
    gloss' methods have. Dead features learn by its auxiliary loss, half of d_model of them;
    `auxiliary_k = 0` turns it off. Raises BadSettings where the library is not installed.
    """

    package: ClassVar[str] = "sae_lens"
    extra: ClassVar[str] = "sae-lens"

    learning_rate: float = 3e-4

    def begin_with_library(
        self, centre: Float32[Tensor, " d_model"], scale: float
    ) -> SaeLensTraining:
        """Its coder and its trainer."""
        from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
        from sae_lens.config import SAETrainerConfig

        device, steps = str(centre.device), self.tokens // self.batch
        coder = TopKTrainingSAE(
            TopKTrainingSAEConfig(
                d_in=len(centre),
                d_sae=self.width,
                k=self.k,
                device=device,
                apply_b_dec_to_input=True,
                aux_loss_coefficient=float(self.auxiliary_k > 0),
            )
        )
        coder.b_dec.data = centre.clone()
        asked = SAETrainerConfig(
            total_training_samples=self.tokens,
            train_batch_size_samples=self.batch,
            lr=self.learning_rate,
            lr_end=0.0,
            lr_warm_up_steps=int(RISE * steps),
            lr_decay_steps=int(FALL * steps),
            dead_feature_window=max(1, self.dead_after_tokens // self.batch),
            device=device,
        )
        trainer = SAETrainer(asked, coder, iter(()))
        inactive = torch.zeros(self.width, dtype=torch.int64, device=centre.device)
        made = (self, scale, {}, {}, trainer.optimizer, inactive)
        return SaeLensTraining(*made, coder=coder, trainer=trainer)
