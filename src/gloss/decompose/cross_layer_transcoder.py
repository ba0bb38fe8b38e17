"""Train cross-layer transcoders (Ameisen et al., 2025): features read one layer, and write that one
and all later ones.
"""

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
)
from gloss.decompose.crosscoder import equal_scales, require_joint, spread_over
from gloss.decompose.fit import SparseTrainer
from gloss.decompose.sparse_gradients import ActiveCodes, CodesByFeature
from gloss.decompose.training import StepOutcome, Training, centre_and_scale, draw_unit_rows
from gloss.decompose.transcoder import BEGINNING
from gloss.errors import BadSettings, Mismatch
from gloss.models.dictionary import Card, Weights
from gloss.models.joint_coder import JointCoder
from gloss.models.sites import INPUTS, JointSite, Site
from gloss.models.sparse_codes import AboveThreshold, LargestK


@dataclass(frozen=True, slots=True)
class CrossLayerTranscoder(SparseTrainer):
    """Features that predict what the MLPs of several layers write: those of a layer read that
    layer's input alone and write its output and those of all later ones (Ameisen et al., 2025,
    transformer-circuits.pub/2025/attribution-graphs).

        codes of layer l = the k largest of all layers' x_l @ W_enc_l + b_enc_l, as far as positive
        y_l = sum over layers j <= l of codes_j @ W_dec_j_to_l + b_dec_l

    `site` joins what is written, in the order of the layers; each layer's input is read, or the
    kind of site that `reads` names. `width` and `k` are those of all layers together: features come
    in equal blocks, the first layer's first. Rows have all inputs and, behind them, all outputs.

        >>> batches = iter(torch.randn(8, 512, 64))
        >>> method = CrossLayerTranscoder(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.0+mlp_out.1"), rng)
        <dictionary: 32 features of mlp_in.0+mlp_in.1 to mlp_out.0+mlp_out.1>
    """

    reads: str = ""  # a kind of site; "" is the component's input
    selection_of: str = BY_TOKEN

    joins: ClassVar[bool] = True
    saved_as: ClassVar[str] = "joint"

    def __post_init__(self) -> None:
        SparseTrainer.__post_init__(self)
        require_selection(self.selection_of)
        if self.reads:
            Site(self.reads, 0)

    def sites(self, site: Site) -> tuple[Site, ...]:
        """What is read, and behind it what is written.

        Raises BadSettings for sites that are not in the order of layers, one a layer, and where
        nothing says what is read.
        """
        writes = require_joint(site, "cross_layer_transcoder", "transcoder")
        layers = [each.layer for each in writes]
        if layers != sorted(set(layers)):
            raise BadSettings(
                f"cross_layer_transcoder writes {site}; name one site a layer, the first one first"
            )
        if self.width % len(writes):
            raise BadSettings(
                f"width = {self.width} features are not as many of each of {len(writes)} layers;"
                f" give a width that {len(writes)} divides"
            )
        for each in writes:
            if self.reads == each.kind:
                raise BadSettings(
                    f"a transcoder that reads what it writes, {each}, is an autoencoder; take"
                    ' method = "crosscoder"'
                )
            if not (self.reads or INPUTS.get(each.kind)):
                raise BadSettings(
                    f"reads must name the kind of site that is read for {each}, as in reads ="
                    f' "resid_mid"; of {", ".join(INPUTS)} the component\'s input is known'
                )
        return (*(Site(self.reads or INPUTS[each.kind], each.layer) for each in writes), *writes)

    def reads_of(self, site: Site) -> int:
        """The inputs."""
        return len(self.sites(site)) // 2

    def row_numbers(self, widths: Sequence[int]) -> int:
        """Those of one input and of all outputs."""
        return widths[0] + sum(widths[len(widths) // 2 :])

    def begin(
        self,
        sample: Float32[Tensor, "token _"],
        widths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Training:
        """Random unit encoder directions; each feature's decoder direction is that in which the
        outputs of its layer and of later ones lie at the tokens where it is active.
        """
        blocks = len(widths) // 2
        read, written = widths[:blocks], widths[blocks:]
        if len(set(read)) > 1:
            raise Mismatch(
                f"the sites that are read hold vectors of {' and '.join(map(str, read))} numbers;"
                " name sites of one length"
            )
        inputs = [centre_and_scale(part) for part in sample[:, : sum(read)].split(read, dim=1)]
        y = sample[:, sum(read) :]
        outputs = [centre_and_scale(part)[0] for part in y.split(written, dim=1)]
        write_scales = equal_scales(y, written)
        by = spread_over(write_scales, written)
        first = sample[:, : read[0]]
        parameters = {
            "encoder": draw_unit_rows(rng, self.width, first),
            "encoder_bias": first.new_zeros(self.width),
            "decoder_directions": draw_unit_rows(rng, self.width, y),
            "bias": torch.cat(outputs) * by,
        }
        measured = {
            "centres": torch.cat([centre * scale for centre, scale in inputs]),
            "read_scales": first.new_tensor([scale for _, scale in inputs]),
            "write_scales": write_scales,
            "widths": torch.tensor(widths),
            "threshold": first.new_zeros(()),
        }
        training = Training.of(self, 1.0, parameters, measured)
        directions = training.decoder_directions
        summed = torch.zeros_like(directions)
        for some in sample.split(BEGINNING):
            given, wanted = self.halves(training, some)
            largest = training.pre_activations(given).topk(self.k, dim=1)
            codes = ActiveCodes.of_rows(largest.indices, largest.values.relu())
            by_feature = CodesByFeature.of(codes, self.width)
            summed += by_feature.gather(codes.values, wanted - training.bias)
        for rows in (summed, directions):
            self.clear_earlier(training, rows)
        found = summed.norm(dim=1) > 1e-6
        directions[found] = summed[found]
        directions /= directions.norm(dim=1, keepdim=True)
        return training

    def learn(self, training: Training, x: Float32[Tensor, "token _"]) -> StepOutcome:
        """Predict each token's outputs from its inputs."""
        given, wanted = self.halves(training, x)
        pre = training.pre_activations(given)
        codes = choose_active(self.selection_of, training, pre, self.k)
        return training.predict(given, wanted, pre, codes)

    def constrain_gradients(self, training: Training) -> None:
        """What a feature writes before its own layer stays 0."""
        self.clear_earlier(training, training.gradient("decoder_directions"))

    def halves(
        self, training: Training, x: Float32[Tensor, "token _"]
    ) -> tuple[Float32[Tensor, "token d_in"], Float32[Tensor, "token d_out"]]:
        """Inputs, centred and scaled, and outputs, scaled."""
        measured, (read, written) = training.measured, split_widths(training)
        given = x[:, : sum(read)] * spread_over(measured["read_scales"], read)
        wanted = x[:, sum(read) :] * spread_over(measured["write_scales"], written)
        return given - measured["centres"], wanted

    def clear_earlier(self, training: Training, rows: Float32[Tensor, "feature d_out"]) -> None:
        """Set to 0 what lies in layers before a feature's own."""
        _, written = split_widths(training)
        size = self.width // len(written)
        for block in range(1, len(written)):
            rows[block * size : (block + 1) * size, : sum(written[:block])] = 0

    def made(self, training: Training, site: Site, card: Card) -> JointCoder:
        """What was learned, in the units of the activations of each site."""
        measured, (read, written) = training.measured, split_widths(training)
        blocks = len(read)
        scale = spread_over(measured["write_scales"], written)
        encoder = training.encoder.unflatten(0, (blocks, -1))
        centres = measured["centres"].unflatten(0, (blocks, -1, 1))
        bias = training.encoder_bias - (encoder @ centres).flatten()
        weights = Weights(
            (encoder * measured["read_scales"][:, None, None]).flatten(0, 1),
            bias,
            training.decoder_directions / scale,
            training.bias / scale,
        )
        selection = (
            AboveThreshold(torch.full_like(bias, float(measured["threshold"])))
            if self.selection_of == OF_BATCH
            else LargestK(self.k)
        )
        reads = JointSite.of(self.sites(site)[:blocks])
        scales = tuple(measured["write_scales"].tolist())
        return JointCoder(reads, site, weights, selection, written, scales, by_site=True, card=card)


def split_widths(training: Training) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How long the vectors are at each site that is read, and at each that is written."""
    widths = training.measured["widths"].tolist()
    return tuple(widths[: len(widths) // 2]), tuple(widths[len(widths) // 2 :])
