"""Matching pursuit: features are taken one after the other, each the one that explains most of what
the others have left.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.errors import BadSettings
from gloss.models.dictionary import (
    Card,
    concatenate_codes,
    require_length,
    split_for_encoding,
    sum_decoder_directions,
)
from gloss.models.sites import Site
from gloss.models.sparse_codes import Codes, packed_codes


@dataclass(frozen=True, slots=True, repr=False)
class MatchingPursuit:
    """A dictionary whose features read along the directions that they write, each what is left by
    those before it (Costa et al., 2025).

    A token is done after `most` features, when less than the length `enough` is left of it, or,
    with `stops_at_repeat`, when the next feature is one that it has already; a feature that is
    taken twice has the sum of both. Raises BadSettings where no feature can be taken.

        >>> site = Site("mlp_out", 1)
        >>> pursuit = MatchingPursuit(site, torch.eye(4), torch.zeros(4), most=2, enough=0.0)
        >>> pursuit.encode(torch.tensor([[1.0, 0.0, 3.0, 2.0]])).dense(4).tolist()
        [[0.0, 0.0, 3.0, 2.0]]
    """

    site: Site
    decoder_directions: Float32[Tensor, "feature d"]
    bias: Float32[Tensor, " d"]  # taken from each vector, and added to its reconstruction
    most: int
    enough: float = 1e-2
    stops_at_repeat: bool = True
    card: Card = field(default_factory=Card)

    def __post_init__(self) -> None:
        if self.most < 1 or self.enough < 0:
            raise BadSettings(
                f"matching pursuit of at most {self.most} features, down to a rest of"
                f" {self.enough:g}, takes none; give 1 or more, and a rest of 0 or more"
            )

    @property
    def reads(self) -> Site:
        """The site whose vectors are encoded."""
        return self.site

    @property
    def writes(self) -> Site:
        """The same site."""
        return self.site

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.decoder_directions)

    @property
    def d_in(self) -> int:
        """The length of the vectors that it reads."""
        return self.decoder_directions.shape[1]

    @property
    def encoder(self) -> Float32[Tensor, "feature d"]:
        """The direction along which each feature reads what is left: the one that it writes."""
        return self.decoder_directions

    def encode(self, x: Float[Tensor, "token d"]) -> Codes:
        """The active features of each token. Raises Mismatch for vectors of another length."""
        require_length(x, self.d_in, self.reads)
        parts = split_for_encoding(x.to(self.bias.dtype), self.width)
        return concatenate_codes([self._pursue(part - self.bias) for part in parts])

    def decode(self, codes: Codes) -> Float32[Tensor, "token d"]:
        """The vectors that the codes stand for."""
        return sum_decoder_directions(codes, self.decoder_directions) + self.bias

    def reconstruct(self, x: Float[Tensor, "token d"]) -> Float32[Tensor, "token d"]:
        """What the dictionary makes of the input."""
        return self.decode(self.encode(x))

    def to(self, device: torch.device | str) -> "MatchingPursuit":
        """The same on another device."""
        directions, bias = self.decoder_directions.to(device), self.bias.to(device)
        return replace(self, decoder_directions=directions, bias=bias)

    def __repr__(self) -> str:
        return f"<dictionary: {self.width:,} features of {self.site}, by matching pursuit>"

    def _pursue(self, left: Float32[Tensor, "token d"]) -> Codes:
        found = left.new_zeros(len(left), self.width)
        going = torch.arange(len(left), device=left.device)
        for _ in range(self.most):
            rest = left[going]
            chosen = (rest @ self.decoder_directions.T).argmax(dim=1)
            directions = self.decoder_directions[chosen]
            values = (rest * directions).sum(dim=1).relu()
            before = found[going, chosen]
            found[going, chosen] = before + values
            left[going] = rest - values[:, None] * directions
            goes_on = torch.ones_like(values, dtype=torch.bool)
            if self.stops_at_repeat:
                goes_on &= (before == 0) & (values != 0)
            if self.enough > 0:
                goes_on &= left[going].norm(dim=1) >= self.enough
            going = going[goes_on]
            if not len(going):
                break
        return packed_codes(found, found != 0)
