"""Train transcoders (Dunefsky et al., 2024; Paulo et al., 2025): a component's output is predicted
from its input by few features, with or without a linear path round them.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.decompose.batch_topk import BY_TOKEN, OF_BATCH, choose_active, require_selection
from gloss.decompose.fit import SparseTrainer
from gloss.decompose.sparse_gradients import ActiveCodes, CodesByFeature
from gloss.decompose.training import (
    StepOutcome,
    Training,
    centre_and_scale,
    draw_unit_rows,
)
from gloss.errors import BadSettings
from gloss.models.dictionary import Card, SparseCoder, Weights
from gloss.models.sites import INPUTS, Site
from gloss.models.sparse_codes import AboveThreshold, LargestK, Selection

BEGINNING = 512  # tokens at a time, of those that decoder directions begin with


@dataclass(frozen=True, slots=True)
class Transcoder(SparseTrainer):
    """Features that predict what a component writes, such as mlp_out.1, from what it reads
    (Dunefsky et al., 2024, arXiv 2406.11944; with TopK: Paulo et al., 2025, arXiv 2501.18823).

        codes = the k largest of x @ W_enc + b_enc, as far as they are positive
        y     = codes @ W_dec + b_dec                         [+ x @ W_skip', of `skip_transcoder`]

    `site` is what is written. What is read is the component's input, or the kind of site that
    `reads` names, of the same layer. `selection_of` is "topk", k for each token, or "batch_topk", k
    on average, which ends with one threshold. Rows have the input and, behind it, the output.

        >>> batches = iter(torch.randn(8, 512, 32))
        >>> method = Transcoder(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_in.1 to mlp_out.1>
    """

    reads: str = ""  # a kind of site; "" is the component's input
    selection_of: str = BY_TOKEN

    skips: ClassVar[bool] = False  # whether a linear path goes round the features

    def __post_init__(self) -> None:
        SparseTrainer.__post_init__(self)
        require_selection(self.selection_of)
        if self.reads:
            Site(self.reads, 0)

    @property
    def saved_as(self) -> str:
        """The format that has such transcoders: SAELens has none with TopK."""
        return "sparsify" if self.selection_of == BY_TOKEN else "sae_lens"

    def sites(self, site: Site) -> tuple[Site, ...]:
        """Where it reads, and where it writes.

        Raises BadSettings where neither says what is read, and for what no format holds.
        """
        own = INPUTS.get(site.kind, "")
        if not (self.reads or own):
            raise BadSettings(
                f"reads must name the kind of site that a transcoder of {site} reads, as in reads ="
                f' "resid_pre"; of {", ".join(INPUTS)} the component\'s input is known'
            )
        if self.reads in ("", own):
            return Site(own, site.layer), site
        if self.reads == site.kind:
            raise BadSettings(
                f"a transcoder that reads what it writes, {site}, is an autoencoder; take method ="
                ' "topk"'
            )
        if self.selection_of == BY_TOKEN:
            raise BadSettings(
                f'a transcoder with selection_of = "{BY_TOKEN}" is kept in the format of sparsify,'
                f" which reads {own or 'no input'} for {site.kind} and not {self.reads}; set"
                f' selection_of = "{OF_BATCH}"'
            )
        return Site(self.reads, site.layer), site

    def begin(
        self,
        sample: Float32[Tensor, "token _"],
        widths: tuple[int, ...],
        rng: np.random.Generator,
    ) -> Training:
        """Random unit encoder directions; each feature's decoder direction is that in which the
        outputs lie at the tokens where it is active.

        The scale is the input's; `output_scale` is by what outputs are multiplied besides.
        """
        x, y = sample.split(widths, dim=1)
        (centre, scale), (bias, output_scale) = centre_and_scale(x), centre_and_scale(y)
        encoder = draw_unit_rows(rng, self.width, x)
        parameters = {
            "encoder": encoder,
            "encoder_bias": encoder.new_zeros(self.width),
            "decoder_directions": draw_unit_rows(rng, self.width, y),
            "bias": bias * output_scale,
        }
        centred, left = (x - centre) * scale, (y - bias) * output_scale
        summed = torch.zeros_like(parameters["decoder_directions"])
        for some, outputs in zip(centred.split(BEGINNING), left.split(BEGINNING), strict=True):
            largest = (some @ encoder.T).topk(self.k, dim=1)
            codes = ActiveCodes.of_rows(largest.indices, largest.values.relu())
            summed += CodesByFeature.of(codes, self.width).gather(codes.values, outputs)
        norms = summed.norm(dim=1, keepdim=True)
        found = norms > 1e-6
        parameters["decoder_directions"][found[:, 0]] = (summed / norms)[found[:, 0]]
        if self.skips:
            parameters["skip"] = encoder.new_zeros(y.shape[1], x.shape[1])
        measured = {
            "centre": centre * scale,
            "output_scale": encoder.new_tensor(output_scale / scale),
            "threshold": encoder.new_zeros(()),
        }
        return Training.of(self, scale, parameters, measured)

    def learn(self, training: Training, x: Float32[Tensor, "token _"]) -> StepOutcome:
        """Predict each token's output from its input."""
        d_in = training.encoder.shape[1]
        given = x[:, :d_in] - training.measured["centre"]
        wanted = x[:, d_in:] * training.measured["output_scale"]
        pre = training.pre_activations(given)
        codes = choose_active(self.selection_of, training, pre, self.k)
        return training.predict(given, wanted, pre, codes)

    def finished(self, training: Training) -> tuple[Weights, Selection]:
        """What was learned, with codes in the units of the output and no centre to subtract."""
        measured, skip = training.measured, training.parameters.get("skip")
        ratio = 1 / float(measured["output_scale"])  # of the input's scale to the output's
        unit = ratio / training.scale
        bias = training.bias * unit
        if skip is not None:
            bias = bias - skip @ measured["centre"] * unit
        weights = Weights(
            training.encoder * ratio,
            (training.encoder_bias - training.encoder @ measured["centre"]) * unit,
            training.decoder_directions.clone(),
            bias,
            None if skip is None else skip * ratio,
        )
        if self.selection_of == BY_TOKEN:
            return weights, LargestK(self.k)
        threshold = float(measured["threshold"]) * unit
        return weights, AboveThreshold(torch.full_like(weights.encoder_bias, threshold))

    def made(self, training: Training, site: Site, card: Card) -> SparseCoder:
        """From the input's site to the output's."""
        reads, writes = self.sites(site)
        weights, selection = self.finished(training)
        return SparseCoder(reads, writes, weights, selection, subtracts_bias=False, card=card)


@dataclass(frozen=True, slots=True)
class SkipTranscoder(Transcoder):
    """A transcoder with a linear path round its features, which takes what is linear in the
    component (Paulo et al., 2025, arXiv 2501.18823). It begins at 0.

        >>> batches = iter(torch.randn(8, 512, 32))
        >>> method = SkipTranscoder(width=32, k=4, tokens=2048, batch=512)
        >>> method.fit(batches, model.site("mlp_out.1"), rng)
        <dictionary: 32 features of mlp_in.1 to mlp_out.1>
    """

    skips: ClassVar[bool] = True
