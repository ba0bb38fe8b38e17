"""What a result depends on, as a short hash: equal keys mean that a finished result may be used again."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gloss.store.digests import known_digest


def key(*parts: Any) -> str:
    """Twelve hexadecimal digits that stand for these values and for the version of gloss."""
    content = json.dumps([version("gloss"), *parts], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def fingerprint(path: Path) -> str:
    """A hash of a file's whole content, or of the names and contents of all files in a folder.

    What is neither file nor folder, such as a device, counts by its name and is not read. Raises BadInput.
    """
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            whole.update(f"{file.relative_to(path) if path.is_dir() else file.name}\0{known_digest(file)}\0".encode())
        elif not file.is_dir():
            whole.update(f"{file}\0".encode())
    return whole.hexdigest()
