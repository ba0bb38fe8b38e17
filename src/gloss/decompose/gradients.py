"""Decoding and gradients of sparse codes that touch active features alone; the encoder's matrix product is the floor."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag


@dataclass(frozen=True, slots=True)
class CodesByFeature:
    """A batch of codes turned round: for each feature, the slots that it is active in, feature after feature."""

    slots: Int64[Tensor, " slot"]  # token * active + place
    tokens: Int64[Tensor, " slot"]
    starts: Int64[Tensor, " feature"]

    @staticmethod
    def of(indices: Int64[Tensor, "token active"], width: int) -> "CodesByFeature":
        """Sort the slots by feature."""
        flat = indices.flatten()
        small = flat.numpy().astype(np.uint16 if width <= 2**16 else np.int64)  # 16-bit keys sort by radix
        slots = torch.from_numpy(np.argsort(small, kind="stable"))
        counts = torch.bincount(flat, minlength=width)
        return CodesByFeature(slots, slots // indices.shape[1], counts.cumsum(0) - counts)

    def gather(
        self, weights: Float[Tensor, "token active"], vectors: Float[Tensor, "token d_model"]
    ) -> Float[Tensor, "feature d_model"]:
        """Each feature's sum of its tokens' vectors, weighted: the transpose of decoding."""
        chosen = weights.flatten()[self.slots]
        return embedding_bag(self.tokens, vectors, offsets=self.starts, per_sample_weights=chosen, mode="sum")


def decoded(
    indices: Int64[Tensor, "token active"], values: Float[Tensor, "token active"], atoms: Float[Tensor, "feature d_model"]
) -> Float[Tensor, "token d_model"]:
    """Each token's sum of its features' atoms."""
    return embedding_bag(indices, atoms, per_sample_weights=values, mode="sum")


def dots(
    vectors: Float[Tensor, "token d_model"], rows: Float[Tensor, "feature d_model"], indices: Int64[Tensor, "token active"]
) -> Float[Tensor, "token active"]:
    """Each token's inner product with its active features' rows, without gathering the rows."""
    tokens, active = indices.shape
    offsets = torch.arange(0, tokens * active, active)
    token_of_slot = torch.arange(tokens).repeat_interleave(active)
    backward = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return backward(vectors, rows, indices.flatten(), offsets, token_of_slot, 0).view(tokens, active)
