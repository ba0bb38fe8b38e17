"""The direction that a difference of logits reads, which needs no data (observable propagation,
Dunefsky and Cohan, 2024).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.errors import BadSettings, Mismatch
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.labelled_texts import require_subject
from gloss.models.model_settings import MASSIVE_MULTIPLE
from gloss.models.sites import Site
from gloss.models.sparse_codes import Positive
from gloss.models.subject import Subject

INTO_STREAM = ("resid", "mlp_out", "attn_out")


@dataclass(frozen=True, slots=True)
class Observable:
    """Two features along the direction of the residual stream that raises the logits of the tokens
    `positive` over those of `negative`, on the direct path (Dunefsky and Cohan, 2024, arXiv
    2312.16291): how far a vector lies along it, and how far along its opposite.

    Each text is one token of the subject; of several, the mean is taken. The final norm is taken
    for what it does beside its scale, which is the vector's own.

        >>> both = Observable(positive=(" True",), negative=(" False",))
        >>> both.fit(iter(()), model.site("resid_post.3"), rng, subject=model)
        <dictionary: 2 features of resid_post.3>
    """

    reads_subject: ClassVar[bool] = True

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_model"]],
        site: Site,
        rng: np.random.Generator,
        progress: object = None,
        massive: float = MASSIVE_MULTIPLE,
        subject: Subject | None = None,
    ) -> SparseCoder:
        """Read the subject's unembedding; activations are not used.

        Raises BadSettings for what is not one token, and Mismatch for a site that the unembedding
        does not read.
        """
        subject = require_subject(subject, "observable")
        if not site.kind.startswith(INTO_STREAM) or not subject.anatomy.layout.unembeds:
            raise Mismatch(
                f"{site} does not write into the residual stream that this model's unembedding"
                " reads; give a site resid_*, mlp_out or attn_out"
            )
        rows = subject.unembedding.float()
        means = [
            rows[self.tokens(subject, texts, name)].mean(0)
            for name, texts in (("positive", self.positive), ("negative", self.negative))
        ]
        direction = through_norm(subject, means[0] - means[1])
        if not bool(direction.norm() > 0):
            raise BadSettings(
                "observable.positive and observable.negative are read along the same direction,"
                " which leaves none between them; give other tokens"
            )
        direction = (direction / direction.norm()).cpu()
        both = torch.stack([direction, -direction])
        weights = Weights(both, torch.zeros(2), both, torch.zeros(len(direction)))
        return SparseCoder(site, site, weights, Positive(), subtracts_bias=False)

    def tokens(self, subject: Subject, texts: tuple[str, ...], name: str) -> list[int]:
        """The token of each text."""
        if not texts:
            raise BadSettings(f'observable.{name} is empty; give tokens, as in {name} = [" she"]')
        found = [subject.encode_behind(".", text) for text in texts]
        for text, tokens in zip(texts, found, strict=True):
            if len(tokens) != 1:
                said = ", ".join(repr(subject.vocabulary().strings[each]) for each in tokens)
                raise BadSettings(
                    f"observable.{name} has {text!r}, which is {len(tokens)} tokens of this model"
                    f" ({said}); give single tokens, as they follow other text"
                )
        return [tokens[0] for tokens in found]


@torch.no_grad()
def through_norm(
    subject: Subject, read: Float32[Tensor, " d_model"]
) -> Float32[Tensor, " d_model"]:
    """What is read of the stream before the final norm by what reads this behind it, up to a
    factor: the gain, and, where the family has it, the centring.
    """
    if (norm := subject.anatomy.norm_at_end) is None:
        return read
    given = next(norm.parameters(), read)
    axes = (torch.eye(len(read)) * len(read) ** 0.5).to(given)  # each of the length that norms give
    return ((norm(axes) - norm(-axes)) / 2).float() @ read.to(given.device)
