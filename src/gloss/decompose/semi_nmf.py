"""Semi-nonnegative matrix factorisation (Ding et al., 2010), with sparse features (Shafran et al.,
2025): activations are nonnegative mixtures of directions of either sign.
"""

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
from gloss.models.sparse_codes import Positive

RIDGE = 1e-6  # added to Y'Y, so that it has an inverse
SHARED = 1e-3  # added to the products of directions of norm 1, by which codes shrink
PATIENCE = 100  # iterations without a better fit
BETTER = 1e-6  # of the squared error; what falls by less is no better


@dataclass(frozen=True, slots=True)
class SemiNMF:
    """Directions Z of which the first `tokens` activations A are nonnegative mixtures, A = Y Z with
    Y >= 0: by turns, Z by least squares, its `kept` share of largest numbers in each direction, and
    Y by the multiplicative rule of Ding et al. (2010, IEEE TPAMI 32:45; Shafran et al., 2025, arXiv
    2506.10920).

    Wanted are fewer directions than a vector has numbers: neurons of an MLP (`mlp_act`) as a rule.
    A new vector's codes are those of least squares, as far as they are positive.

        >>> batches = iter(torch.randn(4, 512, 16).relu())
        >>> method = SemiNMF(width=4, kept=0.5, tokens=512, iterations=20)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 4 features of mlp_out.1>
    """

    width: int = 100
    kept: float = 0.01  # of each direction's numbers; the rest are 0
    tokens: int = 16_384
    iterations: int = 500  # at most

    def __post_init__(self) -> None:
        for name in ("width", "tokens", "iterations"):
            require_at_least(1, self, name)
        if not 0 < self.kept <= 1:
            raise BadSettings(f"kept is {self.kept}; give a share above 0, and 1 at most")

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
        if self.width > x.shape[1]:
            raise BadSettings(
                f"width={self.width} directions of vectors of {x.shape[1]} numbers are more than"
                " can be told apart by least squares; give as many or fewer"
            )
        mixtures = torch.from_numpy(rng.random((len(x), self.width), dtype=np.float32))
        best = torch.zeros(self.width, x.shape[1])
        least, since = float("inf"), 0
        for _ in range(self.iterations):
            directions, mixtures = self.improve(x, mixtures)
            error = float((x - mixtures @ directions).square().sum())
            since = 0 if error < least * (1 - BETTER) else since + 1
            if error < least:
                least, best = error, directions
            if since >= PATIENCE:
                break
        return by_least_squares(best, site)

    def improve(
        self, x: Float32[Tensor, "token d"], mixtures: Float32[Tensor, "token feature"]
    ) -> tuple[Tensor, Tensor]:
        """One turn: directions, and then mixtures, whose columns have norm 1 in between."""
        gram = mixtures.T @ mixtures + RIDGE * torch.eye(self.width)
        directions = torch.linalg.solve(gram, mixtures.T @ x)
        number = max(1, round(self.kept * x.shape[1]))
        largest = directions.abs().topk(number, dim=1).indices
        directions = torch.zeros_like(directions).scatter(1, largest, directions.gather(1, largest))
        norms = mixtures.norm(dim=0).clamp_min(1e-12)
        mixtures, directions = mixtures / norms, directions * norms[:, None]
        p, q = x @ directions.T, directions @ directions.T
        raising = p.relu() + mixtures @ (-q).relu()
        lowering = (-p).relu() + mixtures @ q.relu()
        return directions, mixtures * (raising / lowering.clamp_min(1e-12)).sqrt()


def by_least_squares(directions: Float32[Tensor, "feature d"], site: Site) -> SparseCoder:
    """A dictionary of these directions, made of norm 1, whose codes are those of least squares; of
    two that are nearly one, each has half.
    """
    unit = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-12)
    gram = unit.double() @ unit.double().T + SHARED * torch.eye(len(unit), dtype=torch.float64)
    encoder = torch.linalg.solve(gram, unit.double()).float()
    weights = Weights(encoder, torch.zeros(len(unit)), unit, torch.zeros(unit.shape[1]))
    return SparseCoder(site, site, weights, Positive(), subtracts_bias=False)
