"""Which files are texts: those of a folder, never its card, its licence or what is hidden; and the
standard library's, which every Python installation carries.
"""

import hashlib
import os
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gloss.collect.column_values import ROW_READERS, file_suffix, is_row_file
from gloss.errors import BadInput
from gloss.store.file_bytes import unreadable_error

PROSE = (
    ".txt",
    ".text",
    ".md",
    ".rst",
    ".tex",
    ".org",
    ".log",
    ".html",
    ".htm",
    ".xml",
    ".yaml",
    ".yml",
    ".toml",
    ".ini",
)
CORPORA = (".tokens", ".raw")  # of text alone
SOURCE = (
    ".py",
    ".pyi",
    ".c",
    ".h",
    ".cc",
    ".cpp",
    ".hpp",
    ".cs",
    ".java",
    ".js",
    ".jsx",
    ".ts",
    ".tsx",
    ".css",
    ".go",
    ".rs",
)
MORE_SOURCE = (
    ".rb",
    ".php",
    ".pl",
    ".lua",
    ".r",
    ".jl",
    ".hs",
    ".ml",
    ".scala",
    ".kt",
    ".swift",
    ".sh",
    ".sql",
    ".cfg",
)
CODE = frozenset((*SOURCE, *MORE_SOURCE))
TEXT_SUFFIXES = CODE.union(PROSE, CORPORA)
ABOUT = (
    "readme",
    "license",
    "licence",
    "copying",
    "notice",
    "citation",
    "changelog",
    "authors",
    "contributing",
)  # files about files
DESCRIPTIONS = frozenset(
    {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "croissant.json"}
)
MOST_FILES = 10**6
# Tables of character codes, and packages that belong to the installation rather than to the
# language.
SKIPPED = frozenset(
    {
        "site-packages",
        "dist-packages",
        "encodings",
        "ensurepip",
        "test",
        "tests",
        "idle_test",
        "__pycache__",
    }
)
# bytes; files beyond this come last, so that a beginning of the list holds many documents
LONG = 60_000


def list_text_files(folder: Path) -> tuple[tuple[Path, ...], bool]:
    """The files to read, sorted by path, and whether they hold rows.

    Raises BadInput where there is none, or a mixture.
    """
    found = [path for path in visible_files(folder) if path.name not in DESCRIPTIONS]
    data = [
        path for path in found if is_row_file(path) and not path.name.startswith(("_", "cache-"))
    ]
    texts = [path for path in found if file_suffix(path) in TEXT_SUFFIXES]
    if any(file_suffix(path) in CODE for path in texts):
        data = [path for path in data if file_suffix(path) != ".json"]  # a program's own settings
    if not data:
        if not texts:
            raise BadInput(
                f"{folder} holds no text file and no data file; wanted suffixes such as .txt, .md,"
                " .py, .jsonl or .parquet; name other files one by one"
            )
        return tuple(texts), False
    texts = [path for path in texts if not path.name.lower().startswith(ABOUT)]
    kinds = Counter(ROW_READERS[file_suffix(path)] for path in data)
    if len(kinds) > 1 or texts:
        there = Counter(file_suffix(path) for path in (*data, *texts))
        raise BadInput(
            f"{folder} holds several kinds of file:"
            f" {', '.join(f'{number} {kind}' for kind, number in sorted(there.items()))}; name the"
            " files that are texts, or a folder with one kind"
        )
    return tuple(data), True


def visible_files(folder: Path) -> Iterator[Path]:
    """The files of a folder and its folders, sorted.

    Hidden ones are left out, and so is what is no file.
    """
    if folder.resolve() == Path(folder.resolve().anchor):
        raise BadInput(f"{folder} is everything there is on this disk; name a folder of texts")
    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=raise_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in names if not name.startswith(".")]
        if len(found) > MOST_FILES:
            raise BadInput(
                f"{folder} holds more than {MOST_FILES:,} files; name a folder with fewer"
            )
    return (path for path in sorted(found) if path.is_file())


def raise_unreadable(error: OSError) -> None:
    raise unreadable_error(Path(error.filename), error) from error


def standard_library_files(
    root: Path | None = None, skipped: frozenset[str] = SKIPPED
) -> list[Path]:
    """The standard library's `.py` files in a stable order that mixes the packages: any beginning
    is a fair sample.
    """
    root = root or Path(sysconfig.get_path("stdlib"))
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in skipped]  # all that is installed
        # the same on no two installations
        kept = [name for name in names if not name.startswith("_sysconfigdata")]
        found += [Path(folder, name) for name in kept if name.endswith(".py")]
    return sorted(
        found,
        key=lambda path: (
            path.stat().st_size > LONG,
            hashlib.sha256(path.relative_to(root).as_posix().encode()).digest(),
        ),
    )
