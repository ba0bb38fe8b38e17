"""The text that every Python installation carries: its own standard library, source and documentation."""

import sysconfig
from collections.abc import Iterator
from pathlib import Path

# Tables of character codes, and packages that belong to the installation rather than to the language.
SKIPPED = frozenset({"site-packages", "dist-packages", "encodings", "ensurepip", "test", "tests", "idle_test", "__pycache__"})


def library_files(root: Path | None = None, skipped: frozenset[str] = SKIPPED) -> Iterator[Path]:
    """Yield the standard library's `.py` files in a stable order; names that differ between installations are left out."""
    root = root or Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        folders = path.relative_to(root).parts
        if not skipped.intersection(folders) and not path.name.startswith("_sysconfigdata"):
            yield path
