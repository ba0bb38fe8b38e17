"""Controls: a dictionary of random directions that fires as often as a given one, feature by
feature, and one that keeps as many of them a token as a TopK dictionary keeps features.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from numpy import ndarray
from torch import Tensor

from gloss.decompose.fit import take_sample
from gloss.errors import BadSettings, require_at_least
from gloss.models.dictionary import Card, Dictionary, SparseCoder, Weights, encoder_of
from gloss.models.joint_coder import JointCoder
from gloss.models.model_settings import MASSIVE_MULTIPLE
from gloss.models.neurons import Neurons
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold, LargestK

FEATURES_AT_ONCE = 1024
LOWEST = 1e-6  # of a threshold; below it a feature could be active at half of all tokens


def random_dictionary_like(
    dictionary: Dictionary,
    sample: Float[Tensor, "token d_in"],
    rates: Float64[ndarray, " feature"],
    rng: np.random.Generator,
) -> SparseCoder | JointCoder:
    """Random directions in place of a dictionary's, feature by feature with its norms and its rate
    of firing.

    A direction is drawn evenly over the sphere, and a feature reads and writes along the same one
    where both sites have vectors of one length. What it reads is centred on the sample's mean. It
    is active where that lies above a threshold, which the sample sets so that it fires at the share
    `rates` of tokens, though never below 0: half of them at most, roughly.
    """
    sample = sample.float()
    d_in, width = sample.shape[1], dictionary.width
    d_out, writes = dictionary.decoder_directions.shape[1], dictionary.writes
    # of several sites, that in which the sphere is one
    scale = dictionary.written_scale.cpu() if isinstance(dictionary, JointCoder) else torch.ones(())
    read_scale = scale if dictionary.reads == writes else torch.ones(())
    written = dictionary.decoder_directions.float().cpu() * scale
    decoder_norms = written.norm(dim=1, keepdim=True)
    several = isinstance(dictionary, JointCoder)
    read = dictionary.whole_encoder if several else encoder_of(dictionary)
    reading_norms = (
        decoder_norms
        if read is None
        else (read.float().cpu() / read_scale).norm(dim=1, keepdim=True)
    )
    directions = draw_unit_directions(width, d_in, rng)
    if isinstance(dictionary, Neurons):  # which write elsewhere than they read
        d_out, writes = d_in, dictionary.reads
    decoder_directions = (
        directions if d_out == d_in else draw_unit_directions(width, d_out, rng)
    ) * decoder_norms
    encoder = directions * reading_norms * read_scale
    mean = sample.mean(0)
    thresholds = thresholds_for_rates(sample - mean, encoder, rates)
    weights = Weights(
        encoder,
        -(encoder @ mean),
        decoder_directions / scale,
        mean if d_out == d_in else torch.zeros(d_out),
    )
    selection = AboveThreshold(thresholds)
    if isinstance(dictionary, JointCoder):
        return replace(dictionary, weights=weights, selection=selection, by_site=False, card=Card())
    return SparseCoder(dictionary.reads, writes, weights, selection, subtracts_bias=False)


@dataclass(frozen=True, slots=True)
class RandomDirections:
    """Directions drawn at random where `topk` learns them: each token keeps the `k` along which it
    lies furthest.

    They are drawn evenly over the sphere; a feature reads and writes along the same one. What they
    read is centred on the mean of the first `tokens` activations, and one scale for all makes what
    they write the best reconstruction of these.

        >>> batches = iter(torch.randn(4, 512, 16))
        >>> drawn = RandomDirections(width=32, k=4, tokens=2048)
        >>> drawn.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.1>
    """

    width: int = 2048
    k: int = 32
    tokens: int = 16_384  # of which the mean is taken

    def __post_init__(self) -> None:
        require_at_least(1, self, "tokens")
        if not 1 <= self.k <= self.width:
            raise BadSettings(
                f"k={self.k} features of width={self.width} cannot be active; k must be between 1"
                " and the width"
            )

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_model"]],
        site: Site,
        rng: np.random.Generator,
        progress: object = None,
        massive: float = MASSIVE_MULTIPLE,
    ) -> SparseCoder:
        """Draw the directions, and read batches of shape (token, d_model) for the mean.

        Vectors longer than `massive` times their median do not count; 0 counts all. Raises BadInput
        where there are none.
        """
        x = take_sample(batches, self.tokens, site, massive)
        mean = x.mean(0)
        directions = draw_unit_directions(self.width, x.shape[1], rng)
        weights = Weights(directions, torch.zeros(self.width), directions, mean)
        drawn = SparseCoder(site, site, weights, LargestK(self.k))
        written = drawn.reconstruct(x) - mean
        scale = ((x - mean) * written).sum() / written.square().sum().clamp_min(1e-12)
        return replace(drawn, weights=replace(weights, decoder_directions=directions * scale))


def draw_unit_directions(
    number: int, length: int, rng: np.random.Generator
) -> Float32[Tensor, "feature d"]:
    """Directions drawn evenly over the sphere."""
    drawn = torch.from_numpy(rng.standard_normal((number, length), dtype=np.float32))
    return drawn / drawn.norm(dim=1, keepdim=True)


def thresholds_for_rates(
    centred: Float32[Tensor, "token d_in"],
    encoder: Float32[Tensor, "feature d_in"],
    rates: Float64[ndarray, " feature"],
) -> Float32[Tensor, " feature"]:
    """Above which each feature is active at its share of the tokens.

    One that never fires stands at the sample's maximum.
    """
    ranks = torch.from_numpy(np.rint(rates * len(centred)).astype(np.int64)).clamp(
        max=len(centred) - 1
    )
    found: list[Tensor] = []
    for rows in torch.arange(len(encoder)).split(FEATURES_AT_ONCE):
        falling = (centred @ encoder[rows].T).sort(dim=0, descending=True).values
        found.append(falling.gather(0, ranks[rows][None])[0])
    return torch.cat(found).clamp_min(LOWEST)
