"""The append-only file of a game's values: packed masks and numbers in blocks, each with a checksum."""

import hashlib
import struct
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.errors import BadInput, Mismatch
from gloss.store.atomic import disk, flush

MAGIC = b"glosval1"
HEADER = struct.Struct("<8sI32s")  # what the file is, how many players, the SHA-256 of their names
BLOCK = struct.Struct("<IBI")  # masks, whether they were drawn uniformly, CRC-32 of the count and of what follows


class Block(NamedTuple):
    """Masks that were valued together: their bits, eight players to a byte, and their values."""

    masks: list[bytes]
    values: Float64[ndarray, " mask"]
    uniform: bool


class Journal:
    """One game's file. Whole blocks are read back; what a killed process left of a last one is cut off when the next is added.

    Raises Mismatch where the file belongs to other players, BadInput where it is no such file.
    """

    def __init__(self, path: Path, players: tuple[str, ...]) -> None:
        self.path = path
        self.width = (len(players) + 7) // 8  # bytes a mask
        names = hashlib.sha256("\0".join(players).encode()).digest()
        self._header = HEADER.pack(MAGIC, len(players), names)
        self._whole = 0  # bytes up to the end of the last whole block
        if path.exists():
            with path.open("rb") as file:
                begins = file.read(HEADER.size)
            self._check(begins, len(players))

    def _check(self, begins: bytes, players: int) -> None:
        if begins == self._header:
            self._whole = HEADER.size
            return
        if len(begins) < HEADER.size and self._header.startswith(begins):
            return  # killed while it was being made
        if begins[: len(MAGIC)] != MAGIC or len(begins) < HEADER.size:
            raise BadInput(f"{self.path} holds no values of a game; give another path, or none to keep them in memory")
        _, others, _ = HEADER.unpack(begins)
        raise Mismatch(
            f"{self.path} holds the values of a game of {others} other players, this one has {players}; "
            f"give each game a file of its own"
        )

    def blocks(self) -> Generator[Block]:
        """What was added, in order, up to the first block that is torn."""
        if not self._whole:
            return
        with self.path.open("rb") as file:
            file.seek(HEADER.size)
            self._whole = HEADER.size
            while len(head := file.read(BLOCK.size)) == BLOCK.size:
                count, uniform, checksum = BLOCK.unpack(head)
                body = file.read(count * (self.width + 8))
                if len(body) != count * (self.width + 8) or checksum != crc(count, uniform, body):
                    return
                self._whole = file.tell()
                bits, values = body[: count * self.width], np.frombuffer(body, np.float64, count, count * self.width)
                masks = [bits[begin : begin + self.width] for begin in range(0, len(bits), self.width)]
                yield Block(masks, values, bool(uniform))

    def add(self, block: Block) -> None:
        """Append a block; it is on the disk when this returns. Raises Unwritable."""
        body = b"".join(block.masks) + np.asarray(block.values, np.float64).tobytes()
        head = BLOCK.pack(len(block.masks), block.uniform, crc(len(block.masks), block.uniform, body))
        with disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if self._whole else "wb") as file:
                if not self._whole:
                    self._whole = file.write(self._header)
                file.seek(self._whole)
                self._whole += file.write(head + body)
                file.truncate()
            flush(self.path)


def crc(count: int, uniform: int, body: bytes) -> int:
    """The checksum of a block."""
    return zlib.crc32(body, zlib.crc32(struct.pack("<IB", count, uniform)))
