"""Principal components: the directions along which activations vary most."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.decompose.fit import take_sample
from gloss.errors import BadSettings, require_at_least
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.model_settings import MASSIVE_MULTIPLE
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK, Positive, Selection


@dataclass(frozen=True, slots=True)
class PrincipalComponents:
    """Two features for each of the first `components`: 2j is how far a vector lies from the mean
    along the j-th, 2j + 1 how far along its opposite.

    `keep` leaves each token its so many strongest; 0 leaves all.

        >>> batches = iter(torch.randn(4, 512, 16))
        >>> drawn = PrincipalComponents(components=8, tokens=2048)
        >>> drawn.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 16 features of mlp_out.1>
    """

    components: int = 64
    keep: int = 0
    tokens: int = 16_384  # of which they are taken

    def __post_init__(self) -> None:
        require_at_least(1, self, "components")
        require_at_least(2, self, "tokens")
        if self.keep > self.components:
            raise BadSettings(
                f"keep={self.keep} of components={self.components} cannot be active; a vector lies"
                " on one side of each"
            )

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_model"]],
        site: Site,
        rng: np.random.Generator,
        progress: object = None,
        massive: float = MASSIVE_MULTIPLE,
    ) -> SparseCoder:
        """Of the first activations, without massive ones. Raises BadInput where there are none."""
        x = take_sample(batches, self.tokens, site, massive)
        if self.components > x.shape[1]:
            raise BadSettings(
                f"components={self.components} of vectors of {x.shape[1]} numbers; give as many or"
                " fewer"
            )
        mean = x.mean(0)
        axes = principal_axes(x - mean)[: self.components]
        both = torch.stack([axes, -axes], dim=1).flatten(0, 1)
        selection: Selection = LargestK(self.keep) if self.keep else Positive()
        weights = Weights(both, torch.zeros(len(both)), both, mean)
        return SparseCoder(site, site, weights, selection)


def principal_axes(centred: Float32[Tensor, "token d"]) -> Float32[Tensor, "d d"]:
    """Unit directions, those of most variance first, each with its largest number positive."""
    spread = centred.double().T @ centred.double()
    axes = torch.linalg.eigh(spread).eigenvectors.T.flip(0)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return (axes * largest.sign()).float().contiguous()
