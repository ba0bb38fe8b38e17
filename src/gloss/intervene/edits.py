"""What can be done to a feature inside the subject: x + (new − old) · decoder_direction, so that
the dictionary's error stays where it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from gloss.errors import BadInput
from gloss.models.dictionary import Dictionary, Scaled
from gloss.models.sites import Site
from gloss.models.structure.hooks import Edit
from gloss.records import Control, EditKind


@runtime_checkable
class Intervention(Protocol):
    """Something that can be done to the subject at any strength.

    >>> change = FeatureEdit(dictionary, 999)
    >>> tokens = torch.tensor([[model.start_token, *model.encode("def f(")]])
    >>> edits = change.edits(5.0, torch.tensor([1]))  # from position 1 on
    >>> model.run(tokens, edits=edits, logits=True).logits.shape == (*tokens.shape, 4096)
    True
    """

    @property
    def writes(self) -> Site:
        """The site that is changed."""
        ...

    @property
    def unit(self) -> float:
        """The length of what strength 1 adds."""
        ...

    @property
    def edit(self) -> EditKind:
        """Whether the strength is added, is set, or the activation is taken out."""
        ...

    @property
    def control(self) -> Control:
        """Which control this is; `Control.NONE` for a feature."""
        ...

    def edits(self, strength: float, begins: Int64[Tensor, " sequence"]) -> Mapping[Site, Edit]:
        """The edits of a run over sequences, each changed from its position `begins` on.

        They act on each position by itself, so that of sequences which grow only what is new is
        read: then `begins` counts from there, and is negative where the change began before.
        """
        ...


@dataclass(frozen=True, slots=True)
class FeatureEdit:
    """A dictionary's feature amplified (`ADD`), held at a value (`SET`) or taken out (`ABLATE`)."""

    dictionary: Dictionary
    feature: int
    edit: EditKind = EditKind.ADD

    def __post_init__(self) -> None:
        if not 0 <= self.feature < self.dictionary.width:
            raise BadInput(
                f"feature {self.feature}: the dictionary has {self.dictionary.width} features; "
                f"give one of 0 to {self.dictionary.width - 1}"
            )

    @property
    def writes(self) -> Site:
        """The site that the dictionary writes."""
        return self.dictionary.writes

    @property
    def decoder_direction(self) -> Float[Tensor, " d_out"]:
        """The feature's direction."""
        return self.dictionary.decoder_directions[self.feature]

    @property
    def unit(self) -> float:
        """The decoder direction's length."""
        return float(self.decoder_direction.norm())

    @property
    def control(self) -> Control:
        """A feature is no control."""
        return Control.NONE

    def edits(self, strength: float, begins: Int64[Tensor, " sequence"]) -> Mapping[Site, Edit]:
        """The edits at the dictionary's two sites.

        The site that is read is hooked only where it has to be known. Where the new activation is
        the old one, vectors stay as they are, bit for bit.
        """
        reads, writes = self.dictionary.reads, self.dictionary.writes
        seen: list[Tensor] = []

        def remember(x: Tensor) -> Tensor:
            seen[:] = [x]
            return x

        def change(source: Tensor, x: Tensor) -> Tensor:
            chosen = positions_from(begins, x)
            x[chosen] = add_direction(
                x[chosen], self._amount(source[chosen], strength), self.decoder_direction
            )
            return x

        if reads == writes or not self._must_read:
            return {writes: lambda x: change(x, x)}
        return {reads: remember, writes: lambda x: change(seen.pop(), x)}

    @property
    def _must_read(self) -> bool:
        return self.edit is not EditKind.ADD or isinstance(self.dictionary, Scaled)

    def _amount(
        self, source: Float[Tensor, "token d_in"], strength: float
    ) -> Float[Tensor, "token 1"]:
        """How many times the decoder direction is added to each token's vector."""
        if self.edit is EditKind.ADD:
            amount = source.new_full((len(source), 1), strength, dtype=torch.float32)
        else:
            codes = self.dictionary.encode(source)
            old = (codes.values * (codes.indices == self.feature)).sum(1, keepdim=True)
            amount = (strength if self.edit is EditKind.SET else 0.0) - old
        return (
            amount * self.dictionary.output_scale(source)
            if isinstance(self.dictionary, Scaled)
            else amount
        )


@dataclass(frozen=True, slots=True)
class DirectionEdit:
    """Any direction added at a site: a probe, a difference of means, or chance."""

    writes: Site
    direction: Float32[Tensor, " d_out"]
    control: Control = Control.NONE

    @property
    def unit(self) -> float:
        """The direction's length."""
        return float(self.direction.norm())

    @property
    def edit(self) -> EditKind:
        """A direction has no activation to replace, so that it can only be added."""
        return EditKind.ADD

    def edits(self, strength: float, begins: Int64[Tensor, " sequence"]) -> Mapping[Site, Edit]:
        """The edit at the direction's site."""

        def change(x: Tensor) -> Tensor:
            chosen = positions_from(begins, x)
            amount = x.new_full((int(chosen.sum()), 1), strength, dtype=torch.float32)
            x[chosen] = add_direction(x[chosen], amount, self.direction)
            return x

        return {self.writes: change}


def random_direction(
    instead_of: Intervention, width: int, rng: np.random.Generator
) -> DirectionEdit:
    """The control of an intervention: a direction that is uniform over the sphere, as long as what
    it stands for.

    Compare it at equal KL, not at equal strength: directions differ in how much the subject heeds
    them.
    """
    drawn = rng.standard_normal(width)
    direction = torch.from_numpy(
        (drawn * instead_of.unit / np.linalg.norm(drawn)).astype(np.float32)
    )
    return DirectionEdit(instead_of.writes, direction, Control.RANDOM_DIRECTION)


def positions_from(
    begins: Int64[Tensor, " sequence"], x: Float[Tensor, "sequence position d_out"]
) -> Bool[Tensor, "sequence position"]:
    """Which positions are changed: each sequence's from its own first one on, however long it has
    grown.
    """
    return torch.arange(x.shape[1], device=x.device) >= begins.to(x.device)[:, None]


def add_direction(
    x: Float[Tensor, "token d_out"],
    amount: Float[Tensor, "token 1"],
    direction: Float[Tensor, " d_out"],
) -> Float[Tensor, "token d_out"]:
    """Each vector with so much of the direction added, summed in 32 bits at least and brought back
    to the vectors' type.
    """
    amount = amount.to(x.device)
    return torch.where(amount != 0, x + amount * direction.to(x.device), x).to(x.dtype)
