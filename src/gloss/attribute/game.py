"""Games: functions of which players are kept, from a function, a table or elsewhere.

And every value that one gave, kept in memory and on disk.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Generator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from numpy import ndarray

from gloss.errors import BadInput, BadSettings, Mismatch
from gloss.store.atomic import disk_errors, flush_to_disk

Masks = Bool[ndarray, "mask player"]
Values = Float64[ndarray, " mask"]


@runtime_checkable
class Game(Protocol):
    """A value for every set of players that is kept.

    The same mask must give the same value, up to noise.

        >>> both = FunctionGame(("a", "b"), lambda masks: masks.all(axis=1))
        >>> both.values(np.array([[True, True], [True, False]]))
        array([1., 0.])
    """

    @property
    def players(self) -> tuple[str, ...]:
        """The names of the players, in the order of a mask's columns."""
        ...

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value of each mask: players that are True are kept, the others removed.

        Not a number where a value could not be had.
        """
        ...


@dataclass(frozen=True)
class FunctionGame:
    """A game from any function of masks.

    `FunctionGame(("a", "b"), lambda masks: masks.all(axis=1))` is an AND of two players.
    """

    players: tuple[str, ...]
    function: Callable[[Masks], Shaped[ndarray, " mask"]]

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """What the function says, as float64. Raises BadInput where it is not one number a mask."""
        values = np.asarray(self.function(masks), dtype=np.float64)
        if values.shape != (len(masks),):
            raise BadInput(
                f"the game gave values of shape {values.shape} for {len(masks)} masks; it must give"
                " one number a mask"
            )
        return values


@dataclass(frozen=True)
class TableGame:
    """A game of which only some masks were ever valued, as in datamodels (Ilyas et al., 2022):
    nothing else can be asked.
    """

    players: tuple[str, ...]
    masks: Bool[ndarray, "mask player"]
    measured: Float64[ndarray, " mask"]

    def __post_init__(self) -> None:
        if self.masks.shape != (len(self.measured), len(self.players)):
            raise BadInput(
                f"a table of {len(self.measured)} values and {len(self.players)} players has masks"
                f" of shape {self.masks.shape}; it needs one row a value and one column a player"
            )

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The values in the table. Raises BadInput for a mask that is not there."""
        known = dict(zip(packed_masks(self.masks), self.measured.tolist(), strict=True))
        missing = next(
            (row for row, key in enumerate(packed_masks(masks)) if key not in known), None
        )
        if missing is not None:
            raise BadInput(
                f"the table of {len(self.masks)} masks holds no value for mask {missing} of those"
                f" asked, with {int(masks[missing].sum())} players kept; use a method that takes"
                " masks as they come (auto, lasso)"
            )
        return np.array([known[key] for key in packed_masks(masks)])


def packed_masks(masks: Bool[ndarray, "mask player"]) -> list[bytes]:
    """Each mask as bytes, eight players to one."""
    packed = np.packbits(masks, axis=1)
    return [row.tobytes() for row in packed]


JOURNAL_MAGIC = b"glosval1"
# what the file is, how many players, the SHA-256 of their names
JOURNAL_HEADER = struct.Struct("<8sI32s")
# masks, whether they were drawn uniformly, CRC-32 of the count and of what follows
BLOCK_HEADER = struct.Struct("<IBI")


class JournalBlock(NamedTuple):
    """Masks that were valued together: their bits, eight players to a byte, and their values."""

    masks: list[bytes]
    values: Float64[ndarray, " mask"]
    uniform: bool


class Journal:
    """One game's file. Whole blocks are read back.

    What a killed process left of a last one is cut off when the next is added.

    Raises Mismatch where the file belongs to other players, BadInput where it is no such file.
    """

    def __init__(self, path: Path, players: tuple[str, ...]) -> None:
        self.path = path
        self.width = (len(players) + 7) // 8  # bytes a mask
        names = hashlib.sha256("\0".join(players).encode()).digest()
        self._header = JOURNAL_HEADER.pack(JOURNAL_MAGIC, len(players), names)
        self._whole = 0  # bytes up to the end of the last whole block
        if path.exists():
            with path.open("rb") as file:
                begins = file.read(JOURNAL_HEADER.size)
            self._check(begins, len(players))

    def _check(self, begins: bytes, players: int) -> None:
        if begins == self._header:
            self._whole = JOURNAL_HEADER.size
            return
        if len(begins) < JOURNAL_HEADER.size and self._header.startswith(begins):
            return  # killed while it was being made
        if begins[: len(JOURNAL_MAGIC)] != JOURNAL_MAGIC or len(begins) < JOURNAL_HEADER.size:
            raise BadInput(
                f"{self.path} holds no values of a game; give another path, or none to keep them in"
                " memory"
            )
        _, others, _ = JOURNAL_HEADER.unpack(begins)
        raise Mismatch(
            f"{self.path} holds the values of a game of {others} other players, this one has"
            f" {players}; give each game a file of its own"
        )

    def blocks(self) -> Generator[JournalBlock]:
        """What was added, in order, up to the first block that is torn."""
        if not self._whole:
            return
        with self.path.open("rb") as file:
            file.seek(JOURNAL_HEADER.size)
            self._whole = JOURNAL_HEADER.size
            while len(head := file.read(BLOCK_HEADER.size)) == BLOCK_HEADER.size:
                count, uniform, checksum = BLOCK_HEADER.unpack(head)
                body = file.read(count * (self.width + 8))
                if len(body) != count * (self.width + 8) or checksum != block_checksum(
                    count, uniform, body
                ):
                    return
                self._whole = file.tell()
                bits, values = (
                    body[: count * self.width],
                    np.frombuffer(body, np.float64, count, count * self.width),
                )
                masks = [
                    bits[begin : begin + self.width] for begin in range(0, len(bits), self.width)
                ]
                yield JournalBlock(masks, values, bool(uniform))

    def add(self, block: JournalBlock) -> None:
        """Append a block; it is on the disk when this returns. Raises Unwritable."""
        body = b"".join(block.masks) + np.asarray(block.values, np.float64).tobytes()
        head = BLOCK_HEADER.pack(
            len(block.masks), block.uniform, block_checksum(len(block.masks), block.uniform, body)
        )
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if self._whole else "wb") as file:
                if not self._whole:
                    self._whole = file.write(self._header)
                file.seek(self._whole)
                self._whole += file.write(head + body)
                file.truncate()
            flush_to_disk(self.path)


def block_checksum(count: int, uniform: int, body: bytes) -> int:
    """The checksum of a block."""
    return zlib.crc32(body, zlib.crc32(struct.pack("<IB", count, uniform)))


class ValuedMasks(NamedTuple):
    """Masks and what the game gave for them; only those that it gave a number for."""

    masks: Bool[ndarray, "mask player"]
    values: Float64[ndarray, " mask"]
    failed: int = 0  # masks that were asked for besides, and for which it gave none

    def concatenate(self, others: "ValuedMasks") -> "ValuedMasks":
        """These and then the others."""
        masks, values = (
            np.concatenate([self.masks, others.masks]),
            np.concatenate([self.values, others.values]),
        )
        return ValuedMasks(masks, values, self.failed + others.failed)


class Evaluations:
    """A game that remembers.

    A batch is on the disk before it is handed on; values that are not a number are not written.

    `path` names a file that a later run, or another method, goes on with; without one the values
    live as long as the object. The masks of a `TableGame` are known from the start. Raises
    BadSettings for a batch without masks, and what `Journal` raises.
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
        if isinstance(game, TableGame):
            self._keep(JournalBlock(packed_masks(game.masks), game.measured, uniform=True))
        self._journal = None if path is None else Journal(path, game.players)
        for block in self._journal.blocks() if self._journal else ():
            self._keep(block)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def available(self) -> int:
        """How many different masks have a value: all 2^n, or those of the table."""
        return len(self._pool) if isinstance(self.game, TableGame) else 2 ** len(self.players)

    def from_the_start(self) -> "Evaluations":
        """The same memory for another method: uniform masks come from the first one on again.

        What is paid for through one is known to both; each counts what it paid.
        """
        again = copy(self)
        again.paid = again._served = 0
        return again

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value of each mask; the game is asked for the new ones alone.

        Raises BadInput for masks of another width.
        """
        if masks.ndim != 2 or masks.shape[1] != len(self.players):
            raise BadInput(
                f"masks of shape {masks.shape} were given to a game of {len(self.players)} players"
            )
        return self._valued(packed_masks(masks), uniform=False)

    def uniform(self, count: int, rng: np.random.Generator) -> ValuedMasks:
        """The next `count` different masks in which each player is kept with probability 1/2.

        Those that an earlier run or method drew come first, and a run that was killed goes on with
        the masks it would have had. There are fewer where a table, or all 2^n masks, are used up.
        """
        if not isinstance(self.game, TableGame):
            self._draw(count, rng)
        taken = list(self._pool)[self._served : self._served + count]
        self._served += len(taken)
        values = self._valued(taken, uniform=True)
        had = np.isfinite(values)
        return ValuedMasks(self._unpacked(taken)[had], values[had], int((~had).sum()))

    def _draw(self, count: int, rng: np.random.Generator) -> None:
        """Add `count` masks to the pool that were not served before.

        Some of them may lie in it already.
        """
        n = len(self.players)
        seen = set(list(self._pool)[: self._served])
        left = min(count, 2**n - len(seen))
        while left > 0:
            for key in packed_masks(
                rng.integers(0, 2, size=(max(64, left), n), dtype=np.int8).astype(np.bool_)
            ):
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
                self._journal.add(
                    JournalBlock(
                        [key for key, known in zip(some, had, strict=True) if known],
                        values[had],
                        uniform,
                    )
                )
            self._keep(JournalBlock(some, values, uniform))
        return np.array([self._known[key] for key in asked])

    def _keep(self, block: JournalBlock) -> None:
        self._known.update(zip(block.masks, block.values.tolist(), strict=True))
        if block.uniform:
            self._pool.update(dict.fromkeys(block.masks))

    def _unpacked(self, packed: list[bytes]) -> Bool[ndarray, "mask player"]:
        width = (len(self.players) + 7) // 8
        bits = np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), width)
        return np.unpackbits(bits, axis=1, count=len(self.players)).astype(np.bool_)


def as_evaluations(game: Game) -> Evaluations:
    """The game itself where it remembers, or with a memory of its own."""
    return game if isinstance(game, Evaluations) else Evaluations(game)
