"""The game of positions: which places of prompts of one form carry what a pair differs in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.attribute.measures import Measure, Pass
from gloss.attribute.players.model_components import ROWS
from gloss.errors import BadInput
from gloss.models.subject import Subject
from gloss.records import PADDING

NAMED = 3  # tokens that name a position where prompts differ


@dataclass(frozen=True)
class PositionGame:
    """Positions of prompts of one length as players: a removed one carries the token of each
    prompt's corrupted twin.

    Positions at which no prompt differs from its twin are no players.
    """

    subject: Subject
    tokens: Int64[Tensor, "prompt position"]  # front token in front
    twins: Int64[Tensor, "prompt position"]
    measure: Measure

    def __post_init__(self) -> None:
        if self.tokens.shape != self.twins.shape or (self.tokens == PADDING).any():
            raise BadInput(
                f"positions need prompts and twins of one length; the prompts are"
                f" {tuple(self.tokens.shape)} tokens, the twins {tuple(self.twins.shape)}, PADDING"
                " included"
            )
        if not self.places:
            raise BadInput(
                "no prompt differs from its corrupted twin at any position; give twins that say"
                " something else"
            )

    @property
    def places(self) -> list[int]:
        """The positions that are players; 0 is the front token."""
        return torch.nonzero((self.tokens != self.twins).any(0))[:, 0].tolist()

    @property
    def players(self) -> tuple[str, ...]:
        """The token that all prompts have there, or the position with a few of them."""
        strings = self.subject.vocabulary().strings
        return tuple(position_name(place, self.tokens[:, place], strings) for place in self.places)

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The mean over the prompts."""
        return self.values_by_prompt(masks).mean(axis=1)

    def values_by_prompt(
        self, masks: Bool[ndarray, "mask player"]
    ) -> Float64[ndarray, "mask prompt"]:
        """Every prompt's own value of each mask."""
        prompts, length = self.tokens.shape
        kept = torch.ones(len(masks), length, dtype=torch.bool)
        kept[:, self.places] = torch.from_numpy(masks)
        found = [np.empty((0, prompts))]
        for some in kept.split(max(1, ROWS // prompts)):
            rows = torch.where(some[:, None], self.tokens, self.twins).reshape(-1, length)
            value = self.measure.of(Pass(self.subject, rows, prompts=prompts))
            found.append(value.reshape(-1, prompts).numpy())
        return np.concatenate(found)


def position_name(place: int, tokens: Int64[Tensor, " prompt"], strings: Sequence[str]) -> str:
    """What stands there in all prompts, or its number with what stands in the first of them."""
    numbers: list[int] = tokens.tolist()
    said = [strings[one].strip() or repr(strings[one]) for one in numbers]
    different = list(dict.fromkeys(said))
    if len(different) == 1:
        return f"{different[0]} (position {place})"
    more = "…" if len(different) > NAMED else ""
    return f"position {place} ({' / '.join(different[:NAMED])}{more})"
