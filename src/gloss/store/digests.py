"""Hashes of whole files, and a memory of them: a file that has not been touched since is not read
again.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from gloss.errors import BadInput, Unwritable
from gloss.store.atomic import write_bytes

REMEMBERED = 2**20  # bytes; smaller files are read each time
# nanoseconds since the last change before a hash is kept: clocks of file systems tick this coarsely
SETTLED = 2 * 10**9


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's whole content, read now. Raises BadInput where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise BadInput(
            f"{path} cannot be read: {(problem.strerror or str(problem)).lower()}; make it readable"
        ) from problem


def cached_file_digest(path: Path) -> str:
    """The same, from memory where the file is the very one that was hashed before.

    The very one has the same path, size, inode and times of its last change. As long as one further
    change could leave the same times behind, nothing is kept. The memory is a folder in the user's
    cache; without one, or with one that is damaged, the file is read.
    """
    before = file_state(path)
    if before[0] < REMEMBERED:
        return file_digest(path)
    entry = digest_cache_folder() / hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    if (kept := read_cached_digest(entry, before)) is not None:
        return kept
    begun = time.time_ns()
    found = file_digest(path)
    if file_state(path) == before and begun - max(before[1:3]) > SETTLED:
        with suppress(Unwritable):  # then it is read again next time
            write_bytes(
                entry,
                json.dumps(
                    {"file": before, "digest": found, "check": cache_entry_checksum(before, found)}
                ).encode(),
            )
    return found


def file_state(path: Path) -> list[int]:
    """What changes when a file does: size, times of the last change of content and of anything,
    inode, device.
    """
    try:
        found = path.stat()
    except OSError as problem:
        raise BadInput(
            f"{path} cannot be read: {(problem.strerror or str(problem)).lower()}; make it readable"
        ) from problem
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def read_cached_digest(entry: Path, now: list[int]) -> str | None:
    """The hash that was kept for a file in this state; None where there is none, or the entry is
    damaged.
    """
    try:
        kept = json.loads(entry.read_text("utf-8"))
        fits = kept["file"] == now and kept["check"] == cache_entry_checksum(
            kept["file"], kept["digest"]
        )
        return str(kept["digest"]) if fits else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def cache_entry_checksum(file: list[int], found: str) -> str:
    """By which a damaged entry is told."""
    return hashlib.sha256(f"{file} {found}".encode()).hexdigest()[:16]


def digest_cache_folder() -> Path:
    """Where hashes are kept."""
    return cache_folder() / "digests"


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept: `GLOSS_CACHE`, or a folder in the user's
    cache.
    """
    if own := os.environ.get("GLOSS_CACHE"):
        return Path(own).absolute()
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        home = given if given.is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        home = Path("/nowhere")
    return home / "gloss"
