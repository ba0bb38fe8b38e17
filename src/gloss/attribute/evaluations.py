"""Every value that a game gave, kept in memory and on disk, so that nothing is paid for twice."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.game import Game, Table, keys
from gloss.attribute.journal import Block, Journal
from gloss.errors import BadInput, BadSettings


class Valued(NamedTuple):
    """Masks and what the game gave for them; only those that it gave a number for."""

    masks: Bool[ndarray, "mask player"]
    values: Float64[ndarray, " mask"]
    failed: int = 0  # masks that were asked for besides, and for which it gave none

    def joined(self, others: "Valued") -> "Valued":
        """These and then the others."""
        masks, values = np.concatenate([self.masks, others.masks]), np.concatenate([self.values, others.values])
        return Valued(masks, values, self.failed + others.failed)


class Evaluations:
    """A game that remembers. A batch is on the disk before it is handed on; values that are not a number are not written.

    `path` names a file that a later run, or another method, goes on with; without one the values live as long as the object. The
    masks of a `Table` are known from the start. Raises BadSettings for a batch without masks, and what `Journal` raises.
    """

    def __init__(self, game: Game, path: Path | None = None, batch: int = 256) -> None:
        if batch < 1:
            raise BadSettings(f"batch is {batch}; a game is asked for at least one mask at a time")
        self.game = game
        self.players = game.players
        self.batch = batch
        self.paid = 0  # masks that the game was asked for through this object
        self._known: dict[bytes, float] = {}
        self._pool: dict[bytes, None] = {}  # masks drawn uniformly, in that order
        self._served = 0  # of the pool
        if isinstance(game, Table):
            self._keep(Block(keys(game.masks), game.measured, uniform=True))
        self._journal = None if path is None else Journal(path, game.players)
        for block in self._journal.blocks() if self._journal else ():
            self._keep(block)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def available(self) -> int:
        """How many different masks have a value: all 2^n, or those of the table."""
        return len(self._pool) if isinstance(self.game, Table) else 2 ** len(self.players)

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value of each mask; the game is asked for the new ones alone. Raises BadInput for masks of another width."""
        if masks.ndim != 2 or masks.shape[1] != len(self.players):
            raise BadInput(f"masks of shape {masks.shape} were given to a game of {len(self.players)} players")
        return self._valued(keys(masks), uniform=False)

    def uniform(self, count: int, rng: np.random.Generator) -> Valued:
        """The next `count` different masks in which each player is kept with probability 1/2.

        Those that an earlier run or method drew come first, and a run that was killed goes on with the masks it would have
        had. There are fewer where a table, or all 2^n masks, are used up.
        """
        if not isinstance(self.game, Table):
            self._draw(count, rng)
        taken = list(self._pool)[self._served : self._served + count]
        self._served += len(taken)
        values = self._valued(taken, uniform=True)
        had = np.isfinite(values)
        return Valued(self._unpacked(taken)[had], values[had], int((~had).sum()))

    def _draw(self, count: int, rng: np.random.Generator) -> None:
        """Add `count` masks to the pool that were not served before; some of them may lie in it already."""
        n = len(self.players)
        seen = set(list(self._pool)[: self._served])
        left = min(count, 2**n - len(seen))
        while left > 0:
            for key in keys(rng.integers(0, 2, size=(max(64, left), n), dtype=np.int8).astype(np.bool_)):
                if left > 0 and key not in seen:
                    seen.add(key)
                    left -= 1
                    self._pool.setdefault(key)

    def _valued(self, asked: list[bytes], *, uniform: bool) -> Float64[ndarray, " mask"]:
        new = [key for key in dict.fromkeys(asked) if key not in self._known]
        for begin in range(0, len(new), self.batch):
            some = new[begin : begin + self.batch]
            values = np.asarray(self.game.values(self._unpacked(some)), dtype=np.float64)
            self.paid += len(some)
            had = np.isfinite(values)
            if self._journal and had.any():
                self._journal.add(Block([key for key, known in zip(some, had, strict=True) if known], values[had], uniform))
            self._keep(Block(some, values, uniform))
        return np.array([self._known[key] for key in asked])

    def _keep(self, block: Block) -> None:
        self._known.update(zip(block.masks, block.values.tolist(), strict=True))
        if block.uniform:
            self._pool.update(dict.fromkeys(block.masks))

    def _unpacked(self, packed: list[bytes]) -> Bool[ndarray, "mask player"]:
        width = (len(self.players) + 7) // 8
        bits = np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), width)
        return np.unpackbits(bits, axis=1, count=len(self.players)).astype(np.bool_)


def remembered(game: Game) -> Evaluations:
    """The game itself where it remembers, or with a memory of its own."""
    return game if isinstance(game, Evaluations) else Evaluations(game)
