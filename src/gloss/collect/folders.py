"""Which files of a folder are texts: those of a data set, or plain ones; never its card, its licence or what is hidden."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gloss.collect.columns import READERS, is_column_file, kind_of
from gloss.collect.opened import cannot_be_read
from gloss.errors import BadInput

PROSE = (".txt", ".text", ".md", ".rst", ".tex", ".org", ".log", ".html", ".htm", ".xml", ".yaml", ".yml", ".toml", ".ini")
CORPORA = (".tokens", ".raw")  # of text alone
SOURCE = (".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".java", ".js", ".jsx", ".ts", ".tsx", ".css", ".go", ".rs")
MORE_SOURCE = (".rb", ".php", ".pl", ".lua", ".r", ".jl", ".hs", ".ml", ".scala", ".kt", ".swift", ".sh", ".sql", ".cfg")
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
DESCRIPTIONS = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "croissant.json"})
MOST_FILES = 10**6


def files_of(folder: Path) -> tuple[tuple[Path, ...], bool]:
    """The files to read, sorted by path, and whether they hold rows. Raises BadInput where there is none, or a mixture."""
    found = [path for path in visible_files(folder) if path.name not in DESCRIPTIONS]
    data = [path for path in found if is_column_file(path) and not path.name.startswith(("_", "cache-"))]
    texts = [path for path in found if kind_of(path) in TEXT_SUFFIXES]
    if any(kind_of(path) in CODE for path in texts):
        data = [path for path in data if kind_of(path) != ".json"]  # a program's own settings
    if not data:
        if not texts:
            raise BadInput(
                f"{folder} holds no text file and no data file; wanted suffixes such as .txt, .md, .py, .jsonl or .parquet; "
                "name other files one by one"
            )
        return tuple(texts), False
    texts = [path for path in texts if not path.name.lower().startswith(ABOUT)]
    kinds = Counter(READERS[kind_of(path)] for path in data)
    if len(kinds) > 1 or texts:
        there = Counter(kind_of(path) for path in (*data, *texts))
        raise BadInput(
            f"{folder} holds several kinds of file: {', '.join(f'{number} {kind}' for kind, number in sorted(there.items()))}; "
            "name the files that are texts, or a folder with one kind"
        )
    return tuple(data), True


def visible_files(folder: Path) -> Iterator[Path]:
    """The files of a folder and its folders, sorted; hidden ones are left out, and so is what is no file."""
    if folder.resolve() == Path(folder.resolve().anchor):
        raise BadInput(f"{folder} is everything there is on this disk; name a folder of texts")
    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in names if not name.startswith(".")]
        if len(found) > MOST_FILES:
            raise BadInput(f"{folder} holds more than {MOST_FILES:,} files; name a folder with fewer")
    return (path for path in sorted(found) if path.is_file())


def refuse(error: OSError) -> None:
    raise cannot_be_read(Path(error.filename), error) from error
