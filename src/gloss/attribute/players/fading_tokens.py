"""The game of a prompt's tokens with masks between 0 and 1: a token fades into nothing, so that
values have gradients.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.attribute.measures import Measure, Pass
from gloss.errors import BadInput
from gloss.models.sites import Site
from gloss.models.structure.hooks import Edit
from gloss.models.subject import Subject

ROWS = 64  # in one pass


@dataclass(frozen=True)
class FadingTokens:
    """Tokens as players whose embeddings are multiplied by their masks.

    Positions stay, and so does the front token, and every token of an answer behind the prompt.
    """

    subject: Subject
    tokens: tuple[int, ...]  # without the front token
    measure: Measure

    def __post_init__(self) -> None:
        if not self.tokens:
            raise BadInput("there are no tokens to fade; give a prompt with some text")

    @property
    def players(self) -> tuple[str, ...]:
        """What each token says."""
        strings = self.subject.vocabulary().strings
        return tuple(strings[token] for token in self.tokens)

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One value a mask."""
        return self._in_parts(masks.astype(np.float32), grad=False)[0]

    def gradients(self, masks: Float32[ndarray, "mask player"]) -> Float64[ndarray, "mask player"]:
        """How fast the value grows with each player's mask, at masks between 0 and 1."""
        return self._in_parts(masks, grad=True)[1]

    def _in_parts(
        self, masks: Float32[ndarray, "mask player"], *, grad: bool
    ) -> tuple[Float64[ndarray, " mask"], Float64[ndarray, "mask player"]]:
        parts = [
            self._run(torch.from_numpy(masks[at : at + ROWS]), grad=grad)
            for at in range(0, len(masks), ROWS)
        ]
        values, slopes = zip(*parts, strict=True)
        return np.concatenate(values).astype(np.float64), np.concatenate(slopes).astype(np.float64)

    def _run(self, masks: Float32[Tensor, "mask player"], *, grad: bool) -> tuple[ndarray, ndarray]:
        rows = torch.tensor([[self.subject.front_token, *self.tokens]]).repeat(len(masks), 1)
        masks = masks.to(self.subject.device).requires_grad_(grad)

        def fade(tokens: Int64[Tensor, "row position"]) -> Mapping[Site, Edit]:
            before = masks.new_ones(len(masks), 1)
            behind = masks.new_ones(len(masks), tokens.shape[1] - rows.shape[1])
            scale = torch.cat([before, masks, behind], dim=1)[:, :, None]
            return {self.subject.site("resid_pre.0"): lambda x: x * scale.to(x.dtype)}

        values = self.measure.of(Pass(self.subject, rows, fade, grad=grad))
        slopes = torch.autograd.grad(values.sum(), masks)[0] if grad else torch.zeros_like(masks)
        return values.detach().numpy(), slopes.cpu().numpy()
