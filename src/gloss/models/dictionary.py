"""Dictionaries of features: what encodes a vector inside the subject as sparse codes and decodes
codes into a vector.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.functional import embedding_bag

from gloss.errors import Mismatch
from gloss.models.sites import Site
from gloss.models.sparse_codes import Codes, Selection

ENCODED_AT_ONCE = 2**24  # pre-activations that are held at a time, in the memory of a processor
SHARE_OF_DEVICE = 16  # of an accelerator's memory, that they take
BLOCK = 2**16  # features of a wide dictionary that are looked at together


@runtime_checkable
class Dictionary(Protocol):
    """Any set of features of one site: a sparse autoencoder, a transcoder, neurons, probes,
    directions.

    What has these attributes may be used wherever gloss takes a dictionary.

        >>> isinstance(dictionary, Dictionary)
        True
    """

    @property
    def reads(self) -> Site:
        """The site whose vectors are encoded."""
        ...

    @property
    def writes(self) -> Site:
        """The site whose vectors are reconstructed: the same as `reads`, or another for a
        transcoder.
        """
        ...

    @property
    def width(self) -> int:
        """The number of features."""
        ...

    @property
    def decoder_directions(self) -> Float[Tensor, "feature d_out"]:
        """What each feature adds to the reconstruction for one unit of activation.

        Shape: (feature, d_out).
        """
        ...

    def encode(self, x: Float[Tensor, "token d_in"]) -> Codes:
        """The active features of each token. Raises Mismatch for vectors of another length."""
        ...

    def decode(self, codes: Codes) -> Float[Tensor, "token d_out"]:
        """The vectors that the codes stand for: their features' directions, weighted and summed."""
        ...

    def reconstruct(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_out"]:
        """What the dictionary makes of the input: decoded codes, in the input's scale, with what
        goes round the features.
        """
        ...


def encoder_of(dictionary: Dictionary) -> Float[Tensor, "feature d_in"] | None:
    """The direction along which each feature reads, where a dictionary has such as a tensor.

    A torch module may well have an `encoder` that is a layer, which says nothing of directions.
    """
    found = getattr(dictionary, "encoder", None)
    return found if isinstance(found, Tensor) else None


@runtime_checkable
class Scaled(Protocol):
    """A dictionary whose decoder directions may count more at one token than at another."""

    def output_scale(self, x: Float[Tensor, "token d_in"]) -> Float32[Tensor, "token 1"]:
        """By what each token's decoded vector is multiplied in the reconstruction."""
        ...


class Normalisation(StrEnum):
    """What is done to each input vector before it is encoded, by the names of SAELens."""

    NONE = "none"
    LAYER_NORM = "layer_norm"  # minus its mean, over its standard deviation
    CONSTANT_NORM = "constant_norm_rescale"  # scaled to the norm sqrt(d_in)


@dataclass(frozen=True, slots=True)
class Card:
    """What the dictionary's makers measured; None where it was not.

    `gloss check` compares with it.
    """

    fvu: float | None = None
    fvu_normal: float | None = None  # of tokens that are not massive
    massive_share: float | None = None  # of tokens that are
    median_length: float | None = None  # of the vectors that it reads
    l0: float | None = None
    dead_share: float | None = None
    cross_entropy_recovered: float | None = None
    tokens: int | None = None  # that it was trained on
    corpus: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """The numbers of a sparse coder, features first; held in 32 bits however they were stored,
    but for the encoder where its products are wanted in fewer.
    """

    encoder: Float[Tensor, "feature d_in"]
    encoder_bias: Float32[Tensor, " feature"]
    decoder_directions: Float32[Tensor, "feature d_out"]
    bias: Float32[Tensor, " d_out"]
    skip: Float32[Tensor, "d_out d_in"] | None = None  # a linear path round the features


@dataclass(frozen=True, slots=True, repr=False)
class SparseCoder:
    """A sparse autoencoder, or a transcoder where it writes another site than it reads.

        pre = (norm(x) - bias if `subtracts_bias`) @ encoder.T + encoder_bias
        y   = unnorm(codes @ decoder_directions + bias) + x @ skip.T

    A transcoder's output is not scaled back, because the scale is the input's. Raises Mismatch
    where a bias cannot be subtracted from the inputs.

        >>> tokens = torch.tensor([[model.start_token, *model.encode("raise ValueError")]])
        >>> x = model.run(tokens, read=[dictionary.reads]).activations[dictionary.reads][0, 1:]
        >>> codes = dictionary.encode(x)
        >>> codes.indices.shape == (len(x), 16)
        True
        >>> fvu = (x - dictionary.decode(codes)).square().sum() / (x - x.mean(0)).square().sum()
        >>> bool(fvu < 1)
        True
    """

    reads: Site
    writes: Site
    weights: Weights
    selection: Selection
    subtracts_bias: bool = True
    normalisation: Normalisation = Normalisation.NONE
    card: Card = field(default_factory=Card)

    def __post_init__(self) -> None:
        if self.subtracts_bias and self.d_in != self.d_out:
            raise Mismatch(
                f"a dictionary cannot subtract a bias of {self.d_out} numbers from inputs of"
                f" {self.d_in}; do not subtract it"
            )

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.weights.encoder)

    @property
    def d_in(self) -> int:
        """The length of the vectors that it reads."""
        return self.weights.encoder.shape[1]

    @property
    def d_out(self) -> int:
        """The length of the vectors that it writes."""
        return self.weights.decoder_directions.shape[1]

    @property
    def decoder_directions(self) -> Float32[Tensor, "feature d_out"]:
        """What each feature adds to the reconstruction, for one unit of activation."""
        return self.weights.decoder_directions

    @property
    def encoder(self) -> Float[Tensor, "feature d_in"]:
        """The direction along which each feature reads the input."""
        return self.weights.encoder

    def encode(self, x: Float[Tensor, "token d_in"]) -> Codes:
        """The active features of each token. Raises Mismatch for vectors of another length."""
        require_length(x, self.d_in, self.reads)
        found = (
            self._encode_in_blocks(x)
            if self.width > BLOCK
            else [
                self.selection.select(self._pre_activations(self._encoder_input(part), 0, None))
                for part in split_for_encoding(x, self.width)
            ]
        )
        codes = concatenate_codes(found)
        return Codes(codes.indices, codes.values.float())

    def decode(self, codes: Codes) -> Float32[Tensor, "token d_out"]:
        """The vectors that the codes stand for, in the scale of the normalised input where there is
        a normalisation.
        """
        return sum_decoder_directions(codes, self.weights.decoder_directions) + self.weights.bias

    def reconstruct(self, x: Float[Tensor, "token d_in"]) -> Float32[Tensor, "token d_out"]:
        """What the dictionary makes of the input, in the input's scale, with its skip path."""
        y = self.decode(self.encode(x))
        x = x.to(y.dtype)
        if self.reads == self.writes:
            mean, scale = self._moments(x)
            y = y * scale + mean
        return y if self.weights.skip is None else y + x @ self.weights.skip.T

    def output_scale(self, x: Float[Tensor, "token d_in"]) -> Float32[Tensor, "token 1"]:
        """By what each token's decoded vector is multiplied in the reconstruction, to
        be in the input's scale again.
        """
        one = self.weights.decoder_directions.new_ones(len(x), 1)
        return one * self._moments(x.to(one.dtype))[1] if self.reads == self.writes else one

    def to(self, device: torch.device | str) -> "SparseCoder":
        """The same on another device."""
        w = self.weights
        skip = None if w.skip is None else w.skip.to(device)
        moved = Weights(
            w.encoder.to(device),
            w.encoder_bias.to(device),
            w.decoder_directions.to(device),
            w.bias.to(device),
            skip,
        )
        return replace(self, weights=moved, selection=self.selection.to(device))

    def __repr__(self) -> str:
        where = f"{self.reads}" if self.reads == self.writes else f"{self.reads} to {self.writes}"
        known = {"FVU": self.card.fvu, "L0": self.card.l0}
        card = "".join(f", {name} {x:.3g}" for name, x in known.items() if x is not None)
        return f"<dictionary: {self.width:,} features of {where}{card}>"

    def _encode_in_blocks(self, x: Float[Tensor, "token d_in"]) -> list[Codes]:
        """The codes of each token, from the largest, or the active, of each block of features.

        The weights are read once for many tokens, and the memory that holds a block's
        pre-activations serves for the next one.
        """
        together = self.selection.together(self.width)
        block = max(1, BLOCK // together) * together
        space: Tensor | None = None
        found: list[Codes] = []
        for part in split_for_encoding(x, block):
            given, blocks = self._encoder_input(part), list[Codes]()
            learns = given.requires_grad or self.weights.encoder.requires_grad
            if space is None and not (torch.is_grad_enabled() and learns):
                space = given.new_empty(len(given) * block)
            for first in range(0, self.width, block):
                pre = self._pre_activations(given, first, first + block, space)
                codes = self.selection.select_block(pre, first, self.width)
                blocks.append(Codes(codes.indices + first, codes.values))
            indices = torch.cat([codes.indices for codes in blocks], dim=1)
            values = torch.cat([codes.values for codes in blocks], dim=1)
            found.append(self.selection.among_blocks(Codes(indices, values)))
        return found

    def _pre_activations(
        self,
        given: Float[Tensor, "token d_in"],
        first: int,
        last: int | None,
        space: Float[Tensor, " some"] | None = None,
    ) -> Float[Tensor, "token feature"]:
        """Those of the features from `first` up to `last`, in `space` where there is some."""
        encoder = self.weights.encoder[first:last]
        bias = self.weights.encoder_bias[first:last].to(encoder.dtype)
        if space is None:
            return torch.addmm(bias, given, encoder.T)
        shape = (len(given), len(encoder))
        return torch.addmm(bias, given, encoder.T, out=space[: shape[0] * shape[1]].view(shape))

    def _encoder_input(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_in"]:
        """What the encoder's directions are multiplied with."""
        x = x.to(self.weights.bias.dtype)
        mean, scale = self._moments(x)
        if self.normalisation is Normalisation.LAYER_NORM:
            x = (x - mean) / (scale + 1e-5)  # added on the way in alone, as SAELens does
        elif self.normalisation is Normalisation.CONSTANT_NORM:
            x = x / scale
        if self.subtracts_bias:
            x = x - self.weights.bias
        return x.to(self.weights.encoder.dtype)

    def _moments(self, x: Float32[Tensor, "token d_in"]) -> tuple[Tensor, Tensor]:
        """What the normalisation subtracts from each vector, and what it divides it by."""
        one, zero = x.new_ones(()), x.new_zeros(())
        match self.normalisation:
            case Normalisation.NONE:
                return zero, one
            case Normalisation.LAYER_NORM:
                return x.mean(1, keepdim=True), x.std(1, keepdim=True)
            case Normalisation.CONSTANT_NORM:
                return zero, x.norm(dim=1, keepdim=True) / self.d_in**0.5


@runtime_checkable
class HasSites(Protocol):
    """What a subject must tell for a dictionary to be held against it."""

    @property
    def layers(self) -> int:
        """The number of layers."""
        ...

    def width_at(self, site: Site) -> int:
        """The length of the vectors at a site."""
        ...


def require_fit(dictionary: Dictionary, subject: HasSites) -> None:
    """Raise Mismatch, naming both shapes, where the dictionary's sites or widths are not the
    subject's.
    """
    d_out = dictionary.decoder_directions.shape[1]
    d_in = getattr(dictionary, "d_in", None)
    for site, given, verb in (
        (dictionary.reads, d_in, "reads"),
        (dictionary.writes, d_out, "writes"),
    ):
        if not 0 <= site.layer < subject.layers:
            raise Mismatch(
                f"the dictionary {verb} {site}, and the subject has {subject.layers} layers, 0 to"
                f" {subject.layers - 1}; give the model that the dictionary was made for"
            )
        wanted = subject.width_at(site)
        if given is not None and given != wanted:
            raise Mismatch(
                f"the dictionary {verb} vectors of {given} numbers (its decoder directions are"
                f" {dictionary.width} x {d_out}), and the subject's {site} holds vectors of"
                f" {wanted}; give the site and the model that the dictionary was made for"
            )


def require_length(x: Tensor, wanted: int, site: Site) -> None:
    """Raise Mismatch where the vectors are not as long as those of the dictionary's site."""
    if x.shape[1] != wanted:
        raise Mismatch(
            f"the dictionary of {site} reads vectors of {wanted} numbers and was given"
            f" {tuple(x.shape)}"
        )


def split_for_encoding(x: Tensor, width: int) -> Iterator[Tensor]:
    """The tokens, so many at a time as keep the pre-activations in bounded memory.

    At least one part.
    """
    return iter(x.split(max(1, encoded_at_once(x.device) // width)))


def encoded_at_once(device: torch.device) -> int:
    """How many pre-activations are held at a time.

    It goes by the memory that a device has and not by what is free of it, so that a run which goes
    on later gives the same bits.
    """
    if device.type != "cuda":
        return ENCODED_AT_ONCE
    return torch.cuda.get_device_properties(device).total_memory // 4 // SHARE_OF_DEVICE


def concatenate_codes(parts: list[Codes]) -> Codes:
    """The codes of all parts, as long in each row as the longest needs."""
    if len(parts) == 1:
        return parts[0]
    active = max(part.indices.shape[1] for part in parts)
    padding = [(0, active - part.indices.shape[1]) for part in parts]
    pad = torch.nn.functional.pad
    return Codes(
        torch.cat([pad(part.indices, by) for part, by in zip(parts, padding, strict=True)]),
        torch.cat([pad(part.values, by) for part, by in zip(parts, padding, strict=True)]),
    )


def sum_decoder_directions(
    codes: Codes, decoder_directions: Float32[Tensor, "feature d_out"]
) -> Float32[Tensor, "token d_out"]:
    """The decoder directions of each token's features, weighted and summed.

    The codes are never made dense.
    """
    return embedding_bag(
        codes.indices,
        decoder_directions,
        per_sample_weights=codes.values.to(decoder_directions.dtype),
        mode="sum",
    )
