"""The mean game of many prompts, and every prompt's own values, in memory and on disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.game import CHOSEN, Journal, JournalBlock, packed_masks

FEW_PROMPTS = 1 << 16  # up to which a prompt's number takes two bytes in the file, or else four


@runtime_checkable
class GameByPrompt(Protocol):
    """A game that has a value of each mask for each of its prompts."""

    @property
    def players(self) -> tuple[str, ...]:
        """Their names."""
        ...

    def values_by_prompt(
        self, masks: Bool[ndarray, "mask player"]
    ) -> Float64[ndarray, "mask prompt"]:
        """Every prompt's own value of each mask."""
        ...


@dataclass
class AverageGame:
    """The mean over the prompts; each prompt's values are kept, for intervals over prompts.

    `answers_right` says that a value above 0 is a right answer. With a `path` the values are on the
    disk before they are handed on, and a later run goes on with them. Raises what `Journal` raises.
    """

    game: GameByPrompt
    prompts: int
    answers_right: bool = False
    path: Path | None = None
    _known: dict[bytes, Float64[ndarray, " prompt"]] = field(default_factory=dict, repr=False)
    _journal: Journal | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.path is None:
            return
        numbers, width = number_keys(self.prompts), number_width(self.prompts)
        bits = tuple(f"prompt {bit}" for bit in range(8 * width))
        self._journal = Journal(self.path, (*bits, *self.players))
        for block in self._journal.blocks():
            for begin in range(0, len(block.masks), self.prompts):
                some = block.masks[begin : begin + self.prompts]
                if [key[:width] for key in some] == numbers:
                    key = some[0][width:]
                    self._known[key] = block.values[begin : begin + self.prompts].copy()

    @property
    def players(self) -> tuple[str, ...]:
        """The game's own."""
        return self.game.players

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The mean over the prompts."""
        return self.values_by_prompt(masks).mean(axis=1)

    def values_by_prompt(
        self, masks: Bool[ndarray, "mask player"]
    ) -> Float64[ndarray, "mask prompt"]:
        """Every prompt's own value of each mask; the game is asked for what is not known."""
        keys = packed_masks(masks)
        new = [row for row, key in enumerate(keys) if key not in self._known]
        if new:
            found = self.game.values_by_prompt(masks[new])
            self._keep([keys[row] for row in new], found)
        return np.array([self._known[key] for key in keys]).reshape(len(masks), self.prompts)

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """The mean of values that are asked for anew, and not kept."""
        return self.game.values_by_prompt(masks).mean(axis=1)

    def __len__(self) -> int:
        return len(self._known)

    def _keep(self, keys: Sequence[bytes], values: Float64[ndarray, "mask prompt"]) -> None:
        if self._journal:
            numbers = number_keys(self.prompts)
            entries = [number + key for key in keys for number in numbers]
            self._journal.add(JournalBlock(entries, values.ravel(), CHOSEN))
        self._known.update(zip(keys, values, strict=True))


def average_behind(game: object) -> AverageGame | None:
    """The mean game that this is, or that stands behind one which counts its values."""
    inner = game if isinstance(game, AverageGame) else getattr(game, "game", None)
    return inner if isinstance(inner, AverageGame) else None


def number_keys(prompts: int) -> list[bytes]:
    """Each prompt's number as bytes, which stand in front of a mask's bits in the file."""
    return [number.to_bytes(number_width(prompts), "big") for number in range(prompts)]


def number_width(prompts: int) -> int:
    """The bytes of a prompt's number."""
    return 2 if prompts <= FEW_PROMPTS else 4
