"""Tables of arrays one after the other in one file, of which any is read by itself: what is too
large for memory is written and read a range of features at a time.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray
from safetensors.numpy import load, save

from gloss.errors import Mismatch
from gloss.store.atomic import write_atomically
from gloss.store.sealed_json import CHANGED_CONTENT, damage_error

END = 8  # bytes at the end of a file: how long the list of its blocks is

Block = Mapping[str, ndarray]


def write_blocks(path: Path, key: str, blocks: Iterable[Block]) -> None:
    """Write the blocks as they come; the file appears whole. Raises Unwritable."""

    def write(temporary: Path) -> None:
        places: list[tuple[int, int, str]] = []
        with temporary.open("wb") as file:
            for block in blocks:
                content = save({name: np.ascontiguousarray(each) for name, each in block.items()})
                places.append((file.tell(), len(content), hashlib.sha256(content).hexdigest()))
                file.write(content)
            index = json.dumps({"key": key, "blocks": places}).encode()
            file.write(index)
            file.write(len(index).to_bytes(END, "little"))

    write_atomically(path, write)


@dataclass(frozen=True)
class BlockFile:
    """A file of blocks whose places are known."""

    path: Path
    places: tuple[tuple[int, int, str], ...]

    @staticmethod
    def open(path: Path, key: str) -> "BlockFile | None":
        """The file; None where there is none, or it does not end as it was written.

        Raises Mismatch where it was made under another key.
        """
        try:
            with path.open("rb") as file:
                file.seek(-END, 2)
                end = file.tell()
                size = int.from_bytes(file.read(END), "little")
                file.seek(max(0, end - size))
                found = json.loads(file.read(size))
        except (FileNotFoundError, OSError, ValueError):
            return None
        if found["key"] != key:
            raise Mismatch(
                f"{path} was made under key {str(found['key'])[:12]}, not {key[:12]}; delete"
                f" {path.parent}"
            )
        return BlockFile(path, tuple((at, size, digest) for at, size, digest in found["blocks"]))

    def __len__(self) -> int:
        return len(self.places)

    def content(self, number: int) -> bytes:
        """The bytes of one block."""
        at, size, _ = self.places[number]
        with self.path.open("rb") as file:
            file.seek(at)
            return file.read(size)

    def block(self, number: int) -> dict[str, ndarray]:
        """The arrays of one block. Raises Damaged where they are not what was written."""
        content = self.content(number)
        if hashlib.sha256(content).hexdigest() != self.places[number][2]:
            raise damage_error(self.path, CHANGED_CONTENT)
        return load(content)

    @property
    def is_whole(self) -> bool:
        """Whether every block holds what was written."""
        return all(
            hashlib.sha256(self.content(number)).hexdigest() == digest
            for number, (_, _, digest) in enumerate(self.places)
        )
