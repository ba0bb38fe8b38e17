"""The one place that puts files on disk: whole or not at all, whatever happens meanwhile."""

import io
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gloss.errors import Unwritable

if TYPE_CHECKING:  # experiments are read without numpy
    from numpy import ndarray

PARTIAL = ".partial"  # how names end of what is being written


def partial_path(path: Path) -> Path:
    """A name beside `path` that no other writer has.

    `store/lock.py` clears away what killed ones left.
    """
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")


def write_atomically(path: Path, write: Callable[[Path], object], *, flush: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to the disk and rename it.

    Makes the folders above. The temporary name is this writer's own. Without `flush` the disk is
    not waited for: a killed process loses nothing so, a machine without power may. Raises
    Unwritable.
    """
    temporary = partial_path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            if flush:
                flush_to_disk(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if flush:
            flush_to_disk(path.parent)


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """Give a temporary folder beside `path` that becomes `path` when the block ends, and is removed
    when it fails.

    Raises Unwritable; errors of the block that are not about writing pass unchanged.
    """
    temporary = partial_path(path)
    made = [folder for folder in path.parents if not folder.exists()]
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    try:
        yield temporary
        with disk_errors(path):
            for file in sorted(temporary.rglob("*")):
                flush_to_disk(file)
            flush_to_disk(temporary)
            temporary.replace(path)
            flush_to_disk(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:
            remove_if_empty(folder)
        raise


@contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Say in one sentence what the operating system refused; wrap only what writes."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unwritable(
            f"cannot write {path}: {reason[:1].lower()}{reason[1:]}; give a folder that can be"
            " written and has room"
        ) from error


def write_bytes(path: Path, content: bytes | memoryview, *, flush: bool = True) -> None:
    """Write a file atomically. Raises Unwritable."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content), flush=flush)


def write_json(path: Path, content: Any) -> None:
    """Write plain values as JSON that every reader takes: what is not a finite number is null.
    Raises Unwritable.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): plain(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    text = json.dumps(plain(content), indent=1, ensure_ascii=False)
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_array(path: Path, array: "ndarray") -> None:
    """Write an array as .npy atomically, from memory, so that a full disk is told as such.

    Raises Unwritable.
    """
    import numpy as np

    content = io.BytesIO()
    np.save(content, array)
    write_bytes(path, content.getbuffer())


def flush_to_disk(path: Path) -> None:
    """Have the disk confirm a file's content, or a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_path(path: Path) -> None:
    """Remove a file or a folder, of a link the link alone; nothing where nothing is.

    Raises Unwritable.
    """
    with disk_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def remove_if_empty(folder: Path) -> None:
    """Take back a folder that was made for something that then failed."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
