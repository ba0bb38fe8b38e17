"""Controls that learn a part of what `topk` learns, and keep the rest at random (Korznikov et al.,
2026): what they reach is no sign of features that were found.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.topk import TopK
from gloss.decompose.training import NamedTensors, Training
from gloss.errors import BadSettings


@dataclass(frozen=True, slots=True)
class FrozenDecoder(TopK):
    """A TopK autoencoder whose decoder directions stay as they were drawn; the rest is learned
    (Korznikov et al., 2026, arXiv 2602.14111).

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = FrozenDecoder(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    frozen: ClassVar[tuple[str, ...]] = ("decoder_directions",)


@dataclass(frozen=True, slots=True)
class FrozenEncoder(TopK):
    """A TopK autoencoder whose encoder directions stay as they were drawn; decoder and biases are
    learned (Korznikov et al., 2026, arXiv 2602.14111).

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = FrozenEncoder(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    frozen: ClassVar[tuple[str, ...]] = ("encoder",)


@dataclass(frozen=True, slots=True)
class SoftFrozenDecoder(TopK):
    """A TopK autoencoder whose decoder directions stay within the cosine `within` of what they were
    drawn as (Korznikov et al., 2026, arXiv 2602.14111).

        >>> batches = iter(torch.randn(8, 512, 16))
        >>> method = SoftFrozenDecoder(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    within: float = 0.8

    def __post_init__(self) -> None:
        TopK.__post_init__(self)
        if not 0 <= self.within <= 1:
            raise BadSettings(f"within is {self.within}; give a cosine between 0 and 1")

    def own_tensors(
        self, parameters: Mapping[str, Tensor], centred: Float32[Tensor, "token d_model"]
    ) -> tuple[NamedTensors, NamedTensors]:
        """The directions as they were drawn."""
        return {}, {"drawn": parameters["decoder_directions"].clone()}

    def constrain(self, training: Training) -> None:
        """Bring each direction that has gone too far back to the edge."""
        drawn, directions = training.measured["drawn"], training.decoder_directions
        cosines = (drawn * directions).sum(1, keepdim=True)
        across = directions - cosines * drawn
        across /= across.norm(dim=1, keepdim=True).clamp_min(1e-12)
        edge = self.within * drawn + (1 - self.within**2) ** 0.5 * across
        directions.copy_(directions.where(cosines >= self.within, edge))
