"""Codes of a stretch of the corpus, in one file that is there whole or not at all: what a killed
run need not do again.
"""

import hashlib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt32
from numpy import ndarray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gloss.errors import Mismatch
from gloss.store.atomic import write_bytes


@dataclass(frozen=True, slots=True)
class CodeTriples:
    """Non-zero codes in any order: which feature, at which token of the stretch, how strong; and
    which tokens were left out.
    """

    features: Int32[ndarray, " nonzero"]
    positions: UInt32[ndarray, " nonzero"]
    values: Float32[ndarray, " nonzero"]
    # ascending
    left_out: Int64[ndarray, " left_out"] = field(default_factory=lambda: np.empty(0, np.int64))
    massive: int = 0  # of these


@dataclass(frozen=True)
class CodeShards:
    """A folder of shards that were made under one key. A shard of another key is refused."""

    folder: Path
    key: str

    def path(self, number: int) -> Path:
        return self.folder / f"shard-{number:06d}.safetensors"

    def whole_stretches(self, numbers: Iterable[int]) -> set[int]:
        """Those of these shards that are done, and hold what was written.

        Raises Mismatch if one was made under another key.
        """
        return {number for number in numbers if self.is_whole(number)}

    def made_stretches(self, numbers: Iterable[int]) -> set[int]:
        """Those of which a file is there, by the names of the files."""
        names = (path.stem.removeprefix("shard-") for path in self.folder.glob("shard-*"))
        return set(map(int, names)).intersection(numbers)

    def is_whole(self, number: int) -> bool:
        """Whether the shard is done, and holds what was written.

        Raises Mismatch if it was made under another key.
        """
        try:
            with safe_open(self.path(number), framework="numpy") as file:
                metadata = file.metadata() or {}
                same = metadata.get("digest") == tensors_digest(
                    {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                )
        except (FileNotFoundError, SafetensorError):
            return False
        if (found := metadata.get("key")) != self.key:
            raise Mismatch(
                f"{self.path(number)} was made under key {str(found)[:12]}, not {self.key[:12]};"
                f" delete {self.folder}"
            )
        return same

    def write(
        self,
        number: int,
        first: int,
        lengths: Int64[ndarray, " sequence"],
        width: int,
        codes: CodeTriples,
    ) -> None:
        """Store the codes of the stretch that begins at global token `first`. Raises Unwritable."""
        own = {
            "first": np.array([first]),
            "left_out": codes.left_out + first,
            "massive": np.array([codes.massive]),
        }
        tensors = sort_codes_by_feature(codes, lengths, width) | own
        write_bytes(
            self.path(number), save(tensors, {"key": self.key, "digest": tensors_digest(tensors)})
        )

    @contextmanager
    def open_shard(self, number: int) -> Generator["CodeShard"]:
        with safe_open(self.path(number), framework="numpy") as file:
            yield CodeShard(file)


@dataclass(frozen=True)
class CodeShard:
    """One stored shard, of which parts are read."""

    file: Any

    @property
    def counts(self) -> Int64[ndarray, " feature"]:
        """Non-zeros of each feature."""
        return np.diff(self.file.get_tensor("indptr"))

    @property
    def sequences(self) -> Int64[ndarray, " feature"]:
        """Sequences in which each feature fires."""
        return self.file.get_tensor("sequences")

    @property
    def maxima(self) -> Float32[ndarray, " feature"]:
        """Each feature's largest magnitude."""
        return self.file.get_tensor("maxima")

    @property
    def left_out(self) -> Int64[ndarray, " left_out"]:
        """Global indices of the tokens at which nothing is stored, ascending."""
        return self.file.get_tensor("left_out")

    @property
    def massive(self) -> int:
        """How many of these are massive."""
        return int(self.file.get_tensor("massive")[0])

    def of_features(
        self, first: int, last: int
    ) -> tuple[Int64[ndarray, " feature"], ndarray, Float32[ndarray, " nonzero"]]:
        """Counts, global positions and values of the features from `first` up to `last`, feature
        after feature.
        """
        indptr = self.file.get_slice("indptr")[first : last + 1]
        begin, end = int(indptr[0]), int(indptr[-1])
        if begin == end:
            return np.diff(indptr), np.empty(0, np.int64), np.empty(0, np.float32)
        positions = self.file.get_slice("positions")[begin:end] + self.file.get_tensor("first")
        return np.diff(indptr), positions, self.file.get_slice("values")[begin:end]


def tensors_digest(tensors: Mapping[str, ndarray]) -> str:
    """A hash of all that a shard holds."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        whole.update(tensors[name].tobytes())
    return whole.hexdigest()


def sort_codes_by_feature(
    codes: CodeTriples, lengths: Int64[ndarray, " sequence"], width: int
) -> dict[str, ndarray]:
    """The codes sorted by feature, then by position, with what each feature amounts to in this
    stretch.
    """
    total, counts = int(lengths.sum()), np.bincount(codes.features, minlength=width)
    order = ascending_rows(codes.features.astype(np.int64) * total + codes.positions, width * total)
    features = np.repeat(np.arange(width, dtype=np.int32), counts)
    positions, values = codes.positions[order], codes.values[order]
    sequences = np.repeat(np.arange(len(lengths)), lengths).take(positions)
    first_there = np.ones(len(features), dtype=bool)
    first_there[1:] = (features[1:] != features[:-1]) | (sequences[1:] != sequences[:-1])
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    maxima = np.zeros(width, dtype=np.float32)
    alive = np.flatnonzero(np.diff(indptr))
    if len(alive):
        maxima[alive] = np.maximum.reduceat(np.abs(values), indptr[alive])
    return {
        "indptr": indptr,
        "positions": positions,
        "values": values,
        "sequences": np.bincount(features[first_there], minlength=width).astype(np.int64),
        "maxima": maxima,
    }


def ascending_rows(keys: Int64[ndarray, " row"], below: int) -> Int64[ndarray, " row"]:
    """The rows in the order of their keys, which are numbers below this one; rows of equal keys
    ascend.

    Each row stands behind its key in one number where both fit: sorted in a third of the time.
    """
    bits = max(len(keys) - 1, 0).bit_length()
    if below << bits > 2**63:
        return np.argsort(keys, kind="stable")
    return np.sort((keys << bits) | np.arange(len(keys))) & ((1 << bits) - 1)
