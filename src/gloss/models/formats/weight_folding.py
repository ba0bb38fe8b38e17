"""Settings that are worked into a dictionary's weights, so that one formula encodes them all."""

from dataclasses import replace
from pathlib import Path

import torch

from gloss.errors import BadInput, Mismatch
from gloss.models.dictionary import Weights
from gloss.models.formats.tensor_files import StoredTensors


def scaled_input(weights: Weights, scale: float, scale_out: float | None = None) -> Weights:
    """Of a dictionary whose inputs are multiplied by `scale`, and whose outputs are made in a
    scale of their own: `scale_out`, or the same.

    Codes stay as they are.
    """
    out = scale if scale_out is None else scale_out
    return replace(
        weights,
        encoder=weights.encoder * scale,
        decoder_directions=weights.decoder_directions / out,
        bias=weights.bias / out,
        skip=None if weights.skip is None else weights.skip * (scale / out),
    )


def scaled_by_decoder_norms(weights: Weights, folder: Path) -> Weights:
    """Of a dictionary whose pre-activations are multiplied by their decoder directions' norms, and
    its codes divided by them again.

    Raises BadInput for a direction without a length.
    """
    norms = weights.decoder_directions.norm(dim=1)
    if not bool((norms > 0).all()):
        raise BadInput(
            f"{folder} scales codes by decoder norms, of which {int((norms == 0).sum())} are 0;"
            " fetch the dictionary again"
        )
    return replace(
        weights,
        encoder=weights.encoder * norms[:, None],
        encoder_bias=weights.encoder_bias * norms,
        decoder_directions=weights.decoder_directions / norms[:, None],
    )


def centred(weights: Weights, subtracts_bias: bool, goes_round: bool) -> Weights:
    """The same dictionary for a residual stream whose mean over dimensions has not been taken out.

    TransformerLens centres what is written to the stream (`center_writing_weights`), which takes
    the mean out of every vector and changes nothing else that the model computes. Here the encoder
    takes the mean out; where the same site is reconstructed, it goes round the features by the skip
    path.
    """
    d_in, d_out = weights.encoder.shape[1], weights.decoder_directions.shape[1]
    encoder = weights.encoder - weights.encoder.mean(dim=1, keepdim=True)
    shift = (weights.encoder - encoder) @ weights.bias if subtracts_bias else 0.0
    skip = weights.skip
    if skip is not None:
        skip = skip - skip.mean(dim=1, keepdim=True)
    if goes_round:
        skip = torch.full((d_out, d_in), 1 / d_in) + (0.0 if skip is None else skip)
    return replace(weights, encoder=encoder, encoder_bias=weights.encoder_bias - shift, skip=skip)


def whitened(weights: Weights, stored: StoredTensors, subtracts_bias: bool) -> Weights:
    """Of a dictionary that reads `(x - mean) @ matrix`, and whose reconstruction `inverse_matrix`
    and the mean lead back.
    """
    d = weights.encoder.shape[1]
    mean, matrix = stored.take("mean", (d,)), stored.take("matrix", (d, d))
    back = stored.take("inverse_matrix", (d, d))
    stored.require_all_taken()
    encoder = weights.encoder @ matrix.T
    shift = 0.0 if subtracts_bias else encoder @ mean
    return replace(
        weights,
        encoder=encoder,
        encoder_bias=weights.encoder_bias - shift,
        decoder_directions=weights.decoder_directions @ back,
        bias=weights.bias @ back + mean,
    )


def two_tails(weights: Weights) -> Weights:
    """Of a dictionary whose codes have signs: feature 2j is feature j above 0, and feature 2j + 1
    the same below 0, so that activations are positive and the two tails may mean two things.
    """
    both = torch.tensor([1.0, -1.0])
    return replace(
        weights,
        encoder=(weights.encoder[:, None] * both[:, None]).flatten(0, 1),
        encoder_bias=(weights.encoder_bias[:, None] * both).flatten(),
        decoder_directions=(weights.decoder_directions[:, None] * both[:, None]).flatten(0, 1),
    )


def padded_to_head(weights: Weights, head: int, width: int, named: str) -> Weights:
    """Of a dictionary of one head, for the outputs of all heads side by side, `width` numbers: the
    other heads' go round the features by the skip path.

    Raises Mismatch where there is no such head; `named` is what an error begins with.
    """
    d = weights.encoder.shape[1]
    first = head * d
    if width % d or first >= width:
        raise Mismatch(
            f"{named} of {d} numbers each, and the subject's heads have {width} together; give the"
            " model that the dictionary was made for"
        )

    def padded(of_head: torch.Tensor) -> torch.Tensor:
        found = of_head.new_zeros((*of_head.shape[:-1], width))
        found[..., first : first + d] = of_head
        return found

    around = torch.eye(width)
    around[first : first + d] = 0
    return replace(
        weights,
        encoder=padded(weights.encoder),
        decoder_directions=padded(weights.decoder_directions),
        bias=padded(weights.bias),
        skip=around,
    )
