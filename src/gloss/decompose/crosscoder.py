"""Train crosscoders (Lindsey et al., 2024): features that read and write several sites at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
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
from gloss.decompose.training import StepOutcome, Training, centre_and_scale
from gloss.errors import BadSettings
from gloss.models.dictionary import Card, Weights
from gloss.models.joint_coder import JointCoder
from gloss.models.sites import JointSite, Site, parts_of
from gloss.models.sparse_codes import LargestK


@dataclass(frozen=True, slots=True)
class Crosscoder(SparseTrainer):
    """One set of features for several sites, which each reads and writes in a direction of its own
    (Lindsey et al., 2024, transformer-circuits.pub/2024/crosscoders).

        codes = the k largest of (sum over sites of x_s @ W_enc_s) + b_enc, as far as positive
        y_s   = codes @ W_dec_s + b_dec_s

    `site` joins the sites. Each is centred, and scaled so that all vary alike; the loss is the mean
    over sites of the variance unexplained. The norm of a feature's decoder direction over all sites
    is 1 in that scale, and its share at a site says how much it belongs there. `selection_of` is
    "topk", k for each token, or "batch_topk", k on average, which ends with one threshold. Rows
    have the vectors of all sites side by side.

        >>> batches = iter(torch.randn(8, 512, 32))
        >>> method = Crosscoder(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.0+mlp_out.1"), rng)
        <dictionary: 32 features of mlp_out.0+mlp_out.1>
    """

    selection_of: str = BY_TOKEN

    joins: ClassVar[bool] = True  # it is trained on several sites together
    saved_as: ClassVar[str] = "joint"

    def __post_init__(self) -> None:
        SparseTrainer.__post_init__(self)
        require_selection(self.selection_of)

    def sites(self, site: Site) -> tuple[Site, ...]:
        """All that are joined. Raises BadSettings for one alone."""
        return require_joint(site, "crosscoder", "topk")

    def reads_of(self, site: Site) -> int:
        """All of a row is read."""
        return len(parts_of(site))

    def row_numbers(self, widths: Sequence[int]) -> int:
        """Those of all sites, twice."""
        return 2 * sum(widths)

    def begin(
        self,
        sample: Float32[Tensor, "token _"],
        widths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Training:
        """Unit decoder directions over all sites, in a scale in which the sites vary alike."""
        scales = equal_scales(sample, widths)
        training = Training.begin(self, sample * spread_over(scales, widths), rng)
        measured = {"scales": scales, "widths": torch.tensor(widths)}
        training.measured |= measured | {"threshold": scales.new_zeros(())}
        return training

    def learn(self, training: Training, x: Float32[Tensor, "token _"]) -> StepOutcome:
        """Reconstruct all sites from codes of all of them."""
        x = x * self.scale(training)
        centred = x - training.bias
        pre = training.pre_activations(centred)
        return training.learn_codes(
            x, centred, pre, choose_active(self.selection_of, training, pre, self.k)
        )

    def scale(self, training: Training) -> Float32[Tensor, " d_row"]:
        """By what each number of a row is multiplied."""
        return spread_over(training.measured["scales"], training.measured["widths"].tolist())

    def made(self, training: Training, site: Site, card: Card) -> JointCoder:
        """What was learned, in the units of the activations of each site."""
        scale, w = self.scale(training), training.weights
        weights = Weights(
            w.encoder * scale,
            w.encoder_bias - w.encoder @ w.bias,
            w.decoder_directions / scale,
            w.bias / scale,
        )
        one_for_all = self.selection_of == OF_BATCH
        selection = shared_threshold(training) if one_for_all else LargestK(self.k)
        widths, scales = (training.measured[name].tolist() for name in ("widths", "scales"))
        return JointCoder(site, site, weights, selection, tuple(widths), tuple(scales), card=card)


def require_joint(site: Site, method: str, instead: str) -> tuple[Site, ...]:
    """The sites that are joined. Raises BadSettings for one alone."""
    if not isinstance(site, JointSite):
        raise BadSettings(
            f'{method} is trained on several sites, as in sites = ["resid_post.0", "resid_post.1"],'
            f' and {site} is one; name others, or take method = "{instead}"'
        )
    return site.parts


def equal_scales(
    sample: Float32[Tensor, "token _"], widths: tuple[int, ...]
) -> Float32[Tensor, " site"]:
    """What gives each site the same share of the variance, which is 1 a dimension on average.

    Raises BadInput for a site whose vectors do not vary.
    """
    even = sample.shape[1] / len(widths)
    return sample.new_tensor(
        [
            centre_and_scale(part)[1] * (even / part.shape[1]) ** 0.5
            for part in sample.split(widths, dim=1)
        ]
    )


def spread_over(
    scales: Float32[Tensor, " site"], widths: Sequence[int]
) -> Float32[Tensor, " d_row"]:
    """Each site's scale, for every number of its vectors."""
    return torch.cat([scale.expand(width) for scale, width in zip(scales, widths, strict=True)])
