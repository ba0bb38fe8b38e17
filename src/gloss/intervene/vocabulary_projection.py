"""Which tokens' logits a feature's decoder direction raises by itself: the logit lens through the
final norm (nostalgebraist, 2020).
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.errors import BadInput, Mismatch
from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject
from gloss.records import RankedToken

FEATURES = 64  # at a time, so that features x vocabulary stays small
INTO_THE_STREAM = ("resid", "mlp_out", "attn_out")


@torch.no_grad()
def vocabulary_projection(
    subject: Subject, dictionary: Dictionary, features: Sequence[int], number: int = 10
) -> list[tuple[RankedToken, ...]]:
    """Each feature's tokens with the highest logits, highest first.

    The logits are those of a residual stream that holds the decoder direction alone:
    norm(decoder_direction) @ unembedding.T, without biases, minus their mean over the vocabulary.
    Raises Mismatch for a dictionary that does not write into the residual stream, and BadInput for
    a feature that it does not have.
    """
    written = subject.site(dictionary.writes)
    if not written.kind.startswith(INTO_THE_STREAM):
        raise Mismatch(
            f"the dictionary writes {written}, which the unembedding does not read; only one that"
            " writes into the residual stream (resid_*, mlp_out, attn_out) can be projected on the"
            " vocabulary"
        )
    if not subject.anatomy.layout.unembeds:
        raise Mismatch(
            "this model's unembedding does not read the residual stream through one norm, so that"
            " directions of the stream have no logits of their own; explain this dictionary by the"
            " texts on which it fires"
        )
    if outside := [feature for feature in features if not 0 <= feature < dictionary.width]:
        raise BadInput(
            f"feature {outside[0]}: the dictionary has {dictionary.width} features; give 0 to"
            f" {dictionary.width - 1}"
        )
    strings = subject.vocabulary().strings
    rows = torch.tensor(features, dtype=torch.int64)
    return [
        tuple(
            RankedToken(token, strings[token], value) for token, value in zip(*found, strict=True)
        )
        for part in rows.split(FEATURES)
        for found in highest_logits(
            direction_logits(
                subject,
                dictionary.decoder_directions[part.to(dictionary.decoder_directions.device)],
            ),
            number,
        )
    ]


@torch.no_grad()
def direction_logits(
    subject: Subject, directions: Float[Tensor, "direction d_model"]
) -> Float32[Tensor, "direction vocabulary"]:
    """What each direction, alone in the residual stream, makes of every token's logit.

    The mean logit is 0.
    """
    unembedding = subject.unembedding
    x = (torch.nn.functional.normalize(directions, dim=1) * directions.shape[1] ** 0.5).to(
        unembedding
    )
    if (norm := subject.anatomy.norm_at_end) is not None:
        # the gain and, where the family has it, the centring, but not the bias
        x = (norm(x) - norm(-x)) / 2
    logits = (x @ unembedding.T).float()
    return logits - logits.mean(dim=1, keepdim=True)


def chance_logit(
    subject: Subject, width: int, rng: np.random.Generator, directions: int = 500
) -> float:
    """The logit that the first token of one random direction in a hundred exceeds."""
    drawn = torch.from_numpy(rng.standard_normal((directions, width)).astype(np.float32)).to(
        subject.device
    )
    firsts = torch.cat(
        [direction_logits(subject, part).max(dim=1).values for part in drawn.split(FEATURES)]
    )
    return float(firsts.quantile(0.99))


def highest_logits(
    logits: Float32[Tensor, "direction vocabulary"], number: int
) -> list[tuple[list[int], list[float]]]:
    """Each row's largest entries: where they are, and what they are."""
    found = logits.topk(min(number, logits.shape[1]), dim=1)
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))
