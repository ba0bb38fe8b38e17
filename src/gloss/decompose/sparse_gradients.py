"""Codes of a batch without gaps, and the products that touch active features alone: decoding, and
the gradients of decoder and encoder directions.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag


@dataclass(frozen=True, slots=True)
class ActiveCodes:
    """The active features of a batch's tokens, token after token."""

    indices: Int64[Tensor, " slot"]  # features
    values: Float[Tensor, " slot"]
    starts: Int64[Tensor, " token"]  # each token's first slot
    tokens: Int64[Tensor, " slot"]

    @staticmethod
    def of_rows(
        indices: Int64[Tensor, "token active"], values: Float[Tensor, "token active"]
    ) -> "ActiveCodes":
        """Codes with as many slots for each token."""
        tokens, active = indices.shape
        numbers = torch.arange(tokens, device=indices.device)
        return ActiveCodes(
            indices.flatten(),
            values.flatten(),
            numbers * active,
            numbers.repeat_interleave(active),
        )

    @staticmethod
    def where(
        pre: Float[Tensor, "token feature"], active: Bool[Tensor, "token feature"]
    ) -> "ActiveCodes":
        """The pre-activations at these places."""
        tokens, indices = active.nonzero(as_tuple=True)
        return ActiveCodes.of_slots(tokens, indices, pre[tokens, indices], len(pre))

    @staticmethod
    def of_slots(
        tokens: Int64[Tensor, " slot"],
        indices: Int64[Tensor, " slot"],
        values: Float[Tensor, " slot"],
        number: int,
    ) -> "ActiveCodes":
        """Slots that come token after token, of so many tokens."""
        counts = torch.bincount(tokens, minlength=number)
        return ActiveCodes(indices, values, counts.cumsum(0) - counts, tokens)

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self.starts)

    @property
    def l0(self) -> float:
        """Active features a token, on average."""
        return int((self.values > 0).sum()) / max(1, len(self))

    def within(self, first: int, last: int) -> "ActiveCodes":
        """The codes of the features from `first` up to `last`."""
        chosen = (self.indices >= first) & (self.indices < last)
        parts = (self.tokens, self.indices, self.values)
        return ActiveCodes.of_slots(*(part[chosen] for part in parts), number=len(self))

    def with_values(self, values: Float[Tensor, " slot"]) -> "ActiveCodes":
        """The same features with other values."""
        return replace(self, values=values)


@dataclass(frozen=True, slots=True)
class CodesByFeature:
    """A batch of codes turned round: for each feature, the slots that it is active in, feature
    after feature.
    """

    slots: Int64[Tensor, " slot"]
    tokens: Int64[Tensor, " slot"]
    starts: Int64[Tensor, " feature"]

    @staticmethod
    def of(codes: ActiveCodes, width: int) -> "CodesByFeature":
        """Sort the slots by feature."""
        if codes.indices.is_cuda:
            slots = codes.indices.argsort(stable=True)
        else:  # 16-bit keys sort by radix
            small = codes.indices.numpy().astype(np.uint16 if width <= 2**16 else np.int64)
            slots = torch.from_numpy(np.argsort(small, kind="stable"))
        counts = torch.bincount(codes.indices, minlength=width)
        return CodesByFeature(slots, codes.tokens[slots], counts.cumsum(0) - counts)

    def within(self, first: int, number: int) -> "CodesByFeature":
        """Those of so many features, from the first on."""
        ends = (*self.starts[first : first + number + 1].tolist(), len(self.slots))
        chosen = slice(ends[0], ends[number])
        starts = self.starts[first : first + number] - ends[0]
        return CodesByFeature(self.slots[chosen], self.tokens[chosen], starts)

    def gather(
        self, weights: Float[Tensor, " slot"], vectors: Float[Tensor, "token d_model"]
    ) -> Float[Tensor, "feature d_model"]:
        """Each feature's sum of its tokens' vectors, weighted: the transpose of decoding."""
        chosen = weights[self.slots]
        return embedding_bag(
            self.tokens, vectors, offsets=self.starts, per_sample_weights=chosen, mode="sum"
        )

    def add_to(self, sums: Float[Tensor, " feature"], weights: Float[Tensor, " slot"]) -> None:
        """Add each feature's weights, in the same order every time, which an accelerator's own
        addition does not keep.
        """
        number = int(self.tokens.max()) + 1 if len(self.tokens) else 1
        sums += self.gather(weights, weights.new_ones(number, 1))[:, 0]


def add_by_feature(
    sums: Float[Tensor, " feature"],
    codes: ActiveCodes,
    weights: Float[Tensor, " slot"],
    by_feature: CodesByFeature | None = None,
) -> None:
    """Add each slot's weight to the sum of its feature."""
    if weights.is_cuda:
        (by_feature or CodesByFeature.of(codes, len(sums))).add_to(sums, weights)
    else:
        sums.index_add_(0, codes.indices, weights)


def decode_active(
    codes: ActiveCodes, decoder_directions: Float[Tensor, "feature d_model"]
) -> Float[Tensor, "token d_model"]:
    """Each token's sum of its features' decoder directions."""
    return embedding_bag(
        codes.indices,
        decoder_directions,
        offsets=codes.starts,
        per_sample_weights=codes.values,
        mode="sum",
    )


def dot_active_rows(
    vectors: Float[Tensor, "token d_model"],
    rows: Float[Tensor, "feature d_model"],
    codes: ActiveCodes,
) -> Float[Tensor, " slot"]:
    """Each token's inner product with its active features' rows, without gathering the rows."""
    backward = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return backward(vectors, rows, codes.indices, codes.starts, codes.tokens, 0)
