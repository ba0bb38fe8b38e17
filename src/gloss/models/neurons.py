"""A model's own axes as a dictionary, which needs no training: the neurons of an MLP, or the
coordinates of any other site. What any other dictionary must be compared with.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.errors import BadSettings
from gloss.models.dictionary import (
    Dictionary,
    SparseCoder,
    Weights,
    concatenate_codes,
    require_length,
    split_for_encoding,
    sum_decoder_directions,
)
from gloss.models.sites import Site
from gloss.models.sparse_codes import Codes, LargestK, Positive, Selection
from gloss.models.structure.placement import compute_device
from gloss.models.subject import Subject


@dataclass(frozen=True, slots=True)
class Neurons:
    """The MLP's own neurons as a dictionary: feature 2j is neuron j above 0, feature 2j + 1 the
    same neuron below 0.

    Values are positive, decoder directions carry the sign, so that a neuron's two tails can mean
    two things. With the default selection the reconstruction is the last projection's output
    exactly.
    """

    layer: int
    # what each neuron writes: the rows of the down projection, transposed
    output: Float32[Tensor, "neuron d_model"]
    bias: Float32[Tensor, " d_model"]
    selection: Selection = field(default_factory=Positive)

    @staticmethod
    def of(subject: Subject, layer: int, selection: Selection | None = None) -> "Neurons":
        """The neurons of one layer of a subject.

        Raises Mismatch for a layer that it does not have.
        """
        site = Site("mlp_act", layer)
        projection = subject.anatomy.point(site).module
        weight = next(projection.parameters())
        probe = weight.new_empty(0, device=compute_device(projection, weight.device))
        with torch.no_grad():  # by what it does, because families store its weight either way round
            bias = projection(probe.new_zeros(1, subject.width_at(site)))
            output = projection(torch.eye(subject.width_at(site)).to(probe)) - bias
        return Neurons(layer, output.float(), bias[0].float(), selection or Positive())

    @property
    def d_in(self) -> int:
        """The number of neurons."""
        return len(self.output)

    @property
    def reads(self) -> Site:
        """The neurons' activations."""
        return Site("mlp_act", self.layer)

    @property
    def writes(self) -> Site:
        """The last projection's output."""
        return Site("mlp_raw", self.layer)

    @property
    def width(self) -> int:
        """Two features for each neuron."""
        return 2 * len(self.output)

    @property
    def decoder_directions(self) -> Float32[Tensor, "feature d_model"]:
        """Each neuron's output direction, and its opposite."""
        return torch.stack([self.output, -self.output], dim=1).flatten(0, 1)

    def encode(self, x: Float[Tensor, "token neuron"]) -> Codes:
        """The active tails of each token. Raises Mismatch for vectors of another length."""
        require_length(x, len(self.output), self.reads)
        x = x.to(self.output.dtype)
        return concatenate_codes(
            [
                self.selection.select(torch.stack([p, -p], dim=2).flatten(1))
                for p in split_for_encoding(x, self.width)
            ]
        )

    def decode(self, codes: Codes) -> Float32[Tensor, "token d_model"]:
        """The MLP's output that these tails make."""
        signed = codes.values * (1 - 2 * (codes.indices % 2))
        return sum_decoder_directions(Codes(codes.indices // 2, signed), self.output) + self.bias

    def reconstruct(self, x: Float[Tensor, "token neuron"]) -> Float32[Tensor, "token d_model"]:
        """The MLP's output from its neurons."""
        return self.decode(self.encode(x))


def neurons_at(subject: Subject, site: Site, keep: int = 0) -> Dictionary:
    """The neurons of a layer's MLP at `mlp_act`; at any other site its coordinates, in the same
    way: feature 2j is coordinate j above 0, feature 2j + 1 the same below 0.

    `keep` leaves each token its so many strongest, by absolute value; 0 leaves all. Raises Mismatch
    for a site that the subject does not have, and BadSettings where it has fewer.

        >>> site = model.site("resid_post.1")
        >>> neurons_at(model, site, keep=8).width == 2 * model.width_at(site)
        True
    """
    width = subject.width_at(site)
    if keep > width:
        raise BadSettings(f"keep is {keep}, and {site} has {width} neurons; give {width} or fewer")
    selection = LargestK(keep) if keep else Positive()
    if site.kind == "mlp_act":
        return Neurons.of(subject, site.layer, selection)
    axes = torch.eye(width, device=subject.device_at(site))
    both = torch.stack([axes, -axes], dim=1).flatten(0, 1)
    none = axes.new_zeros
    weights = Weights(both, none(2 * width), both, none(width))
    return SparseCoder(site, site, weights, selection, subtracts_bias=False)
