"""Parts of a corpus that is mined: one for each stretch, merged eight at a time as they come, so
that what lies on disk goes with what is kept and not with the text.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.collect.code_shards import CodeTriples
from gloss.collect.mined_part import MinedPart, Mining, rounded_to_16_bits
from gloss.collect.part_files import Block, BlockFile, write_blocks
from gloss.collect.sequence_table import SequenceTable, priorities
from gloss.errors import Stopped
from gloss.store.lock import one_at_a_time

MERGED = 8  # parts at a time
HELD = 2**19  # entries that a range of features may have in one part
MERGING = "merging"  # what one process does at a time
ALL = "all.blocks"  # one part of the whole corpus
TYPICAL_STRATA = 2**4  # of a feature and a split, where it fires at all strengths


@dataclass(frozen=True)
class MinedShards:
    """A folder of parts that were made under one key. A part of another key is refused."""

    folder: Path
    key: str
    sequences: SequenceTable
    mining: Mining
    width: int  # features

    @cached_property
    def ranges(self) -> list[tuple[int, int]]:
        """The features that are in memory together."""
        most = 2 * (self.mining.strongest + TYPICAL_STRATA * self.mining.kept)
        step = max(1, HELD // most)
        return [(low, min(low + step, self.width)) for low in range(0, self.width, step)]

    def path(self, number: int, level: int = 0) -> Path:
        """The file of a part: of one stretch, or of eight parts of the level below."""
        return self.folder / f"part-{level}-{number:06d}.blocks"

    def whole_stretches(self, numbers: Iterable[int]) -> set[int]:
        """Those of these stretches that are in a part which holds what was written.

        Raises Mismatch if one was made under another key.
        """
        if not self.folder.exists():
            return set()
        with one_at_a_time(self.folder, MERGING):
            every, wanted = BlockFile.open(self.folder / ALL, self.key), set(numbers)
            if every is not None and self.holds(every):
                return wanted
            files = (
                BlockFile.open(path, self.key)
                for path in self.folder.glob("part-*.blocks")
                if not wanted.isdisjoint(stretches_of(path))
            )
            whole = {
                stretch
                for file in files
                if file is not None and self.holds(file)
                for stretch in stretches_of(file.path)
            }
        return whole & wanted

    def made_stretches(self, numbers: Iterable[int]) -> set[int]:
        """Those that a part has, by the names of the files."""
        if (self.folder / ALL).exists():
            return set(numbers)
        files = self.folder.glob("part-*.blocks")
        made = {stretch for path in files for stretch in stretches_of(path)}
        return made.intersection(numbers)

    def holds(self, file: BlockFile) -> bool:
        """Whether a file holds what was written, which is looked at once; it is deleted where it
        does not, and its stretches are read again.
        """
        there = file.path.stat()
        written = file.path, there.st_size, there.st_mtime_ns
        if written not in self.whole:
            if not file.is_whole:
                file.path.unlink(missing_ok=True)
                return False
            self.whole.add(written)
        return True

    @cached_property
    def whole(self) -> set[tuple[Path, int, int]]:
        """The files that were held against their hashes, with their sizes and times."""
        return set()

    def covering(self, number: int) -> tuple[int, int, BlockFile] | None:
        """The largest part that holds a stretch, with its level and its number there."""
        levels = {int(path.name.split("-")[1]) for path in self.folder.glob("part-*.blocks")}
        for level in sorted(levels, reverse=True):
            there = number // MERGED**level
            if (file := BlockFile.open(self.path(there, level), self.key)) is not None:
                return level, there, file
        return None

    def write(
        self,
        number: int,
        first: int,
        lengths: Int64[ndarray, " sequence"],
        width: int,
        codes: CodeTriples,
    ) -> None:
        """Keep what is kept of the stretch that begins at global token `first`, and merge what can
        be merged. Raises Unwritable.
        """
        order = np.argsort(codes.features.astype(np.int64) * int(lengths.sum()) + codes.positions)
        features, places = codes.features[order], codes.positions[order].astype(np.int64)
        begins = np.cumsum(lengths) - lengths
        own = np.repeat(np.arange(len(lengths)), lengths)[places]
        low = int(np.searchsorted(self.sequences.offsets, first))
        stretch = slice(low, low + len(lengths))
        in_background = np.zeros(len(lengths), bool)
        inside = slice(*np.searchsorted(self.sequences.background, [stretch.start, stretch.stop]))
        in_background[self.sequences.background[inside] - low] = True
        part = MinedPart.of(
            features,
            own + low,
            (places - begins[own]).astype(np.int32),
            rounded_to_16_bits(codes.values[order]),
            np.asarray(self.sequences.in_train[stretch])[own],
            in_background[own],
        )
        identities = np.asarray(self.sequences.identities[stretch])[part.sequences - low]
        drawn = priorities(self.mining.seed, part.features, identities)
        part = replace(part, priorities=drawn).sampled(self.mining)
        whole: Block = {
            "left_out": codes.left_out + first,
            "massive": np.array([codes.massive]),
        }
        ranged = (each.arrays for each in part.cut(self.ranges))
        write_blocks(self.path(number), self.key, chain([whole], ranged))
        self.carry(number)

    def carry(self, number: int) -> None:
        """Merge the parts that are complete now that this stretch is there; of several processes,
        one at a time.
        """
        level = 0
        while self.is_complete(number, level):
            with one_at_a_time(self.folder, MERGING):
                if self.is_complete(number, level):
                    group = number // MERGED ** (level + 1)
                    self.merge(self.children(number, level), self.path(group, level + 1))
            level += 1

    def children(self, number: int, level: int) -> list[Path]:
        """The parts that this one of a level is merged with, itself among them."""
        first = number // MERGED ** (level + 1) * MERGED
        return [self.path(first + each, level) for each in range(MERGED)]

    def is_complete(self, number: int, level: int) -> bool:
        """Whether all of these are there."""
        return all(path.exists() for path in self.children(number, level))

    def merge(self, paths: Sequence[Path], into: Path) -> BlockFile:
        """Write one part of several, and delete these. Raises Stopped where one is not there."""
        files = [BlockFile.open(path, self.key) for path in paths]
        if missing := [path for path, file in zip(paths, files, strict=True) if file is None]:
            raise Stopped(
                f"{missing[0]} went away while gloss worked; run the same command again, which"
                " makes it again"
            )
        found = [file for file in files if file is not None]
        write_blocks(into, self.key, self.merged(found))
        for path in paths:
            path.unlink(missing_ok=True)
        file = BlockFile.open(into, self.key)
        assert file is not None
        return file

    def merged(self, files: Sequence[BlockFile]) -> Iterator[Block]:
        """The blocks of one part that holds what all of these hold."""
        parts = [file.block(0) for file in files]
        yield {
            "left_out": np.sort(np.concatenate([part["left_out"] for part in parts])),
            "massive": sum((part["massive"] for part in parts), np.zeros(1, np.int64)),
        }
        for number in range(1, len(self.ranges) + 1):
            whole = MinedPart.together([MinedPart(**file.block(number)) for file in files])
            yield whole.sampled(self.mining).arrays

    def all(self, number: int) -> BlockFile:
        """One part of all so many stretches. Raises Stopped where one of them is not there."""
        into = self.folder / ALL
        if (file := BlockFile.open(into, self.key)) is not None:
            return file
        paths: list[Path] = []
        each = 0
        while each < number:
            if (found := self.covering(each)) is None:
                raise Stopped(
                    f"{self.path(each)} went away while gloss worked; run the same command again,"
                    " which makes it again"
                )
            level, there, _ = found
            paths.append(self.path(there, level))
            each = (there + 1) * MERGED**level
        return self.merge(paths, into)


def stretches_of(path: Path) -> range:
    """The stretches that a part holds, by its file's name."""
    _, level, number = path.stem.split("-")
    each = MERGED ** int(level)
    return range(int(number) * each, (int(number) + 1) * each)
