"""Arrays as long as a text. They rest in files that have no name: what of them is looked at is in
memory, and is let go of where it has become much.
"""

import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import DTypeLike

from gloss.errors import Unwritable

SMALL = 2**20  # bytes that are not worth a file
ROOM = 2**25  # bytes of files that may be in memory besides those that were when it began
REACH = 2**20  # places of an array that are looked up between two looks at the memory in use
BLOCK = 2**18  # places that are worked on at a time
ON_DISK = Path("/var/tmp")  # where /tmp may lie in memory


class Resting:
    """The files of this process, and how much of all files was in memory before they were looked
    at.
    """

    def __init__(self) -> None:
        self.files: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()
        self.before = 0

    def begin_anew(self) -> None:
        self.before = file_bytes_in_memory()

    def add(self, file: mmap.mmap) -> None:
        if not self.files:
            self.begin_anew()
        self.files[id(file)] = file

    def let_go(self) -> None:
        """Give memory back where more than ROOM is in use. What was written stays in the files."""
        if not self.files or file_bytes_in_memory() <= self.before + ROOM:
            return
        for known in self.files.valuerefs():
            if (file := known()) is not None:
                file.madvise(mmap.MADV_DONTNEED)
        self.begin_anew()


RESTING = Resting()
# a process that is forked has none of the pages in memory that its parent has
os.register_at_fork(after_in_child=RESTING.begin_anew)


def resting_array(number: int, dtype: DTypeLike) -> ndarray:
    """An array of so many zeros that rests in a file; in memory where it is small.

    Raises Unwritable where there is no room for the file.
    """
    size = number * np.dtype(dtype).itemsize
    if size < SMALL:
        return np.zeros(number, dtype)
    try:
        with tempfile.TemporaryFile(dir=scratch_folder()) as file:
            # its room is taken now: a full disk found while a map is written would end the process
            take_room(file.fileno(), size)
            held = mmap.mmap(file.fileno(), size)
    except OSError as problem:
        raise Unwritable(
            f"there is no room for a file of {size:,} bytes that is needed meanwhile ({problem});"
            " set TMPDIR to a folder that has it"
        ) from problem
    RESTING.add(held)
    return np.frombuffer(held, dtype)


def take_room(file: int, size: int) -> None:
    """Make an empty file so long. Raises OSError where the disk has no room for it."""
    if sys.platform == "linux":
        os.posix_fallocate(file, 0, size)
        return
    for begin in range(0, size, SMALL):  # elsewhere a file that is merely long takes no room yet
        os.write(file, bytes(min(SMALL, size - begin)))


def let_go() -> None:
    """Give back the memory of arrays that rest, where it has become much."""
    RESTING.let_go()


def scratch_folder() -> Path:
    """Where files without a name lie: what TMPDIR says, or else a folder that is on a disk."""
    if "TMPDIR" not in os.environ and os.access(ON_DISK, os.W_OK):
        return ON_DISK
    return Path(tempfile.gettempdir())


def smallest_type(largest: int) -> DTypeLike:
    """What holds numbers up to this one, which are not negative, in the fewest bytes.

    >>> smallest_type(4095), smallest_type(70_000)
    (<class 'numpy.int16'>, <class 'numpy.int32'>)
    """
    return np.int16 if largest < 2**15 else np.int32 if largest < 2**31 else np.int64


def by_reach(at: Int64[ndarray, " place"], number: int) -> Iterator[slice]:
    """Ascending places of an array of so many, those at a time that lie within REACH of each other;
    what was looked at is let go of in between.
    """
    ends = np.searchsorted(at, np.arange(REACH, number + REACH, REACH)) if number > REACH else []
    first = 0
    for end in [*ends[:-1], len(at)]:
        if end > first or not first:
            yield slice(first, end)
            let_go()
        first = end


def look_up(values: ndarray, at: Int64[ndarray, " place"]) -> ndarray:
    """The values at ascending places, however long the array is."""
    if len(values) <= REACH:
        return values[at]
    found = [values[at[own]] for own in by_reach(at, len(values))]
    return np.concatenate([values[:0], *found])


def file_bytes_in_memory() -> int:
    """So many bytes of files this process holds in memory; 0 where the system does not say."""
    try:
        file = os.open("/proc/self/statm", os.O_RDONLY)  # asked often: without a buffer
    except OSError:
        return 0
    try:
        return int(os.read(file, 200).split()[2]) * mmap.PAGESIZE
    finally:
        os.close(file)


def place_blocks(number: int, size: int = BLOCK) -> Iterator[slice]:
    """So many places, some at a time; what was looked at is let go of in between.

    >>> list(place_blocks(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    for first in range(0, number, size):
        yield slice(first, min(first + size, number))
        let_go()


def sequence_blocks(
    offsets: Int64[ndarray, " sequence_and_end"], size: int = BLOCK
) -> Iterator[slice]:
    """The numbers of whole sequences that follow each other, of about so many tokens together.

    >>> list(sequence_blocks(np.array([0, 3, 4, 9, 10]), 4))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    first, last = 0, len(offsets) - 1
    while first < last:
        behind = int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1
        behind = min(max(behind, first + 1), last)
        yield slice(first, behind)
        let_go()
        first = behind
