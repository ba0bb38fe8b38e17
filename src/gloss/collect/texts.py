"""Documents from files, folders, columns, data sets and the interpreter's own library, streamed and checked."""

import os
import re
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from gloss.collect.columns import column_rows, is_column_file
from gloss.collect.stdlib import library_files
from gloss.errors import BadInput

BLOCK = 2**16  # bytes read, and characters tokenised, at a time
LINE_START = re.compile(r"\n(?=\S)")
PROSE = (".txt", ".md", ".rst", ".tex", ".org", ".log", ".csv", ".tsv", ".html", ".htm", ".xml", ".yaml", ".yml", ".toml", ".ini")
SOURCE = (".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".java", ".js", ".jsx", ".ts", ".tsx", ".css", ".go", ".rs")
MORE_SOURCE = (".rb", ".php", ".pl", ".lua", ".r", ".jl", ".hs", ".ml", ".scala", ".kt", ".swift", ".sh", ".sql", ".cfg")
TEXT_SUFFIXES = frozenset((*PROSE, *SOURCE, *MORE_SOURCE))


@dataclass(frozen=True, slots=True)
class Document:
    """One text, in pieces, so that a long one need not be held whole. The pieces can be taken once."""

    name: str
    pieces: Iterator[str]


@runtime_checkable
class Texts(Protocol):
    """Documents in a stable order, as often as they are asked for."""

    def __iter__(self) -> Iterator[Document]: ...


def open_texts(sources: str | Path | Sequence[str | Path], column: str = "text") -> "Texts":
    """What the names stand for, one after the other.

    A name is a file or folder; a JSONL, JSON or Parquet file, with `#column` where the column is not `column`;
    `datasets:NAME`, `datasets:NAME,CONFIGURATION:SPLIT`; or `stdlib`. Raises BadInput for a path that does not exist.
    """
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    if not listed:
        raise BadInput("no texts were given; name a file, a folder, `datasets:NAME` or `stdlib`")
    return Chain(tuple(open_source(str(source), column) for source in listed))


def open_source(source: str, column: str) -> "Texts":
    name, _, named = source.partition("#")
    if name == "stdlib":
        return Files(tuple(library_files()), Path(sysconfig.get_path("stdlib")))
    if name.startswith("datasets:"):
        from gloss.collect.datasets import Dataset  # an optional package

        return Dataset.named(name.removeprefix("datasets:"), named or column)
    path = Path(source) if Path(source).exists() else Path(name)
    if not path.exists():
        raise BadInput(f"{name} does not exist; texts are a file, a folder, `datasets:NAME` or `stdlib`")
    if path.is_dir():
        return Files(tuple(text_files(path)), path)
    return Column(path, named or column) if is_column_file(path) else Files((path,), path.parent)


@dataclass(frozen=True)
class Chain:
    """The documents of several sources, one source after the other."""

    sources: tuple[Texts, ...]

    def __iter__(self) -> Iterator[Document]:
        for source in self.sources:
            yield from source


@dataclass(frozen=True)
class Files:
    """One document a file, named by its path inside `root`. A file that is not UTF-8 is refused when it is read."""

    paths: tuple[Path, ...]
    root: Path

    def __iter__(self) -> Iterator[Document]:
        for path in self.paths:
            name = path.relative_to(self.root).as_posix()  # of any bytes that the file system allows
            yield Document(os.fsencode(name).decode("utf-8", errors="backslashreplace"), file_pieces(path))


@dataclass(frozen=True)
class Column:
    """One document a row of a JSONL, JSON or Parquet file, named by the file and the row's number, counted from 1."""

    path: Path
    column: str

    def __iter__(self) -> Iterator[Document]:
        for row, text in column_rows(self.path, self.column):
            yield Document(f"{self.path.name}:{row}", text_pieces(text))


@dataclass(frozen=True)
class Listed:
    """Texts that are already in memory, by name."""

    texts: tuple[tuple[str, str], ...]

    def __iter__(self) -> Iterator[Document]:
        for name, text in self.texts:
            yield Document(name, text_pieces(text))


def text_files(folder: Path) -> Iterator[Path]:
    """The files of a folder and its folders whose suffix says that they are text, sorted; hidden ones are left out.

    Raises BadInput where there is none.
    """
    found = False
    for path in sorted(folder.rglob("*")):
        visible = not any(part.startswith(".") for part in path.relative_to(folder).parts)
        if visible and path.suffix.lower() in TEXT_SUFFIXES and path.is_file():
            found = True
            yield path
    if not found:
        raise BadInput(f"{folder} holds no text file; wanted suffixes such as .txt, .md or .py; name other files one by one")


def file_pieces(path: Path) -> Iterator[str]:
    """The text of a file in pieces that begin at the start of a line where there is one. Raises BadInput."""
    rest, offset = b"", 0
    try:
        with path.open("rb") as file:
            rest = file.read(3).removeprefix(b"\xef\xbb\xbf")  # a byte order mark is no text
            offset = file.tell() - len(rest)
            while block := file.read(BLOCK):
                piece, rest, offset = decoded(rest + block, offset, path, final=False)
                yield piece
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}; check that it is a file and may be read") from error
    yield decoded(rest, offset, path, final=True)[0]


def decoded(content: bytes, offset: int, path: Path, *, final: bool) -> tuple[str, bytes, int]:
    """The text up to the last start of a line, the bytes that wait for more, and where in the file these begin."""
    end = len(content) if final else last_line_start(content)
    try:
        return content[:end].decode("utf-8"), content[end:], offset + end
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is not UTF-8: byte {content[error.start]:#04x} at offset {offset + error.start}; "
            "convert the file to UTF-8 or leave it out"
        ) from error


def last_line_start(content: bytes) -> int:
    """Where to cut: before a line that does not begin with a space, else anywhere between two characters."""
    cut = content.rfind(b"\n")
    while cut >= 0:
        if cut + 1 < len(content) and not content[cut + 1 : cut + 2].isspace():
            return cut + 1
        cut = content.rfind(b"\n", 0, cut)
    cut = len(content) - 1
    while cut > len(content) - 4 and content[cut] & 0xC0 == 0x80:  # inside a character
        cut -= 1
    return cut


def text_pieces(text: str, block: int = BLOCK) -> Iterator[str]:
    """A text in pieces of up to `block` characters, that begin at the start of a line where there is one."""
    begin = 0
    while len(text) - begin > block:
        starts = [match.end() for match in LINE_START.finditer(text, begin, begin + block)]
        end = starts[-1] if starts else begin + block
        yield text[begin:end]
        begin = end
    yield text[begin:] if begin else text


def joined(pieces: Iterable[str]) -> str:
    """A document's whole text."""
    return "".join(pieces)
