"""Documents from files, folders, columns, data sets and the interpreter's own library, streamed and
checked; dialogues as their chat template puts them.
"""

import os
import re
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

from gloss.collect.column_values import (
    Dialogue,
    RowValue,
    TokenNumbers,
    is_row_file,
    look_up_column,
    missing_column_error,
    parse_row_value,
    read_column_rows,
)
from gloss.collect.separators import AUTO, LINE_START, separator_pattern, split_documents
from gloss.collect.text_files import list_text_files, standard_library_files
from gloss.errors import BadInput, BadSettings
from gloss.models.chat_models.prompts import Message
from gloss.store.file_bytes import open_unpacked, require_file, shorten_path, unreadable_error
from gloss.store.named_parts import split_part_name

BLOCK = 2**16  # bytes read, and characters tokenised, at a time


@dataclass(frozen=True, slots=True)
class DialogueText:
    """A dialogue as text, which is one document whatever it holds."""

    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One text, in pieces, so that a long one need not be held whole; or its tokens, or its turns.

    They can be taken once, before the next document is asked for.
    """

    name: str
    pieces: Iterator[str | TokenNumbers | Dialogue | DialogueText]


@runtime_checkable
class Texts(Protocol):
    """Documents in a stable order, as often as they are asked for."""

    def __iter__(self) -> Iterator[Document]: ...


def open_texts(
    sources: str | Path | Sequence[str | Path], column: str = "text", split: str = AUTO
) -> "Texts":
    """What the names stand for, one after the other.

    A name is a file or folder; a file of rows, with `#column` where the column is not `column`;
    `datasets:NAME`, `datasets:NAME,CONFIGURATION:SPLIT`; or `stdlib`. Texts are cut into documents
    at `split`. Raises BadInput for what does not exist, for what is no file or folder, and for a
    folder of several kinds of file.
    """
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    if not listed:
        raise BadInput("no texts were given; name a file, a folder, `datasets:NAME` or `stdlib`")
    return SeparatedTexts(
        ChainedTexts(tuple(open_source(str(source), column) for source in listed)),
        separator_pattern(split),
    )


def open_source(source: str, column: str) -> "Texts":
    name, _, named = source.partition("#")
    if name == "stdlib":
        return FileTexts(tuple(standard_library_files()), Path(sysconfig.get_path("stdlib")))
    if name.split(":")[0] == "sae-probes":
        from gloss.collect.probe_texts import ProbeTexts  # which needs what is defined here

        return ProbeTexts.named(name)
    if name.startswith("datasets:"):
        return HubDataset.named(name.removeprefix("datasets:"), named or column)
    name, named = split_part_name(source)
    path = Path(name)
    if not path_exists(path):
        raise BadInput(
            f"{shorten_path(name)} does not exist; texts are a file, a folder, `datasets:NAME` or"
            " `stdlib`"
        )
    paths, rows = list_text_files(path) if path.is_dir() else ((path,), is_row_file(path))
    if named and not rows:
        raise BadInput(
            f"{path} has no columns, so it has none called {named!r}; name it without #{named}"
        )
    root = path if path.is_dir() else path.parent
    for each in paths if len(paths) == 1 else ():
        require_file(each)
    return ColumnTexts(paths, root, named or column) if rows else FileTexts(paths, root)


def path_exists(path: Path) -> bool:
    """Whether there is such a path.

    Raises BadInput where that cannot be known, as of a name that is too long.
    """
    try:
        return path.exists()
    except OSError as error:
        raise unreadable_error(path, error) from error


@dataclass(frozen=True, slots=True)
class TextSize:
    """How much text there is, as far as it was counted."""

    characters: int
    tokens: int  # of documents that come as token numbers
    whole: bool  # whether all of it was counted


def measure_texts(texts: "Texts", most: int | float, seconds: float) -> TextSize:
    """Count the characters of texts, `most` of them, and for so many seconds at most.

    >>> size = measure_texts(open_texts("stdlib"), most=1000, seconds=5.0)
    >>> size.characters >= 1000, size.whole
    (True, False)
    """
    begun, characters, tokens = time.monotonic(), 0, 0
    for document in texts:
        for piece in document.pieces:
            if isinstance(piece, TokenNumbers):
                tokens += len(piece.numbers)
            elif isinstance(piece, Dialogue):
                characters += sum(len(said) for _, said in piece.turns)
            else:
                characters += len(piece if isinstance(piece, str) else piece.text)
        if characters + tokens >= most or time.monotonic() - begun > seconds:
            return TextSize(characters, tokens, whole=False)
    return TextSize(characters, tokens, whole=True)


@dataclass(frozen=True)
class ChainedTexts:
    """The documents of several sources, one source after the other."""

    sources: tuple[Texts, ...]

    def __iter__(self) -> Iterator[Document]:
        for source in self.sources:
            yield from source


@dataclass(frozen=True)
class SeparatedTexts:
    """Documents cut where a separator stands.

    Those after the first are called by their number, as in `stories.txt:2`.
    """

    texts: Texts
    pattern: re.Pattern[str] | None  # None cuts nowhere

    def __iter__(self) -> Iterator[Document]:
        for document in self.texts:
            first = next(document.pieces, "")
            if not isinstance(first, str):
                yield Document(document.name, iter((first,)))
                continue
            strings = (
                piece for piece in chain((first,), document.pieces) if isinstance(piece, str)
            )
            for number, pieces in enumerate(split_documents(strings, self.pattern), 1):
                yield Document(
                    document.name if number == 1 else f"{document.name}:{number}", pieces
                )


@dataclass(frozen=True)
class FileTexts:
    """One document a file, named by its path inside `root`.

    A file that is not UTF-8 is refused when it is read.
    """

    paths: tuple[Path, ...]
    root: Path

    def __iter__(self) -> Iterator[Document]:
        for path in self.paths:
            yield Document(path_in_root(path, self.root), file_pieces(path))


@dataclass(frozen=True)
class ColumnTexts:
    """One document a row of files of rows, named by the file's path inside `root` and the row's
    number, counted from 1.

    A row that holds nothing is a document without pieces.
    """

    paths: tuple[Path, ...]
    root: Path
    column: str

    def __iter__(self) -> Iterator[Document]:
        for path in self.paths:
            name = path_in_root(path, self.root)
            for row, value in read_column_rows(path, self.column):
                yield Document(f"{name}:{row}", value_pieces(value))


@dataclass(frozen=True)
class NamedTexts:
    """Texts that are already in memory, by name."""

    texts: tuple[tuple[str, str], ...]

    def __iter__(self) -> Iterator[Document]:
        for name, text in self.texts:
            yield Document(name, text_pieces(text))


def path_in_root(path: Path, root: Path) -> str:
    """A path inside a folder, of any bytes that the file system allows."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", errors="backslashreplace")


def value_pieces(value: RowValue) -> Iterator[str | TokenNumbers | Dialogue | DialogueText]:
    """What a row holds, in pieces."""
    if value is None:
        return iter(())
    return text_pieces(value) if isinstance(value, str) else iter((value,))


def file_pieces(path: Path) -> Iterator[str]:
    """The text of a file in pieces that begin at the start of a line where there is one.

    Raises BadInput.
    """
    with open_unpacked(path) as file:
        rest, offset = b"", file.tell() if file.seekable() else 0  # behind a byte order mark
        while block := file.read(BLOCK):
            piece, rest, offset = decode_text_block(rest + block, offset, path, final=False)
            yield piece
    yield decode_text_block(rest, offset, path, final=True)[0]


def decode_text_block(
    content: bytes, offset: int, path: Path, *, final: bool
) -> tuple[str, bytes, int]:
    """The text up to the last start of a line, the bytes that wait for more, and where in the file
    these begin.
    """
    end = len(content) if final else last_line_start(content)
    if (zero := content.find(b"\0")) >= 0:
        raise BadInput(
            f"{path} is no text: byte 0x00 at offset {offset + zero}; leave the file out"
        )
    try:
        return content[:end].decode("utf-8"), content[end:], offset + end
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is not UTF-8: byte {content[error.start]:#04x} at offset"
            f" {offset + error.start}; convert the file to UTF-8 or leave it out"
        ) from error


def last_line_start(content: bytes) -> int:
    """Where to cut: before a line that does not begin with a space, else anywhere between two
    characters.
    """
    cut = content.rfind(b"\n")
    while cut >= 0:
        if cut + 1 < len(content) and not content[cut + 1 : cut + 2].isspace():
            return cut + 1
        cut = content.rfind(b"\n", 0, cut)
    cut = len(content) - 1
    while cut > max(0, len(content) - 4) and content[cut] & 0xC0 == 0x80:  # inside a character
        cut -= 1
    return cut


def text_pieces(text: str, block: int = BLOCK) -> Iterator[str]:
    """A text in pieces of up to `block` characters, that begin at the start of a line where there
    is one.
    """
    begin = 0
    while len(text) - begin > block:
        starts = [match.end() for match in LINE_START.finditer(text, begin, begin + block)]
        end = starts[-1] if starts else begin + block
        yield text[begin:end]
        begin = end
    yield text[begin:] if begin else text


def join_pieces(pieces: Iterable[str | TokenNumbers | Dialogue | DialogueText]) -> str:
    """A document's whole text. Raises TypeError for one that comes as tokens or turns."""
    return "".join(pieces)  # type: ignore[arg-type]


@dataclass(frozen=True)
class HubDataset:
    """One document a row of a data set."""

    name: str
    configuration: str | None
    split: str
    column: str

    @staticmethod
    def named(name: str, column: str) -> "HubDataset":
        """Understand `NAME`, `NAME,CONFIGURATION`, `NAME:SPLIT` and both.

        The split is `train` where none is named.
        """
        whole, _, split = name.partition(":")
        dataset, _, configuration = whole.partition(",")
        if not dataset:
            raise BadInput(
                f"datasets:{name} names no data set; wanted datasets:NAME, with `,CONFIGURATION`"
                " and `:SPLIT` where needed"
            )
        return HubDataset(dataset, configuration or None, split or "train", column)

    def __iter__(self) -> Iterator[Document]:
        try:
            import datasets  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise BadInput(
                f"datasets:{self.name} needs the package `datasets`; install gloss-lm[datasets]"
            ) from error
        try:
            rows = datasets.load_dataset(
                self.name, self.configuration, split=self.split, streaming=True
            )
        except (OSError, ValueError) as error:
            raise BadInput(
                f"datasets:{self.name} cannot be opened: {str(error).splitlines()[0]}"
            ) from error
        path, found = Path(self.name), False
        for number, row in enumerate(rows, 1):
            value, has = look_up_column(row, self.column)
            if not has and not found:
                raise missing_column_error(path, number, row, self.column)
            found |= has
            yield Document(
                f"{self.name}:{number}",
                value_pieces(parse_row_value(value, path, number, self.column)),
            )


DialogueTemplate = Callable[[Sequence[Message]], str]


@dataclass(frozen=True)
class TemplatedTexts:
    """Texts with every dialogue put as text.

    Each stays one document, whatever tokens its template writes.
    """

    texts: Texts
    template: Callable[[], DialogueTemplate | None]  # asked for when a dialogue comes

    def __iter__(self) -> Iterator[Document]:
        """Raises BadInput at a dialogue where there is no template."""
        for document in self.texts:
            yield Document(document.name, self.templated(document))

    def templated(
        self, document: Document
    ) -> Iterator[str | TokenNumbers | Dialogue | DialogueText]:
        for piece in document.pieces:
            if not isinstance(piece, Dialogue):
                yield piece
                continue
            template = self.template()
            if template is None:
                raise BadInput(
                    f"{document.name} is a dialogue, and this model's tokenizer has no chat"
                    " template to put it as text; read dialogues with a chat model, or give texts"
                )
            try:
                yield DialogueText(template([Message(role, said) for role, said in piece.turns]))
            except BadSettings as error:
                raise BadInput(f"{document.name}: {error}, or leave out the row") from error
