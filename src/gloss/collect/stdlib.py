"""The text that every Python installation carries: its own standard library, source and documentation."""

import hashlib
import sysconfig
from pathlib import Path

# Tables of character codes, and packages that belong to the installation rather than to the language.
SKIPPED = frozenset({"site-packages", "dist-packages", "encodings", "ensurepip", "test", "tests", "idle_test", "__pycache__"})
LONG = 60_000  # bytes; files beyond this come last, so that a beginning of the list holds many documents


def library_files(root: Path | None = None, skipped: frozenset[str] = SKIPPED) -> list[Path]:
    """The standard library's `.py` files in a stable order that mixes the packages: any beginning is a fair sample."""
    root = root or Path(sysconfig.get_path("stdlib"))
    found = [path for path in root.rglob("*.py") if not skipped.intersection(path.relative_to(root).parts)]
    kept = [path for path in found if not path.name.startswith("_sysconfigdata")]  # the same on no two installations
    return sorted(
        kept, key=lambda path: (path.stat().st_size > LONG, hashlib.sha256(path.relative_to(root).as_posix().encode()).digest())
    )
