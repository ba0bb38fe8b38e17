"""Dictionaries of several sites: crosscoders (Lindsey et al., 2024), whose features read and write
all of them, and cross-layer transcoders (Ameisen et al., 2025), whose features read one layer and
write that one and the later ones.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.errors import BadInput, Mismatch
from gloss.models.dictionary import (
    Card,
    Weights,
    concatenate_codes,
    require_length,
    split_for_encoding,
    sum_decoder_directions,
)
from gloss.models.sites import Site, parts_of
from gloss.models.sparse_codes import Codes, Selection


@dataclass(frozen=True, slots=True, repr=False)
class JointCoder:
    """A crosscoder, or a cross-layer transcoder where its features read `by_site`.

        pre  = sum over sites of x_s @ W_enc_s + b_enc     (by_site: of a feature's own site alone)
        y_s  = codes @ W_dec_s + b_dec_s

    The vectors of several sites lie side by side, in `reads`, in `writes`, and in the encoder's and
    the decoder's rows. By site, features come in equal blocks, one for each site that is read, and
    a row of the encoder has the length of one site's vectors. `widths` are the lengths of the
    vectors at each site that is written, `scales` what makes the sites comparable there: by what
    training multiplied their vectors. Raises Mismatch where these do not fit together.

        >>> from gloss.models.sparse_codes import Positive
        >>> sites = model.site("resid_post.0+resid_post.1")
        >>> weights = Weights(torch.eye(8), torch.zeros(8), torch.eye(8), torch.zeros(8))
        >>> coder = JointCoder(sites, sites, weights, Positive(), (4, 4), (1.0, 1.0))
        >>> coder
        <dictionary: 8 features of resid_post.0+resid_post.1>
        >>> coder.site_shares[0].tolist()
        [1.0, 0.0]
    """

    reads: Site
    writes: Site
    weights: Weights
    selection: Selection
    widths: tuple[int, ...]
    scales: tuple[float, ...]
    by_site: bool = False
    card: Card = field(default_factory=Card)

    def __post_init__(self) -> None:
        sites, blocks = parts_of(self.writes), len(parts_of(self.reads))
        if len(self.widths) != len(sites) or len(self.scales) != len(sites):
            raise Mismatch(
                f"a dictionary that writes {self.writes} was given {len(self.widths)} widths and"
                f" {len(self.scales)} scales; give one for each of {len(sites)} sites"
            )
        if sum(self.widths) != self.d_out:
            raise Mismatch(
                f"decoder directions of {self.d_out} numbers are not those of sites of"
                f" {' + '.join(map(str, self.widths))}; give the length of each site's vectors"
            )
        if self.by_site and self.width % blocks:
            raise Mismatch(
                f"{self.width} features are not as many of each of {blocks} sites; give a width"
                f" that {blocks} divides"
            )

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.weights.encoder)

    @property
    def d_in(self) -> int:
        """The length of the vectors that it reads, of all sites together."""
        return self.weights.encoder.shape[1] * (len(parts_of(self.reads)) if self.by_site else 1)

    @property
    def d_out(self) -> int:
        """The length of the vectors that it writes, of all sites together."""
        return self.weights.decoder_directions.shape[1]

    @property
    def decoder_directions(self) -> Float32[Tensor, "feature d_out"]:
        """What each feature adds to the reconstruction of all sites, for one unit of activation."""
        return self.weights.decoder_directions

    @property
    def encoder(self) -> Float[Tensor, "feature d_in"] | None:
        """The direction along which each feature reads all sites; None where features read by site,
        whose directions cannot be compared.
        """
        return None if self.by_site else self.weights.encoder

    @property
    def whole_encoder(self) -> Float32[Tensor, "feature d_in"]:
        """The direction along which each feature reads all sites: 0 at those that it does not read,
        where features read by site. As long as all sites' vectors together.
        """
        if not self.by_site:
            return self.weights.encoder
        return torch.block_diag(*self.weights.encoder.chunk(len(parts_of(self.reads))))

    @property
    def written_scale(self) -> Float32[Tensor, " d_out"]:
        """By what each number that is written is multiplied, where sites are compared."""
        bias = self.weights.bias
        each = [bias.new_full((n,), by) for n, by in zip(self.widths, self.scales, strict=True)]
        return torch.cat(each)

    @property
    def site_shares(self) -> Float32[Tensor, "feature site"]:
        """How much of each feature belongs to each site that it writes: the norm of its decoder
        direction there, in that site's scale, over the sum of all sites' (Lindsey et al., 2024).

        Rows sum to 1, or are 0 where a feature writes nothing.
        """
        scaled = self.weights.decoder_directions * self.written_scale
        norms = torch.stack([part.norm(dim=1) for part in scaled.split(self.widths, dim=1)], dim=1)
        return norms / norms.sum(1, keepdim=True).clamp_min(1e-30)

    def at(self, site: Site) -> "JointCoder":
        """The same features, as far as they write one of the sites.

        Raises BadInput for one that it does not write.
        """
        sites = parts_of(self.writes)
        if site not in sites:
            raise BadInput(
                f"the dictionary does not write {site}, only {', '.join(map(str, sites))}; name"
                " one of these"
            )
        place = sites.index(site)
        w = self.weights
        directions = w.decoder_directions.split(self.widths, dim=1)[place].contiguous()
        weights = Weights(w.encoder, w.encoder_bias, directions, w.bias.split(self.widths)[place])
        return replace(
            self,
            writes=site,
            weights=weights,
            widths=(self.widths[place],),
            scales=(self.scales[place],),
            card=replace(self.card, fvu=None, fvu_normal=None, cross_entropy_recovered=None),
        )

    def encode(self, x: Float[Tensor, "token d_in"]) -> Codes:
        """The active features of each token. Raises Mismatch for vectors of another length."""
        require_length(x, self.d_in, self.reads)
        w = self.weights
        parts = [
            self.selection.select(
                read_in_blocks(part.to(w.encoder.dtype), w.encoder, w.encoder_bias)
            )
            for part in split_for_encoding(x, self.width)
        ]
        return concatenate_codes(parts)

    def decode(self, codes: Codes) -> Float32[Tensor, "token d_out"]:
        """The vectors of all sites that the codes stand for, side by side."""
        return sum_decoder_directions(codes, self.weights.decoder_directions) + self.weights.bias

    def reconstruct(self, x: Float[Tensor, "token d_in"]) -> Float32[Tensor, "token d_out"]:
        """What the dictionary makes of the input, at all sites that it writes."""
        return self.decode(self.encode(x))

    def to(self, device: torch.device | str) -> "JointCoder":
        """The same on another device."""
        w = self.weights
        tensors = (w.encoder, w.encoder_bias, w.decoder_directions, w.bias)
        moved = Weights(*(tensor.to(device) for tensor in tensors))
        return replace(self, weights=moved, selection=self.selection.to(device))

    def __repr__(self) -> str:
        where = f"{self.reads}" if self.reads == self.writes else f"{self.reads} to {self.writes}"
        return f"<dictionary: {self.width:,} features of {where}>"


def read_in_blocks(
    x: Float[Tensor, "token d_in"],
    encoder: Float[Tensor, "feature d_block"],
    bias: Float[Tensor, " feature"],
) -> Float[Tensor, "token feature"]:
    """Pre-activations, where features in equal blocks read an equal part of the input each: as many
    blocks as a row of the encoder fits into the input.
    """
    blocks = x.shape[1] // encoder.shape[1]
    if blocks == 1:
        return torch.addmm(bias, x, encoder.T)
    found = torch.baddbmm(
        bias.unflatten(0, (blocks, 1, -1)),
        x.unflatten(1, (blocks, -1)).transpose(0, 1),
        encoder.unflatten(0, (blocks, -1)).mT,
    )
    return found.transpose(0, 1).flatten(1)
