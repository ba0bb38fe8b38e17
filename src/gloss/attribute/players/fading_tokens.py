"""The game of a prompt's tokens with masks between 0 and 1: a token fades into nothing, so that
values have gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadInput
from gloss.models.dictionary import Dictionary
from gloss.models.sites import Site
from gloss.models.subject import Subject

ROWS = 64  # in one pass


@runtime_checkable
class GradientTarget(Protocol):
    """What is read, differentiably, of a run over one sequence many times."""

    @property
    def reads(self) -> tuple[Site, ...]:
        """The sites it needs; none where it needs the next token's logits."""
        ...

    def of(self, x: Tensor) -> Tensor:
        """A number for each row, from what stands at the last position: the site's vector, or the
        logits.
        """
        ...


@dataclass(frozen=True)
class AnswerTarget:
    """The log-probability of a next token, or how much likelier it is than another; in nats."""

    answer: int
    other: int | None = None

    @property
    def reads(self) -> tuple[Site, ...]:
        """The logits."""
        return ()

    def of(self, x: Tensor) -> Tensor:
        """From the logits."""
        return (
            x.log_softmax(1)[:, self.answer]
            if self.other is None
            else x[:, self.answer] - x[:, self.other]
        )


@dataclass(frozen=True)
class FeatureTarget:
    """A feature's activation."""

    dictionary: Dictionary
    feature: int

    @property
    def reads(self) -> tuple[Site, ...]:
        """Where the dictionary reads."""
        return (self.dictionary.reads,)

    def of(self, x: Tensor) -> Tensor:
        """From the vectors there."""
        codes = self.dictionary.encode(x)
        return (codes.values * (codes.indices == self.feature)).sum(1)


@dataclass(frozen=True)
class FadingTokens:
    """Tokens as players whose embeddings are multiplied by their masks.

    The start token, and places, stay as they are.
    """

    subject: Subject
    tokens: tuple[int, ...]  # without the start token
    target: GradientTarget

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
        front: Sequence[int] = (
            () if self.subject.start_token is None else (self.subject.start_token,)
        )
        rows = torch.tensor([*front, *self.tokens]).expand(len(masks), -1)
        masks = masks.to(self.subject.device).requires_grad_(grad)
        stays = masks.new_ones(len(masks), len(front))
        scale = torch.cat([stays, masks], dim=1)[:, :, None]
        edits = {self.subject.site("resid_pre.0"): lambda x: x * scale.to(x.dtype)}
        trace = self.subject.run(
            rows, self.target.reads, edits, logits=not self.target.reads, grad=grad
        )
        read = trace.activations[self.target.reads[0]] if self.target.reads else trace.logits
        assert read is not None
        values = self.target.of(read[:, -1].float())
        slopes = torch.autograd.grad(values.sum(), masks)[0] if grad else torch.zeros_like(masks)
        return values.detach().cpu().numpy(), slopes.detach().cpu().numpy()
