"""The game of a prompt: which words, sentences or tokens make the subject say or feel what it does."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.games.measures import Measure
from gloss.attribute.games.parts import Prompt
from gloss.models.subject import Subject

NOTHING = "\n"  # read where every player is gone and the subject has no start token


@dataclass(frozen=True)
class Inputs:
    """The value of what is left of a prompt: a measure of the subject after it. Equal rests are run once."""

    subject: Subject
    prompt: Prompt
    measure: Measure

    @property
    def players(self) -> tuple[str, ...]:
        """What the parts of the prompt say."""
        return self.prompt.players

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One value a mask."""
        rows = [tuple(self.row(mask)) for mask in masks]
        distinct = list(dict.fromkeys(rows))
        found = dict(zip(distinct, self.measure.of(self.subject, [list(row) for row in distinct]).tolist(), strict=True))
        return np.array([found[row] for row in rows])

    def row(self, kept: Bool[ndarray, " player"]) -> list[int]:
        """The tokens that the subject gets, its start token in front."""
        front = [] if self.subject.start_token is None else [self.subject.start_token]
        left = self.prompt.left(kept)
        return [*front, *left] or self.subject.encode(NOTHING)
