"""Train a dictionary for matching pursuit (Costa et al., 2025): features are taken one after the
other, each by what the others have left.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gloss.decompose.fit import SparseTrainer
from gloss.decompose.sparse_gradients import ActiveCodes
from gloss.decompose.training import StepOutcome, Training
from gloss.models.dictionary import Card
from gloss.models.matching_pursuit import MatchingPursuit
from gloss.models.sites import Site


@dataclass(frozen=True, slots=True)
class PursuitTrainer(SparseTrainer):
    """Directions for matching pursuit in `k` steps, trained through all of them (Costa et al.,
    2025, arXiv 2506.03093).

        left = x - b_dec;  k times: j = the direction along which `left` lies furthest,
        code[j] += left · d[j],  left = left - (left · d[j]) d[j]

    There is no encoder: a feature reads along the direction that it writes. A step costs k times
    the product with all directions, where `topk` takes one.

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = PursuitTrainer(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1, by matching pursuit>
    """

    frozen: ClassVar[tuple[str, ...]] = ("encoder", "encoder_bias")  # which nothing reads

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """Pursue each token, and go back through the steps; the loss is what is left in the end."""
        directions, left = training.decoder_directions, x - training.bias
        steps: list[tuple[Tensor, Tensor]] = []
        for _ in range(self.k):
            values, chosen = (left @ directions.T).max(dim=1)
            values = values.relu()
            left = left - values[:, None] * directions[chosen]
            steps.append((values, chosen))
        error, variance = -left, float((x - x.mean(0)).square().sum())
        of_left, of_directions = left * (2 / variance), training.gradient("decoder_directions")
        after = left
        for values, chosen in reversed(steps):
            rows = directions[chosen]
            before = after + values[:, None] * rows
            of_values = -(of_left * rows).sum(1) * (values > 0)
            add_rows(of_directions, chosen, of_values[:, None] * before - values[:, None] * of_left)
            of_left = of_left + of_values[:, None] * rows
            after = before
        training.gradient("bias").copy_(-of_left.sum(0))
        training.revive(left, left @ directions.T, error, variance)
        if (of_reading := training.encoder.grad) is not None:  # the dead read as they write
            of_directions += of_reading
        codes = ActiveCodes.of_rows(
            torch.stack([chosen for _, chosen in steps], dim=1),
            torch.stack([values for values, _ in steps], dim=1),
        )
        return StepOutcome(codes, error, variance)

    def made(self, training: Training, site: Site, card: Card) -> MatchingPursuit:
        """The directions, pursued as in training: so many steps, whatever is left."""
        directions, bias = training.decoder_directions.clone(), training.bias / training.scale
        return MatchingPursuit(site, directions, bias, self.k, 0.0, False, card)


def add_rows(
    sums: Float32[Tensor, "feature d_model"],
    rows: Int64[Tensor, " token"],
    vectors: Float32[Tensor, "token d_model"],
) -> None:
    """Add each vector to the sum of its row, in the same order every time."""
    if vectors.is_cuda:
        sums.index_put_((rows,), vectors, accumulate=True)
    else:
        sums.index_add_(0, rows, vectors)
