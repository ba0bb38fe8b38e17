"""A hyperdimensional probe: a network that turns a vector into a hypervector, and codebooks of
roles and fillers by which the hypervector says what fills each role.
"""

from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.models.dictionary import Card, require_length, sum_decoder_directions
from gloss.models.sites import Site
from gloss.models.sparse_codes import Codes

FILLED = 0.5  # from what share of the cosine of a perfect hypervector on a role counts as filled


@dataclass(frozen=True, slots=True)
class HypervectorEncoder:
    """Two layers, from vectors to hypervectors.

    e = gelu((x - centre) / scale @ first.T + first_bias) @ second.T + second_bias
    """

    centre: Float32[Tensor, " d"]
    scale: Float32[Tensor, ""]
    first: Float32[Tensor, "hidden d"]
    first_bias: Float32[Tensor, " hidden"]
    second: Float32[Tensor, "dimension hidden"]
    second_bias: Float32[Tensor, " dimension"]

    def __call__(self, x: Float[Tensor, "token d"]) -> Float32[Tensor, "token dimension"]:
        """The hypervector of each vector."""
        given = (x.to(self.centre.dtype) - self.centre) / self.scale
        hidden = torch.addmm(self.first_bias, given, self.first.T)
        return torch.addmm(self.second_bias, torch.nn.functional.gelu(hidden), self.second.T)

    def to(self, device: torch.device | str) -> "HypervectorEncoder":
        """The same on another device."""
        return HypervectorEncoder(*(getattr(self, each.name).to(device) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Codebook:
    """A name, and a hypervector of -1 and 1, for each role and each filler.

    Roles are unbound by multiplication: what is bound to a role comes out, and all else becomes
    noise.
    """

    role_names: tuple[str, ...]
    filler_names: tuple[str, ...]
    roles: Float32[Tensor, "role dimension"]
    fillers: Float32[Tensor, "filler dimension"]

    def similarities(
        self, hypervectors: Float32[Tensor, "token dimension"]
    ) -> Float32[Tensor, "token role filler"]:
        """The cosine of what each role unbinds with each filler, 1 for a perfect bundle of one
        filler a role.
        """
        unit = torch.nn.functional.normalize(hypervectors, dim=1)
        perfect = (self.fillers.shape[1] / len(self.roles)) ** 0.5
        unbound = unit[:, None] * self.roles
        return unbound @ self.fillers.T / perfect

    def to(self, device: torch.device | str) -> "Codebook":
        """The same on another device."""
        return replace(self, roles=self.roles.to(device), fillers=self.fillers.to(device))


@dataclass(frozen=True, slots=True, repr=False)
class HyperdimensionalProbe:
    """A dictionary whose feature `role * fillers + filler` says that this filler is in this role
    (Bronzini et al., 2025).

    Of each role the likest filler is active, with its cosine as a share of a perfect one, where
    that is above 1/2. Decoder directions are what a filler in a role adds to vectors on average.
    """

    site: Site
    encoder_network: HypervectorEncoder
    codebook: Codebook
    decoder_directions: Float32[Tensor, "feature d"]
    bias: Float32[Tensor, " d"]
    card: Card = field(default_factory=Card)

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
        """The number of features: roles times fillers."""
        return len(self.decoder_directions)

    @property
    def d_in(self) -> int:
        """The length of the vectors that it reads."""
        return self.decoder_directions.shape[1]

    def encode(self, x: Float[Tensor, "token d"]) -> Codes:
        """What fills each role. Raises Mismatch for vectors of another length."""
        require_length(x, self.d_in, self.reads)
        likest = self.codebook.similarities(self.encoder_network(x)).max(dim=2)
        first = torch.arange(len(self.codebook.roles), device=x.device) * len(self.codebook.fillers)
        return Codes(likest.indices + first, likest.values * (likest.values > FILLED))

    def decode(self, codes: Codes) -> Float32[Tensor, "token d"]:
        """The vectors that such fillers have on average."""
        return sum_decoder_directions(codes, self.decoder_directions) + self.bias

    def reconstruct(self, x: Float[Tensor, "token d"]) -> Float32[Tensor, "token d"]:
        """What the dictionary makes of the input."""
        return self.decode(self.encode(x))

    def to(self, device: torch.device | str) -> "HyperdimensionalProbe":
        """The same on another device."""
        return replace(
            self,
            encoder_network=self.encoder_network.to(device),
            codebook=self.codebook.to(device),
            decoder_directions=self.decoder_directions.to(device),
            bias=self.bias.to(device),
        )

    def __repr__(self) -> str:
        roles, fillers = len(self.codebook.roles), len(self.codebook.fillers)
        return f"<dictionary: {roles} roles of {fillers} fillers at {self.site}, by hypervectors>"
