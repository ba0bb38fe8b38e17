"""Train a Matryoshka sparse autoencoder (Bussmann et al., 2025): its first features reconstruct by
themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.batch_topk import (
    BY_TOKEN,
    OF_BATCH,
    choose_active,
    require_selection,
    shared_threshold,
)
from gloss.decompose.fit import SparseTrainer
from gloss.decompose.sparse_gradients import decode_active
from gloss.decompose.training import NamedTensors, StepOutcome, Training
from gloss.errors import BadSettings
from gloss.models.sparse_codes import AboveThreshold, LargestK


@dataclass(frozen=True, slots=True)
class Matryoshka(SparseTrainer):
    """Nested dictionaries: the first features, of each share in `nested`, must reconstruct without
    the others, so that general features stay whole beside special ones (Bussmann et al., 2025,
    arXiv 2503.17547).

    `selection_of` is "batch_topk", as in the paper, or "topk", k for each token.

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = Matryoshka(width=32, k=4, tokens=2048, batch=512, nested=(0.25, 1.0))
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    # shares of the width; each group has twice the features of the one before
    nested: tuple[float, ...] = (0.03125, 0.09375, 0.21875, 0.46875, 1.0)
    selection_of: str = OF_BATCH

    def __post_init__(self) -> None:
        SparseTrainer.__post_init__(self)
        ends = self.ends
        if not ends or self.nested[-1] != 1 or ends[0] < 1 or sorted(set(ends)) != ends:
            raise BadSettings(
                f"nested={list(self.nested)} gives the widths {ends} of {self.width} features; give"
                " shares that rise from one feature or more to 1"
            )
        require_selection(self.selection_of)

    @property
    def ends(self) -> list[int]:
        """The width of each of the nested dictionaries."""
        return [round(share * self.width) for share in self.nested]

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """The running threshold, where one for the batch selects."""
        return {}, {"threshold": parameters["bias"].new_zeros(())}

    def learn(self, training: Training, x: Float32[Tensor, "token d_model"]) -> StepOutcome:
        """The mean of the nested dictionaries' losses; the dead learn from the widest's error."""
        centred = x - training.bias
        pre = training.pre_activations(centred)
        codes = choose_active(self.selection_of, training, pre, self.k)
        groups = [
            codes.within(first, end) for first, end in zip((0, *self.ends), self.ends, strict=False)
        ]
        error, errors = -centred, list[Tensor]()
        for group in groups:
            error = error + decode_active(group, training.decoder_directions)
            errors.append(error)
        variance = float((x - x.mean(0)).square().sum())
        of_output, of_bias = x.new_zeros(x.shape), x.new_zeros(x.shape[1])
        for group, left in zip(reversed(groups), reversed(errors), strict=True):
            of_output = of_output + left * (2 / variance / len(groups))
            training.add_gradients(centred, group, of_output)
            of_bias += left.sum(0) * (2 / variance / len(groups))
        training.set_bias_gradient(of_bias)
        training.revive(centred, pre, error, variance)
        means = sum(float(left.square().sum()) for left in errors) / len(groups) / variance
        found = StepOutcome(codes, error, variance)
        return StepOutcome(codes, error, variance, means - found.fvu)

    def selection(self, training: Training) -> AboveThreshold | LargestK:
        """As it was trained; for a batch, its threshold."""
        return LargestK(self.k) if self.selection_of == BY_TOKEN else shared_threshold(training)
