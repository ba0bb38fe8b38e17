"""Games of a text that a subject reads: which words, sentences or tokens make it say what it does,
or make a feature fire at the last token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.attribute.measures import Measure, Pass, measure_rows
from gloss.attribute.players.prompt_parts import CutPrompt
from gloss.models.subject import Subject


@dataclass(frozen=True)
class PromptGame:
    """The value of what is left of a prompt: a measure of the subject after it.

    Every rest, and the whole prompt, is read behind the same front token, so that no player ever
    stands first. Equal rests are run once.
    """

    subject: Subject
    prompt: CutPrompt
    measure: Measure
    # the same players with other tokens in their places, over which the value is the mean; empty
    # for the prompt itself
    versions: tuple[CutPrompt, ...] = ()

    @property
    def players(self) -> tuple[str, ...]:
        """What the parts of the prompt say."""
        return self.prompt.players

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One value a mask."""
        return self.measured(
            [
                [tuple(self.row(mask, version)) for version in self.versions or (self.prompt,)]
                for mask in masks
            ]
        )

    def measured(self, rows: Sequence[Sequence[tuple[int, ...]]]) -> Float64[ndarray, " mask"]:
        """The mean over each mask's rows of tokens; equal rows are run once."""
        distinct = list(dict.fromkeys(row for each in rows for row in each))
        values = measure_rows(self.subject, distinct, self.measure)
        found = dict(zip(distinct, values.tolist(), strict=True))
        return np.array([np.mean([found[row] for row in each]) for each in rows])

    def row(self, kept: Bool[ndarray, " player"], prompt: CutPrompt | None = None) -> list[int]:
        """The tokens that the subject gets of a version, its front token before them."""
        return [self.subject.front_token, *(prompt or self.prompt).remaining(kept)]


POSITIONS = 32_768  # in one forward pass, those that are read once included


@dataclass(frozen=True)
class LastTokensGame:
    """The value of a sequence whose last tokens are the players, such as why a feature fires there.

    A token that is removed gives its place to a replacement token, so that positions stay; the
    value is the mean over rows of replacement tokens. What stands before the players is read once
    and always stays.
    """

    subject: Subject
    measure: Measure
    before: Int64[ndarray, " position"]  # without the start token
    tokens: Int64[ndarray, " player"]
    replacement_tokens: Int64[ndarray, "row player"]

    @property
    def players(self) -> tuple[str, ...]:
        """What each says."""
        return tuple(self.subject.vocabulary().strings[token] for token in self.tokens.tolist())

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The mean over replacement tokens for each mask."""
        kept, tokens = torch.from_numpy(masks)[:, None], torch.from_numpy(self.tokens)
        rows = torch.where(kept, tokens, torch.from_numpy(self.replacement_tokens)).reshape(
            -1, len(self.tokens)
        )
        front = [] if self.subject.start_token is None else [self.subject.start_token]
        beginning = torch.tensor([*front, *self.before.tolist()], dtype=torch.int64)
        size = max(1, POSITIONS // (len(beginning) + len(self.tokens)))
        parts = [
            self.measure.of(Pass(self.subject, some, beginning=beginning))
            for some in rows.split(size)
        ]
        return torch.cat(parts).reshape(len(masks), -1).mean(1).numpy()
