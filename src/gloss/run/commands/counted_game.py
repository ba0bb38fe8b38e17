"""A game that says, while it is asked, how many masks it has valued."""

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time

from jaxtyping import Bool, Float32, Float64
from numpy import ndarray

from gloss.attribute.game import Game, Redrawn, TableGame, costs_money
from gloss.attribute.methods.gradient import DifferentiableGame
from gloss.store.progress import Progress


@dataclass
class Spent:
    """What a game cost so far."""

    values: int = 0
    seconds: float = 0.0  # of the processor


@dataclass(frozen=True)
class CountingGame:
    """A game that says how many masks it has valued."""

    game: Game
    progress: Progress
    spent: Spent
    total: int | None = None  # masks, as far as they are known beforehand

    @property
    def players(self) -> tuple[str, ...]:
        """The game's own."""
        return self.game.players

    @property
    def costs_money(self) -> bool:
        """The game's own."""
        return costs_money(self.game)

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The game's own, counted."""
        return self._counted(lambda: self.game.values(masks))

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """Another draw of each, counted."""
        again = self.game
        if isinstance(again, Redrawn):
            return self._counted(lambda: again.values_again(masks, time))
        return self.values(masks)

    def _counted(self, ask: Callable[[], Float64[ndarray, " mask"]]) -> Float64[ndarray, " mask"]:
        begun = process_time()
        found = ask()
        self.spent.seconds += process_time() - begun
        self.spent.values += len(found)
        known = self.total if self.total and self.spent.values <= self.total else None
        self.progress(self.spent.values, known)
        return found


@dataclass(frozen=True)
class CountingSlopes(CountingGame):
    """The same of a game that has slopes, which methods look for and which are not counted."""

    game: DifferentiableGame

    def gradients(self, masks: Float32[ndarray, "mask player"]) -> Float64[ndarray, "mask player"]:
        """The game's own."""
        return self.game.gradients(masks)


def count_masks(game: Game, progress: Progress, spent: Spent, total: int | None = None) -> Game:
    """The game with a count. A table stays what it is, because methods look for that."""
    if isinstance(game, TableGame):
        return game
    if isinstance(game, DifferentiableGame):
        return CountingSlopes(game, progress, spent, total)
    return CountingGame(game, progress, spent, total)
