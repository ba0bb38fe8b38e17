"""Games: functions of which players are kept, from a function, a table or elsewhere.

And every value that one gave, kept in memory and on disk.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Generator
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
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
        """The values in the table, of a mask that it holds more than once their mean.

        Raises BadInput for a mask that is not there.
        """
        keys, known = packed_masks(masks), self._means
        if missing := [row for row, key in enumerate(keys) if key not in known]:
            raise BadInput(
                f"the table of {len(self.masks)} masks holds no value for mask {missing[0]} of"
                f" those asked, with {int(masks[missing[0]].sum())} players kept; use a method that"
                " takes masks as they come (auto, lasso)"
            )
        return np.array([known[key] for key in keys])

    @cached_property
    def _means(self) -> dict[bytes, float]:
        rows: dict[bytes, list[float]] = {}
        for key, value in zip(packed_masks(self.masks), self.measured.tolist(), strict=True):
            rows.setdefault(key, []).append(value)
        return {key: float(np.mean(each)) for key, each in rows.items()}


@runtime_checkable
class Redrawn(Protocol):
    """A game that can draw a value again that it would otherwise remember, such as a reply."""

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """Another draw of each mask's value, the `time`-th after the first."""
        ...


def costs_money(game: object) -> bool:
    """Whether each value of a game is paid for, as at an endpoint."""
    return bool(getattr(game, "costs_money", False))


def packed_masks(masks: Bool[ndarray, "mask player"]) -> list[bytes]:
    """Each mask as bytes, eight players to one."""
    packed = np.packbits(masks, axis=1)
    return [row.tobytes() for row in packed]


JOURNAL_MAGIC = b"glosval1"
# what the file is, how many players, the SHA-256 of their names
JOURNAL_HEADER = struct.Struct("<8sI32s")
# masks, how they were drawn, CRC-32 of the count and of what follows
BLOCK_HEADER = struct.Struct("<IBI")
# how masks were drawn; those of which each player was kept with another probability than one half
# have that in per cent
CHOSEN, UNIFORM, AGAIN = 0, 1, 2
# of masks: keep half, keep nearly all, or are learnt from alone
UNIFORM_KIND, NEAR_KIND, OTHER_KIND = 0, 1, 2
HALF = 50  # per cent of the players that a uniform mask keeps
MOST_DRAWS = 20  # batches in which masks that are hardly ever drawn are sought
ROUNDING = 1e-4  # of a value: a difference that arithmetic makes


class JournalBlock(NamedTuple):
    """Masks that were valued together: their bits, eight players to a byte, and their values."""

    masks: list[bytes]
    values: Float64[ndarray, " mask"]
    drawn: int


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
                count, drawn, checksum = BLOCK_HEADER.unpack(head)
                body = file.read(count * (self.width + 8))
                if len(body) != count * (self.width + 8) or checksum != block_checksum(
                    count, drawn, body
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
                yield JournalBlock(masks, values, drawn)

    def add(self, block: JournalBlock) -> None:
        """Append a block; it is on the disk when this returns. Raises Unwritable."""
        body = b"".join(block.masks) + np.asarray(block.values, np.float64).tobytes()
        head = BLOCK_HEADER.pack(
            len(block.masks), block.drawn, block_checksum(len(block.masks), block.drawn, body)
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


def block_checksum(count: int, drawn: int, body: bytes) -> int:
    """The checksum of a block."""
    return zlib.crc32(body, zlib.crc32(struct.pack("<IB", count, drawn)))


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


class Noise(NamedTuple):
    """How much a game's values differ when the same mask is asked about again."""

    deviation: float  # the standard deviation of one value, in the game's unit; 0 where all agree
    masks: int  # that were valued more than once


class UsedValues(NamedTuple):
    """Of different masks, and of masks that were asked about again."""

    numbers: int
    failed: int  # masks for which there was no number


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
        self.paid = 0  # values that the game was asked for through this object
        # masks that were asked about through this object, paid for or known; and asked about again
        self._used: dict[bytes, None] = {}
        self._used_again: set[bytes] = set()
        self._known: dict[bytes, float] = {}
        # masks that were drawn, in that order, by how many per cent of the players they keep
        self._pools: dict[int, dict[bytes, None]] = {}
        self._served: dict[int, int] = {}  # of each pool; of a table, rows
        self._written: dict[int, set[bytes]] = {}  # by how they were drawn
        self._again: dict[bytes, list[float]] = {}  # values of masks that were asked about again
        self._journal = None if path is None else Journal(path, game.players)
        for block in self._journal.blocks() if self._journal else ():
            self._keep(block)

    def __len__(self) -> int:
        return len(self._known) + self.asked_again

    @property
    def asked_again(self) -> int:
        """How many values are of masks that had one already."""
        return sum(map(len, self._again.values()))

    @property
    def available(self) -> int:
        """How many masks have a value: all 2^n, or the rows of the table."""
        return len(self.game.masks) if isinstance(self.game, TableGame) else 2 ** len(self.players)

    def used(self) -> "UsedValues":
        """How many values were asked for through this object, paid for or known."""
        numbers = sum(self._known[key] == self._known[key] for key in self._used)
        return UsedValues(numbers + len(self._used_again), len(self._used) - numbers)

    def used_masks(self) -> Bool[ndarray, "mask player"]:
        """Those masks, in the order in which they were asked about."""
        return self._unpacked(list(self._used))

    def from_the_start(self) -> "Evaluations":
        """The same memory for another method: masks that are drawn come from the first one on
        again.

        What is paid for through one is known to both; each counts what it paid.
        """
        again = copy(self)
        again.paid, again._served, again._used, again._used_again = 0, {}, {}, set()
        return again

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value of each mask; the game is asked for the new ones alone.

        Raises BadInput for masks of another width.
        """
        if masks.ndim != 2 or masks.shape[1] != len(self.players):
            raise BadInput(
                f"masks of shape {masks.shape} were given to a game of {len(self.players)} players"
            )
        return self._valued(packed_masks(masks), CHOSEN)

    def uniform(self, count: int, rng: np.random.Generator) -> ValuedMasks:
        """The next `count` different masks in which each player is kept with probability 1/2.

        Those that an earlier run or method drew come first, and a run that was killed goes on with
        the masks it would have had. There are fewer where a table, or all 2^n masks, are used up.
        Of a table they are its next rows, of which several may hold the same mask.
        """
        if isinstance(self.game, TableGame):
            begin = self._served.get(HALF, 0)
            self._served[HALF] = min(begin + count, len(self.game.masks))
            rows = slice(begin, self._served[HALF])
            return with_a_number(self.game.masks[rows], self.game.measured[rows])
        return self.near(count, HALF, rng)

    def near(self, count: int, percent: int, rng: np.random.Generator) -> ValuedMasks:
        """The next `count` different masks that keep each player with so many chances in a hundred.

        As `uniform`, from a pool of their own. There are fewer where others are hardly ever drawn,
        and none of a table.
        """
        if isinstance(self.game, TableGame):
            return with_a_number(self.game.masks[:0], self.game.measured[:0])
        begin = self._served.get(percent, 0)
        drawn = self._draw(count, percent, rng)
        taken = list(islice(self._pools[percent], begin, begin + drawn))
        self._served[percent] = begin + len(taken)
        values = self._valued(taken, UNIFORM if percent == HALF else percent)
        return with_a_number(self._unpacked(taken), values)

    def _draw(self, count: int, percent: int, rng: np.random.Generator) -> int:
        """Add `count` masks to a pool that were not served before, or as many as are drawn.

        Some of them may lie in it already.
        """
        n = len(self.players)
        pool = self._pools.setdefault(percent, {})
        seen = set(islice(pool, self._served.get(percent, 0)))
        wanted = left = min(count, 2**n - len(seen))
        for _ in range(MOST_DRAWS if percent != HALF else count * 1000):
            if left <= 0:
                break
            size = (max(64, left), n)
            drawn = (
                rng.integers(0, 2, size=size, dtype=np.int8).astype(np.bool_)
                if percent == HALF
                else rng.random(size) < percent / 100
            )
            for key in packed_masks(drawn):
                if left > 0 and key not in seen:
                    seen.add(key)
                    left -= 1
                    pool.setdefault(key)
        return wanted - left

    def drawn(self) -> Bool[ndarray, "mask player"]:
        """The masks that `uniform` has served through this object, and that have a value."""
        served = islice(self._pools.get(HALF, ()), self._served.get(HALF, 0))
        return self._unpacked([key for key in served if key in self._known])

    def ask_again(
        self, masks: Bool[ndarray, "mask player"], least: int = 1
    ) -> Float64[ndarray, " mask"]:
        """Another value of each mask; those that were asked about again `least` times already are
        remembered. Not a number where none could be had, or can be, as of a table.
        """
        keys = packed_masks(masks)
        new = [key for key in keys if len(self._again.get(key, ())) < least]
        if new and not isinstance(self.game, TableGame):
            asked = self._unpacked(new)
            values = np.asarray(
                self.game.values_again(asked, least)
                if isinstance(self.game, Redrawn)
                else self.game.values(asked),
                dtype=np.float64,
            )
            self.paid += len(new)
            self._add(new, values, AGAIN)
        self._used_again.update(key for key in keys if key in self._again)
        return np.array([self._again.get(key, [np.nan])[-1] for key in keys])

    def masks_asked_again(self) -> Bool[ndarray, "mask player"]:
        """Those that were asked about more than once, here or in an earlier run, in that order."""
        return self._unpacked(list(self._again))

    def noise(self) -> Noise | None:
        """What masks say that were asked about again through this object, or that a table holds
        more than once; None where there are none.
        """
        groups = [
            [self._known[key], *more]
            for key, more in self._again.items()
            if key in self._used_again
        ]
        if isinstance(self.game, TableGame):
            rows: dict[bytes, list[float]] = {}
            values = self.game.measured.tolist()
            for key, value in zip(packed_masks(self.game.masks), values, strict=True):
                rows.setdefault(key, []).append(value)
            groups = [each for each in rows.values() if len(each) > 1]
        if not groups:
            return None
        squares = sum(float(np.square(np.array(each) - np.mean(each)).sum()) for each in groups)
        deviation = float(np.sqrt(squares / sum(len(each) - 1 for each in groups)))
        size = max(abs(value) for each in groups for value in each)
        return Noise(deviation if deviation > ROUNDING * size else 0.0, len(groups))

    def _valued(self, asked: list[bytes], drawn: int) -> Float64[ndarray, " mask"]:
        if isinstance(self.game, TableGame):
            return self.game.values(self._unpacked(asked))
        self._used.update(dict.fromkeys(asked))
        keys = [key for key in dict.fromkeys(asked) if self._is_news(key, drawn)]
        for begin in range(0, len(keys), self.batch):
            some = keys[begin : begin + self.batch]
            values = {key: self._known.get(key, np.nan) for key in some}
            if new := [key for key in some if key not in self._known]:
                given = np.asarray(self.game.values(self._unpacked(new)), dtype=np.float64)
                values |= dict(zip(new, given.tolist(), strict=True))
                self.paid += len(new)
            self._add(some, np.array([values[key] for key in some]), drawn)
        return np.array([self._known[key] for key in asked])

    def _is_news(self, key: bytes, drawn: int) -> bool:
        """Whether a mask has no value, or is to be written down as one that was drawn, or else a
        later run would draw others.
        """
        unwritten = drawn != CHOSEN and key not in self._written.get(drawn, ())
        return key not in self._known or unwritten

    def _add(self, keys: list[bytes], values: Float64[ndarray, " mask"], drawn: int) -> None:
        """Remember, and write down those that are a number."""
        had = np.isfinite(values)
        if self._journal and had.any():
            numbers = [key for key, known in zip(keys, had, strict=True) if known]
            self._journal.add(JournalBlock(numbers, values[had], drawn))
        self._keep(JournalBlock(keys, values, drawn))

    def _keep(self, block: JournalBlock) -> None:
        if block.drawn == AGAIN:
            for key, value in zip(block.masks, block.values.tolist(), strict=True):
                if value == value:
                    self._again.setdefault(key, []).append(value)
            return
        self._known.update(zip(block.masks, block.values.tolist(), strict=True))
        if block.drawn != CHOSEN:
            percent = HALF if block.drawn == UNIFORM else block.drawn
            self._pools.setdefault(percent, {}).update(dict.fromkeys(block.masks))
            self._written.setdefault(block.drawn, set()).update(block.masks)

    def _unpacked(self, packed: list[bytes]) -> Bool[ndarray, "mask player"]:
        width = (len(self.players) + 7) // 8
        bits = np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), width)
        return np.unpackbits(bits, axis=1, count=len(self.players)).astype(np.bool_)


def with_a_number(
    masks: Bool[ndarray, "mask player"], values: Float64[ndarray, " mask"]
) -> ValuedMasks:
    """Those that have one; the others are counted as failed."""
    had = np.isfinite(values)
    return ValuedMasks(masks[had], values[had], int((~had).sum()))


def as_evaluations(game: Game) -> Evaluations:
    """The game itself where it remembers, or with a memory of its own."""
    return game if isinstance(game, Evaluations) else Evaluations(game)
