"""A text as parts within parts, and the game whose players are parts of several levels at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.attribute.game import Game, Redrawn, costs_money
from gloss.errors import BadInput

EVERYTHING_ELSE = "everything else"  # the player that holds all parts that are no players


class TextPart(NamedTuple):
    """One part of a level, such as the third sentence."""

    level: int  # 0 is the coarsest
    number: int


@dataclass(frozen=True)
class Level:
    """All parts of one size."""

    unit: str  # what they are, as in "passages"
    names: tuple[str, ...]
    owners: Int64[ndarray, " leaf"]  # the part that each leaf lies in


@dataclass(frozen=True)
class PartTree:
    """Levels from coarse to fine over the same leaves, which are the players of a game.

    Each part lies within one part of the level above.
    """

    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        if not self.levels or not len(self.levels[0].owners):
            raise BadInput("there are no parts to attribute to; give a text with some words")
        for above, below in zip(self.levels, self.levels[1:], strict=False):
            pairs = np.unique(np.stack([below.owners, above.owners]), axis=1)
            if len(np.unique(pairs[0])) < pairs.shape[1]:
                raise BadInput(
                    f"some of the {below.unit} lie in several {above.unit}; each must lie in one"
                )

    @cached_property
    def parts(self) -> tuple[tuple[TextPart, ...], ...]:
        """Those of each level that hold any leaf."""
        return tuple(
            tuple(TextPart(number, int(one)) for one in np.unique(level.owners))
            for number, level in enumerate(self.levels)
        )

    @property
    def count(self) -> int:
        """How many leaves there are."""
        return len(self.levels[0].owners)

    def name(self, part: TextPart) -> str:
        """What a part is called, or says."""
        return self.levels[part.level].names[part.number]

    def unit(self, part: TextPart) -> str:
        """What the parts of its level are."""
        return self.levels[part.level].unit

    def leaves(self, part: TextPart) -> Bool[ndarray, " leaf"]:
        """Which leaves it holds."""
        return self.levels[part.level].owners == part.number

    def begin(self, part: TextPart) -> int:
        """Its first leaf."""
        return int(self.leaves(part).argmax())

    def children(self, part: TextPart) -> list[TextPart]:
        """The parts of the level below that lie in it."""
        below = self.levels[part.level + 1].owners[self.leaves(part)]
        return [TextPart(part.level + 1, int(one)) for one in np.unique(below)]

    def in_blocks(self, size: int) -> "PartTree":
        """With a level on top, of neighbouring parts of the coarsest level, so many to a block."""
        top = self.levels[0]
        held = np.unique(top.owners)
        blocks = np.searchsorted(held, top.owners) // size
        names = tuple(
            f"{top.unit} {begin + 1} to {min(begin + size, len(held))}"
            for begin in range(0, len(held), size)
        )
        return PartTree((Level(f"blocks of {top.unit}", names, blocks), *self.levels))


@dataclass(frozen=True)
class GroupedGame:
    """A game of groups of another game's players, which are kept or removed together."""

    game: Game
    groups: Int64[ndarray, " leaf"]  # the group of each player of that game
    players: tuple[str, ...]

    @staticmethod
    def of_parts(game: Game, tree: PartTree, parts: Sequence[TextPart]) -> "GroupedGame":
        """Parts of any levels, none within another; all leaves besides are one player more."""
        groups = np.full(len(game.players), len(parts))
        for player, part in enumerate(parts):
            groups[tree.leaves(part)] = player
        names = tuple(map(tree.name, parts))
        return GroupedGame(
            game, groups, (*names, EVERYTHING_ELSE) if (groups == len(parts)).any() else names
        )

    @property
    def costs_money(self) -> bool:
        """The other game's own."""
        return costs_money(self.game)

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The values of the other game, of the players whose groups are kept."""
        return self.game.values(masks[:, self.groups])

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """Another draw of each."""
        if isinstance(self.game, Redrawn):
            return self.game.values_again(masks[:, self.groups], time)
        return self.values(masks)
