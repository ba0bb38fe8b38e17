"""What a result depends on, as a short hash: equal keys mean that a finished result may be used again."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

WHOLE = 64 * 2**20  # files up to this size are hashed whole, larger ones by size, first and last MiB
PIECE = 2**20


def key(*parts: Any) -> str:
    """Twelve hexadecimal digits that stand for these values and for the version of gloss."""
    content = json.dumps([version("gloss"), *parts], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def fingerprint(path: Path) -> str:
    """A hash of a file's content, or of the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path) if path.is_dir() else file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size <= WHOLE:
                digest.update(stream.read())
            else:
                digest.update(stream.read(PIECE))
                stream.seek(-PIECE, 2)
                digest.update(stream.read(PIECE))
    return digest.hexdigest()
