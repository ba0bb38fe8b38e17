"""Keeps a folder of this machine and a folder of an object store alike.

A marker (`*.done`) vouches for files beside it. It is the last that is put there and the last that
is taken from there, so that whoever sees a marker has what it speaks of. What is there is never
replaced by other content while a marker vouches for it.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar

from gloss.errors import Damaged, GlossError
from gloss.store.atomic import PARTIAL, remove_path, write_bytes
from gloss.store.lock import LOCK
from gloss.store.remote import AT_ONCE, RemoteFolder, StoredFile, local_folder, url_of
from gloss.store.sealed_json import FILES, read_sealed_json
from gloss.store.shard_groups import SHARDS, ShardGroup, group_of

INDEX = ".mirror.json"  # which files are the same here and there
MARKER, GROUP, PART = ".done", "group-", "part-"
Wanted = Callable[[str], bool]  # of a file, by its name seen from the folder
T = TypeVar("T")
# of a file there, its bytes and second; of it here, its bytes and time; and whether it was settled
Stamp = tuple[int, int, int, int, int]
SETTLED = 3  # seconds, of which stores count whole ones; within them a file may have changed unseen


class Mirror:
    """A folder that mirrors one of an object store, and what both are known to hold.

    Use one at a time of a folder for writing.
    """

    def __init__(self, folder: Path, remote: RemoteFolder) -> None:
        self.folder, self.remote = folder, remote
        self.index = read_index(folder / INDEX)
        self.there: dict[str, StoredFile] = {}  # as the last look, and what was put since, tell

    @classmethod
    def of(cls, folder: Path) -> "Mirror | None":
        """The mirror that a folder is; None where it is nobody's. Raises BadInput."""
        url = url_of(folder)
        return cls(local_folder(url), RemoteFolder.open(url)) if url else None

    def look(self) -> None:
        """See what is there. Raises Unreachable, and BadInput where the store refuses."""
        self.there = self.remote.listing()

    def same(self, name: str) -> bool:
        """Whether a file is the same here and there, as far as both have not been touched since."""
        found, known = self.there.get(name), self.index.get(name)
        return (
            found is not None
            and known is not None
            and known[:2] == (found.size, found.seconds)
            and known[2:4] == file_times(self.folder / name)
        )

    def has_come(self, name: str) -> bool:
        """The same, and that no change of it there can have been missed."""
        return self.same(name) and bool(self.index[name][4])

    def is_newer_here(self, name: str) -> bool:
        """Whether a file is not there, or was written here since it was the same: not where another
        machine has replaced it there.
        """
        known = self.index.get(name)
        return (
            name not in self.there or known is None or known[2:4] != file_times(self.folder / name)
        )

    # from there

    def fetch(self, wanted: Wanted, alone: Wanted, *, missing: bool = False) -> None:
        """Bring what is not the same here: every marker, those `wanted` of the files that markers
        speak of, and files that stand `alone`.

        With `missing`, what is here stays as it is, since it is newer. Files come before the
        markers that vouch for them. Parts that a group holds stay there, and so does what no marker
        speaks of, as a killed writer leaves it.
        """
        markers = [
            name
            for name in sorted(self.there)
            if name.endswith(MARKER) and not (self.is_in_group(name) or self.is_held_here(name))
        ]

        def is_new(name: str) -> bool:
            return not ((self.folder / name).exists() if missing else self.has_come(name))

        changed = list(filter(is_new, markers))
        found = zip(changed, self.at_once(self.remote.read, changed), strict=True)
        content = {name: said for name, said in found if said is not None}
        vouched = {
            each
            for name in markers
            for each in files_of_marker(name, content.get(name) or read_quietly(self.folder / name))
        }
        files = [
            name
            for name in sorted(self.there)
            if (wanted(name) if name in vouched else not name.endswith(MARKER) and alone(name))
            and is_new(name)
        ]
        for name in content:  # so that none speaks of files that are being exchanged
            remove_path(self.folder / name)
        came = self.at_once(self.bring, files)
        gone = {name for name, here in zip(files, came, strict=True) if not here}
        for name, said in content.items():
            if not gone.isdisjoint(files_of_marker(name, said)):
                continue  # it was put into a group meanwhile, which comes with the next look
            write_bytes(self.folder / name, said, flush=False)
            self.note(name, self.there[name], came=True)
        self.save_index()

    def bring(self, name: str) -> bool:
        """Take one file from there; False where it is gone."""
        found = self.there[name]
        if came := self.remote.fetch(name, self.folder / name, found.size):
            self.note(name, found, came=True)
        return came

    def tables(self, place: str, table: str) -> list[str]:
        """The files there that hold the rows of a kind in a folder, of what has a marker. One that
        is not the same here is read there.
        """
        markers = [
            name
            for name in sorted(self.there)
            if name.endswith(MARKER) and PurePosixPath(name).parent.as_posix() == place
        ]
        return [
            name
            for marker in markers
            if not self.is_in_group(marker)
            for name in files_of_marker(
                marker,
                read_quietly(self.folder / marker)
                if self.same(marker)
                else self.remote.read(marker),
            )
            if name in self.there
            and (
                (f"/{table}/" in name and name.endswith(".parquet"))
                or name.endswith(f"/{table}.parquet")
            )
        ]

    # to there

    def publish(self, markers: Sequence[str], alone: Iterable[str]) -> None:
        """Put there what these markers speak of, then themselves; before, files that need none.

        They go in the order in which they were written. Parts that a group holds go away there once
        the group is whole.
        """
        self.at_once(self.put, [name for name in alone if self.is_newer_here(name)])
        changed = [name for name in markers if self.is_newer_here(name)]
        changed.sort(key=lambda name: file_times(self.folder / name)[1])
        spoken_of = {name: self.files_here(name) for name in changed}
        ready = [name for name, files in spoken_of.items() if files is not None]
        for name in ready:
            if name in self.there:
                self.withdraw(name)
        files = {each for name in ready for each in spoken_of[name] or ()}
        self.at_once(self.put, sorted(name for name in files if not self.same(name)))
        # a file that went away meanwhile was put into a group, which comes with the next look
        whole = [name for name in ready if all(self.same(each) for each in spoken_of[name] or ())]
        self.at_once(self.put, whole)
        groups = [name for name in markers if PurePosixPath(name).name.startswith(GROUP)]
        self.remove_grouped([name for name in groups if self.same(name)])
        self.save_index()

    def files_here(self, marker: str) -> list[str] | None:
        """The files that a marker speaks of; None where it is damaged, lies in a group, or where
        not all of them are here.
        """
        if self.is_in_group(marker) or self.is_held_here(marker):
            return None
        said = files_of_marker(marker, read_quietly(self.folder / marker))
        here = all((self.folder / name).is_file() for name in said)
        return said if here and is_intact(self.folder / marker) else None

    def put(self, name: str) -> None:
        """Put one file there, unless it has just gone from here."""
        path = self.folder / name
        with suppress(FileNotFoundError):
            before = file_times(path)
            found = self.remote.put(name, path)
            if before == file_times(path):  # otherwise once more, with the next look
                self.there[name] = found
                self.note(name, found)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Put a file there that is not kept here."""
        self.there[name] = self.remote.put(name, content)

    def withdraw_missing(self) -> None:
        """Take the markers away there that are not here."""
        missing = [
            name
            for name in sorted(self.there)
            if name.endswith(MARKER)
            and not self.is_in_group(name)
            and not self.is_held_here(name)  # it goes once the group is there
            and not (self.folder / name).exists()
        ]
        self.at_once(self.withdraw, missing)

    def withdraw(self, name: str) -> None:
        """Take a file away there."""
        self.remote.remove(name)
        self.there.pop(name, None)
        self.index.pop(name, None)

    def remove_grouped(self, groups: Sequence[str]) -> None:
        """Take away there what these groups hold, now that they are there; the markers first."""
        shards: dict[tuple[PurePosixPath, int], range] = {}
        for group in groups:
            place, number = PurePosixPath(group).parent, shard_number(group)
            with suppress(Damaged):
                shards[place, number] = ShardGroup(self.folder / place, number).shards
        if not shards:
            return

        def is_held(name: str) -> bool:
            path = PurePosixPath(name)
            if not path.name.startswith(PART):
                return False
            shard = shard_number(name)
            places = list(path.parents)[:2]  # of a marker, and of a file in the folder of a table
            return any(shard in shards.get((place, shard // SHARDS), ()) for place in places)

        held = sorted(filter(is_held, self.there))
        markers = [name for name in held if name.endswith(MARKER)]
        # of a store that lets nobody delete; who reads takes the group's word
        with suppress(GlossError):
            self.at_once(self.withdraw, markers)
            self.at_once(self.withdraw, sorted({*held} - {*markers}))

    # both

    def is_in_group(self, marker: str) -> bool:
        """Whether the marker of a part is that of one that a group there holds."""
        path = PurePosixPath(marker)
        group = f"{GROUP}{shard_number(marker) // SHARDS:05d}{MARKER}"
        return path.name.startswith(PART) and (path.parent / group).as_posix() in self.there

    def is_held_here(self, marker: str) -> bool:
        """Whether the marker of a part is that of one that a group here holds."""
        path = self.folder / marker
        with suppress(Damaged):
            held = path.name.startswith(PART)
            return held and group_of(path.parent, shard_number(marker)) is not None
        return False

    def note(self, name: str, found: StoredFile, *, came: bool = False) -> None:
        """Remember that a file is the same here and there: one that `came`, or was put there."""
        settled = not came or abs(time.time() - found.seconds) > SETTLED
        times = file_times(self.folder / name)
        self.index[name] = (found.size, found.seconds, *times, int(settled))

    def save_index(self) -> None:
        """Keep what is remembered for the next command."""
        write_bytes(self.folder / INDEX, json.dumps(self.index).encode(), flush=False)

    def at_once(self, work: Callable[[str], T], names: Iterable[str]) -> list[T]:
        """Do the same with several files, some at a time, in their order."""
        every = list(names)
        if len(every) < 2:
            return [work(name) for name in every]
        with ThreadPoolExecutor(min(AT_ONCE, len(every))) as pool:
            try:
                return list(pool.map(work, every))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def local_names(folder: Path, skipped: frozenset[str] = frozenset()) -> Iterator[str]:
    """The names of all whole files in a folder and below, seen from it; not in the skipped ones."""
    for above, folders, files in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in skipped and not name.endswith(PARTIAL)
        ]
        place = Path(above).relative_to(folder)
        yield from (
            (place / name).as_posix()
            for name in files
            if not name.endswith(PARTIAL) and not name.startswith((INDEX, LOCK))
        )


def files_of_marker(marker: str, content: bytes | None) -> list[str]:
    """The names of the files that a marker speaks of, seen from where its own name is; none of one
    that cannot be read.
    """
    place = PurePosixPath(marker).parent
    try:
        return [(place / name).as_posix() for name in json.loads(content or b"{}")[FILES]]
    except (ValueError, TypeError, LookupError):
        return []


def is_intact(marker: Path) -> bool:
    """Whether a marker holds what was written."""
    try:
        return bool(read_sealed_json(marker))
    except Damaged:
        return False


def shard_number(name: str) -> int:
    """The number of a part or of a group, by the name of a file of it."""
    digits = PurePosixPath(name).stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1


def file_times(path: Path) -> tuple[int, int]:
    """What tells that a file here was touched; of no file, what none has."""
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return found.st_size, found.st_mtime_ns


def read_quietly(path: Path) -> bytes | None:
    """What a file here holds; None where there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def read_index(path: Path) -> dict[str, Stamp]:
    """What was remembered; nothing where that is damaged."""
    try:
        found = json.loads(path.read_bytes())
        return {str(name): (*map(int, stamp),) for name, stamp in found.items()}  # pyright: ignore[reportReturnType]
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
