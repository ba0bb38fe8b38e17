"""Games: functions of which players are kept. What they stand for (words, heads, training examples) is theirs to know."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from numpy import ndarray

from gloss.errors import BadInput

Masks = Bool[ndarray, "mask player"]
Values = Float64[ndarray, " mask"]


@runtime_checkable
class Game(Protocol):
    """A value for every set of players that is kept. The same mask must give the same value, up to noise."""

    @property
    def players(self) -> tuple[str, ...]:
        """Their names, in the order of a mask's columns."""
        ...

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value with the players kept that are True, the others removed; not a number where it could not be had."""
        ...


@dataclass(frozen=True)
class Function:
    """A game from any function of masks: `Function(("a", "b"), lambda masks: masks.all(axis=1))`."""

    players: tuple[str, ...]
    function: Callable[[Masks], Shaped[ndarray, " mask"]]

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """What the function says, as float64. Raises BadInput where it is not one number a mask."""
        values = np.asarray(self.function(masks), dtype=np.float64)
        if values.shape != (len(masks),):
            raise BadInput(f"the game gave values of shape {values.shape} for {len(masks)} masks; it must give one number a mask")
        return values


@dataclass(frozen=True)
class Table:
    """A game of which only some masks were ever valued, as in datamodels (Ilyas et al., 2022): nothing else can be asked."""

    players: tuple[str, ...]
    masks: Bool[ndarray, "mask player"]
    measured: Float64[ndarray, " mask"]

    def __post_init__(self) -> None:
        if self.masks.shape != (len(self.measured), len(self.players)):
            raise BadInput(
                f"a table of {len(self.measured)} values and {len(self.players)} players has masks of shape {self.masks.shape}; "
                f"it needs one row a value and one column a player"
            )

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The values in the table. Raises BadInput for a mask that is not there."""
        known = dict(zip(keys(self.masks), self.measured.tolist(), strict=True))
        missing = next((row for row, key in enumerate(keys(masks)) if key not in known), None)
        if missing is not None:
            raise BadInput(
                f"the table of {len(self.masks)} masks holds no value for mask {missing} of those asked, with "
                f"{int(masks[missing].sum())} players kept; use a method that takes masks as they come (auto, lasso)"
            )
        return np.array([known[key] for key in keys(masks)])


def keys(masks: Bool[ndarray, "mask player"]) -> list[bytes]:
    """Each mask as bytes, eight players to one."""
    packed = np.packbits(masks, axis=1)
    return [row.tobytes() for row in packed]
