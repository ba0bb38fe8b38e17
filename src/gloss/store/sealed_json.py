"""JSON that tells when it is not what was written, and what was written beside it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gloss.errors import Damaged
from gloss.store.digests import file_digest

SEAL, FILES = "seal", "files"
CHANGED_CONTENT = "its content is not what was written"
FileRecords = Mapping[
    str, tuple[int, str]
]  # by the name of a file, seen from a folder: its bytes, and the SHA-256 of its content


def seal_json(content: Mapping[str, Any]) -> bytes:
    """The content as JSON, with a hash of itself."""
    return (
        json.dumps({**content, SEAL: content_seal(content)}, indent=1, sort_keys=True) + "\n"
    ).encode()


def read_sealed_json(path: Path) -> dict[str, Any]:
    """What was sealed, without the hash. A file of a time before seals has none. Raises Damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as problem:
        raise damage_error(path, "it is missing") from problem
    except (OSError, ValueError, RecursionError) as problem:
        raise damage_error(path, "it is not JSON") from problem
    if not isinstance(content, dict):
        raise damage_error(path, "it is no JSON object")
    seal = content.pop(SEAL, None)
    if seal != seal_of_read(content) if seal is not None else FILES in content:
        raise damage_error(path, CHANGED_CONTENT)
    return content


def content_seal(content: Mapping[str, Any]) -> str:
    """A hash of content as JSON holds it."""
    return seal_of_read(json.loads(json.dumps(content)))


def seal_of_read(content: Mapping[str, Any]) -> str:
    """The same of what was read of JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def damage_error(path: Path, why: str) -> Damaged:
    """What is said of a file that does not hold what was written."""
    return Damaged(
        f"{path} is damaged: {why}; `gloss verify RUN --mend` deletes what is, and the same"
        " experiment, run again, makes it anew"
    )


def record_files(folder: Path, files: Iterable[Path]) -> FileRecords:
    """What these files hold now; folders stand for all that is in them."""
    every = [
        file
        for each in files
        for file in (sorted(each.rglob("*")) if each.is_dir() else [each])
        if file.is_file()
    ]
    return {
        file.relative_to(folder).as_posix(): (file.stat().st_size, file_digest(file))
        for file in every
    }


def changed_files(folder: Path, files: FileRecords, *, whole: bool) -> dict[Path, str]:
    """The files that are not as they were written, each with why: by their sizes, or with `whole`
    by their content too.
    """
    found: dict[Path, str] = {}
    for name, (size, content) in files.items():
        path = folder / name
        if not path.is_file():
            found[path] = "it is missing"
        elif (now := path.stat().st_size) != size:
            found[path] = f"it has {now:,} bytes and should have {size:,}"
        elif whole and file_digest(path) != content:
            found[path] = CHANGED_CONTENT
    return found
