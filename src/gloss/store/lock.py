"""One writer a folder: a lock that goes with the process which holds it, and what killed writers
left is cleared away.
"""

import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from gloss.errors import Busy, Unwritable
from gloss.store.atomic import PARTIAL, disk_errors, remove_if_empty, remove_path, write_bytes

LOCK = ".lock"
POLL_SECONDS = 0.2
# of file systems without locks
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
# folders that hold no partial files, or are locked by themselves
OF_THEIR_OWN = frozenset({"page", "controls"})


@contextmanager
def sole_writer(folder: Path, *, wait: bool = False, of: str = "") -> Generator[None]:
    """Keep every other writer out of the folder, which is made, until the block ends or the process
    does.

    `of` locks one of several things in a folder, by its name. With `wait`, waits for another writer
    to end; otherwise raises Busy, which says who it is. The same thread may lock a folder again.
    Raises Unwritable.
    """
    path = folder.absolute() / f"{LOCK}{of and f'-{of}'}"
    if path in _joint:
        yield
        return
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # The file stays: on a network file system, who waits for one that is removed may lock
        # another than who comes next.
        lock = FileLock(path, is_singleton=True, preserve_lock_file=True)
        nested = lock.is_locked
        acquire_lock(lock, lock_holder_file(path), folder, wait=wait)
    try:
        if not nested:
            write_bytes(
                lock_holder_file(path),
                json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(),
            )
            remove_partial_files(folder, of)
        yield
    finally:
        if not nested:
            with suppress(OSError):  # the folder may have been removed meanwhile
                lock_holder_file(path).unlink()
                if made and [*folder.iterdir()] == [folder / path.name]:  # nothing came of it
                    path.unlink()
        lock.release()
        for each in made:
            remove_if_empty(each)


_joint: set[Path] = set()  # locks that this process holds with others of its job


@contextmanager
def joint_writer(folder: Path, job: str, *, wait: bool = False) -> Generator[None]:
    """Keep every writer out of the folder but the processes of one job, by its name, until the
    block ends.

    Inside, `sole_writer` of the folder has nobody to keep out. With `wait`, waits for others to
    end; otherwise raises Busy, which says who they are. Raises Unwritable.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder.absolute() / LOCK
    if path in _joint:
        yield
        return
    with disk_errors(path):
        file = path.open("a+")
    # The same kind of lock as above: `exclusive` keeps out, and is kept out by, all that share it.
    with file:
        while not join_job(file, folder, job):
            if not wait:
                raise Busy(
                    f"{describe_lock_holder(lock_holder_file(path))} works in {folder}; wait until"
                    " it is done (--wait does), stop it, or give another folder"
                )
            time.sleep(POLL_SECONDS)
        _joint.add(path)
        try:
            yield
        finally:
            _joint.discard(path)
            with suppress(OSError):  # others are there
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock_holder_file(path).unlink()


@contextmanager
def one_at_a_time(folder: Path, what: str) -> Generator[None]:
    """Wait until no other process does this in a folder that exists. Raises Unwritable."""
    with disk_errors(folder), FileLock(folder.absolute() / f"{LOCK}-{what}"):
        yield


def join_job(file: TextIO, folder: Path, job: str) -> bool:
    """Whether this process now shares the lock of the folder with its job's others.

    The first of them clears away what killed writers left.
    """
    holder = lock_holder_file(folder.absolute() / LOCK)
    with FileLock(folder.absolute() / f"{LOCK}-joining"):  # one after the other
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            who = {"pid": os.getpid(), "host": socket.gethostname(), "job": job}
            write_bytes(holder, json.dumps(who).encode())
            remove_partial_files(folder)
        try:
            if json.loads(holder.read_text("utf-8")).get("job") != job:
                return False
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # in the place of the other
        except (BlockingIOError, OSError, ValueError):
            return False
    return True


def acquire_lock(lock: FileLock, holder: Path, folder: Path, *, wait: bool) -> None:
    """Take the lock, at once or when it is free."""
    try:
        lock.acquire(timeout=0)
    except Timeout as taken:
        who = describe_lock_holder(holder)
        if not wait:
            raise Busy(
                f"{who} works in {folder}; wait until it is done (--wait does), stop it, or give"
                " another folder"
            ) from taken
        print(f"gloss: waiting for {who}, which works in {folder}", file=sys.stderr)
        lock.acquire(poll_interval=POLL_SECONDS)
    except OSError as problem:
        if problem.errno not in NO_LOCKS:
            raise
        raise Unwritable(
            f"{folder} is on a file system that grants no locks"
            f" ({(problem.strerror or str(problem)).lower()}), so nothing would keep a second gloss"
            " out; give a folder on a local disk, or have locks turned on where it is mounted"
        ) from problem


def lock_holder_file(lock: Path) -> Path:
    """The file that says who holds a lock."""
    return lock.with_name(f"{lock.name}.json")


def describe_lock_holder(holder: Path) -> str:
    """Who holds a lock, as far as it is known."""
    try:
        found = json.loads(holder.read_text("utf-8"))
        return f"another gloss (process {found['pid']} on {found['host']})"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun, or has just ended
        return "another gloss"


def remove_partial_files(folder: Path, of: str = "") -> None:
    """Remove the partial files and folders that killed writers left.

    Nobody else writes here now.
    """
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if name.endswith(PARTIAL) and of in name:
                with suppress(Unwritable):  # on a network file system somebody may still read it
                    remove_path(Path(above) / name)
        folders[:] = [
            name for name in folders if not name.endswith(PARTIAL) and name not in OF_THEIR_OWN
        ]
