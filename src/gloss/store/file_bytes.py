"""Files as bytes: unpacked where they are compressed, behind a byte order mark, and refused by name
where they are no text.
"""

import bz2
import gzip
import io
import lzma
import re
import stat
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from gloss.errors import BadInput

PACKED = (".gz", ".bz2", ".xz", ".zst")
UTF_8_MARK = b"\xef\xbb\xbf"
ENCODINGS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive; unpack it and name the texts that are in it",
    b"Rar!": "a rar archive; unpack it and name the texts that are in it",
    b"7z\xbc\xaf": "a 7z archive; unpack it and name the texts that are in it",
    b"\x04\x22\x4d\x18": "packed by lz4; unpack it, or pack it by gzip, bzip2, xz or zstd",
    b"%PDF": "a PDF; take the text out of it and name that",
    b"version https://git-lfs.": (
        "a pointer of Git LFS to a file that is elsewhere; fetch that by `git lfs pull`"
    ),
}
TAR_AT, TAR = 257, b"ustar"
# a frame, or one that is to be skipped, as pzstd begins
ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
SPECIAL_FILES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def unpacked_name(path: Path) -> Path:
    """The path without the suffix of a compression."""
    return path.with_suffix("") if path.suffix.lower() in PACKED else path


def require_file(path: Path) -> None:
    """Raise BadInput unless this is a file: a pipe or a device may never end."""
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable_error(path, error) from error
    if kind := SPECIAL_FILES.get(stat.S_IFMT(found.st_mode)):
        raise BadInput(
            f"{path} is {kind}, and texts are files with an end; write the text into a file and"
            " name that"
        )


@contextmanager
def open_unpacked(path: Path) -> Generator[io.BufferedReader]:
    """The bytes of a file, unpacked, without a byte order mark.

    Raises BadInput, also while they are read.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            begin = file.read(6)
            file.seek(0)
            with unpack_stream(file, begin) as stream:
                require_text(stream.peek(TAR_AT + len(TAR)), path)
                if stream.peek(3)[:3] == UTF_8_MARK:
                    stream.read(3)
                yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise broken_compression_error(path) from error
    except OSError as error:
        if "too much memory" in str(error):
            raise BadInput(
                f"{path} is packed over windows that are too long; unpack it by `zstd -d --long=31`"
            ) from error
        # A stream whose compression is broken raises an OSError that the system knows nothing of.
        raise (
            unreadable_error(path, error) if error.errno else broken_compression_error(path)
        ) from error


def unpack_stream(file: io.BufferedReader, begin: bytes) -> io.BufferedReader:
    """What the file holds, whatever its name says of compression."""
    if begin.startswith(b"\x1f\x8b"):
        return io.BufferedReader(gzip.GzipFile(fileobj=file))
    if begin.startswith(b"BZh"):
        return io.BufferedReader(bz2.BZ2File(file))
    if begin.startswith(b"\xfd7zXZ\0"):
        return io.BufferedReader(lzma.LZMAFile(file))
    if ZSTD.match(begin):
        stream: Any = pa.CompressedInputStream(pa.PythonFile(file), "zstd")
        return io.BufferedReader(stream)
    return file


def require_text(begin: bytes, path: Path) -> None:
    """Raise BadInput where the first bytes are those of another kind of file."""
    for mark, encoding in ENCODINGS.items():
        if begin.startswith(mark):
            raise BadInput(f"{path} is {encoding}; convert the file to UTF-8")
    for mark, kind in OTHER_KINDS.items():
        if begin.startswith(mark):
            raise BadInput(f"{path} is {kind}")
    if begin[TAR_AT:].startswith(TAR):
        raise BadInput(f"{path} is a tar archive; unpack it and name the texts that are in it")


def filled_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 file that hold anything, by their numbers, counted from 1.

    They end at line feeds and carriage returns alone: a line of JSON may hold characters, as
    U+2028, at which `str.splitlines` would cut it. Raises OSError and UnicodeDecodeError.
    """
    lines = path.read_text("utf-8-sig").split("\n")
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def unreadable_error(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{shorten_path(path)} cannot be read: {error.strerror or error}; check that it is a file"
        " and may be read"
    )


def broken_compression_error(path: Path) -> BadInput:
    return BadInput(f"{path} is compressed, and cut off or damaged inside; fetch it again")


def shorten_path(path: Path | str, most: int = 200) -> str:
    """A name that fits into a sentence."""
    name = str(path)
    return name if len(name) <= most else f"{name[:most]}… ({len(name):,} characters)"
