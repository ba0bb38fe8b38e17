"""Folders that live at URLs, as `s3://bucket/runs/mine`: the folder of this machine's cache that
mirrors each, and the files of an object store, which fails at times and is asked again.
"""

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from gloss.errors import BadInput, GlossError, Unreachable, error_cause
from gloss.store.atomic import write_atomically
from gloss.store.digests import cache_folder

URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
WAITS = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4)  # seconds before a store is asked again
AT_FIRST = 2  # of these, while it has never answered
# what asking again does not mend
REFUSED = re.compile(
    r"ACCESS_DENIED|NO_SUCH_BUCKET|SIGNATURE|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN"
    r"|UNRECOGNIZED_CLIENT|EXPIRED_TOKEN|NoCredentials|InvalidAccessKeyId|HTTP status 4(?!08|29)"
    r"|\b40[134] Client Error"
)
AT_ONCE = 8  # transfers
T = TypeVar("T")


def is_url(name: str) -> bool:
    """Whether this is the URL of a folder.

    >>> is_url("s3://bucket/mine"), is_url("runs/mine")
    (True, False)
    """
    return URL.fullmatch(name) is not None


def local_folder(name: str | Path) -> Path:
    """The folder of this name on this machine; of a URL, the one that mirrors it in the user's
    cache.

    The same store at another endpoint has another mirror. Raises BadInput for the URL of a whole
    bucket, and for one with `..` in it.
    """
    found = URL.fullmatch(str(name))
    if found is None:
        return Path(name)
    scheme, parts = found["scheme"], [part for part in found["rest"].split("/") if part]
    rooted = scheme == "file"  # has no bucket before its path
    if (
        len(parts) < 2 - rooted
        or {".", ".."}.intersection(parts)
        or rooted is not found["rest"].startswith("/")
    ):
        form = "file:///folder/mine" if rooted else f"{scheme}://bucket/mine"
        raise BadInput(f"{name} is no folder of a run; give a place for it alone, as in {form}")
    endpoint = re.sub(r"[^\w.-]+", "-", s3_endpoint().partition("://")[2])
    store = f"s3@{endpoint}" if endpoint and scheme == "s3" else scheme
    return mirrors_folder().joinpath(store, *(quote(part, safe=" ") for part in parts))


def url_of(folder: Path) -> str | None:
    """The URL of which a folder, or a file in it, is the mirror; None where it is nobody's."""
    try:
        store, *parts = folder.absolute().relative_to(mirrors_folder()).parts
    except ValueError:
        return None
    scheme = store.partition("@")[0]
    return f"{scheme}://{'/' * (scheme == 'file')}{'/'.join(map(unquote, parts))}"


def shown_name(folder: Path) -> str:
    """How people call a folder: by its URL where it is the mirror of one."""
    return url_of(folder) or str(folder)


def mirrors_folder() -> Path:
    """Where the mirrors of this machine lie."""
    return cache_folder() / "runs"


def s3_endpoint() -> str:
    """Another server than Amazon's, by the usual variables; empty where there is none."""
    return next((found for name in S3_ENDPOINTS if (found := os.environ.get(name))), "")


@dataclass(frozen=True)
class StoredFile:
    """A file of a store, as its listing tells: bytes, and when it was written."""

    size: int
    seconds: int


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of an object store: all that is asked of one.

    Every file is put whole, and nothing is renamed. What fails is tried again for some seconds.
    """

    url: str
    files: Any  # pyarrow's FileSystem
    root: str
    answered: threading.Event = field(default_factory=threading.Event, compare=False)

    @classmethod
    def open(cls, url: str) -> "RemoteFolder":
        """The folder at a URL, there or not.

        `s3://` and `gs://` are read by pyarrow, others by fsspec. Raises BadInput where a package
        for them is missing.
        """
        scheme, _, rest = url.partition("://")
        try:
            match scheme:
                case "s3":
                    return cls(url, s3_files(), rest)
                case "gs" | "gcs":
                    return cls(url, google_files(), rest)
                case _:
                    return cls(url, *other_files(url))
        except ImportError as problem:
            said = str(problem).rstrip(". ")
            raise BadInput(f"{url} cannot be reached: {said}, then give it again") from problem
        except (ValueError, OSError) as problem:
            raise BadInput(
                f"{url} cannot be reached: {error_cause(problem)}; give a URL of a kind that fsspec"
                " knows, as s3://, gs://, hf:// or file://"
            ) from problem

    def path(self, name: str) -> str:
        """What the store calls a file of the folder."""
        return f"{self.root}/{name}"

    def listing(self) -> dict[str, StoredFile]:
        """Every file in the folder and below, by its name seen from it: one look at the store."""
        from pyarrow.fs import FileSelector

        # pyarrow tells a bucket that is not there from an empty one for Amazon's alone
        empty = not self.url.startswith("s3:")
        chosen = FileSelector(self.root, recursive=True, allow_not_found=empty)

        def look() -> list[Any]:
            try:
                return self.files.get_file_info(chosen)
            except FileNotFoundError:
                return []

        return {
            info.path[len(self.root) + 1 :]: StoredFile(info.size, info.mtime_ns // 10**9)
            for info in self.patiently("listed", look)
            if info.is_file
        }

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""

        def get() -> bytes | None:
            try:
                with self.files.open_input_stream(self.path(name)) as stream:
                    return stream.read()
            except FileNotFoundError:
                return None

        return self.patiently("read", get)

    def fetch(self, name: str, path: Path, size: int) -> bool:
        """Put a file of so many bytes here, whole or not at all; False where it is gone."""

        def copy(temporary: Path) -> None:
            with (
                self.files.open_input_stream(self.path(name)) as stream,
                temporary.open("wb") as file,
            ):
                while block := stream.read(2**22):
                    file.write(block)
            if (got := temporary.stat().st_size) != size:
                raise OSError(f"{name} has {size:,} bytes, and {got:,} came")

        def get() -> bool:
            try:
                write_atomically(path, copy, flush=False)
            except GlossError as problem:  # of the disk, or of the store
                cause = problem.__cause__
                if isinstance(cause, FileNotFoundError):
                    return False
                if isinstance(cause, OSError) and cause.errno is None:
                    raise cause from None
                raise
            return True

        return self.patiently("read", get)

    def put(self, name: str, content: bytes | Path) -> StoredFile:
        """Write a file, and hear from the store that it is there, whole."""
        path = self.path(name)

        def write() -> StoredFile:
            with self.files.open_output_stream(path) as stream:
                if isinstance(content, Path):
                    with content.open("rb") as file:
                        while block := file.read(2**22):
                            stream.write(block)
                else:
                    stream.write(content)
                written = stream.tell()
            info = self.files.get_file_info(path)
            if not info.is_file or info.size != written:
                raise OSError(f"{name} has {written:,} bytes, and the store has {info.size}")
            return StoredFile(info.size, info.mtime_ns // 10**9)

        return self.patiently("written", write)

    def remove(self, name: str) -> None:
        """Remove a file, which may be gone already."""

        def remove() -> None:
            try:
                self.files.delete_file(self.path(name))
            except FileNotFoundError:
                pass
            except OSError:
                # some stores then want to keep the folder, and cannot
                if self.files.get_file_info(self.path(name)).is_file:
                    raise

        self.patiently("removed", remove)

    def patiently(self, what: str, ask: Callable[[], T]) -> T:
        """What the store says, asked again while it does not answer.

        Raises BadInput where it refuses, and Unreachable where it does not answer for long.
        """
        waits = WAITS if self.answered.is_set() else WAITS[:AT_FIRST]
        for wait in (*waits, None):
            try:
                found = ask()
                self.answered.set()
                return found
            except FileNotFoundError:
                raise
            except Exception as problem:
                if not is_of_store(problem):
                    raise
                said = shorten_store_error(problem)
                if isinstance(problem, PermissionError | NotADirectoryError) or REFUSED.search(
                    str(problem)
                ):
                    raise BadInput(
                        f"{self.url} cannot be {what}: {said}; check the URL, and the credentials"
                        " in the environment"
                    ) from problem
                if wait is None:
                    raise Unreachable(
                        f"{self.url} cannot be {what}: {said}; the same command goes on from here"
                        " once the store answers"
                    ) from problem
                time.sleep(wait)
        raise AssertionError


def is_of_store(problem: Exception) -> bool:
    """Whether an error came from a store, or the way to it: packages for them raise their own."""
    package = type(problem).__module__.partition(".")[0]
    return isinstance(problem, OSError) or package not in ("builtins", "gloss")


def shorten_store_error(problem: Exception) -> str:
    """What a store said, without what it says of itself."""
    said = re.sub(r" \(Request ID: [^)]*\)|; Details: .*", "", error_cause(problem))
    return said.rstrip(". ")


def s3_files() -> Any:
    """Amazon's store, or one that speaks like it, by the variables that its own tools read."""
    from pyarrow.fs import S3FileSystem

    endpoint = urlsplit(s3_endpoint())
    other = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme or "https"}
    return S3FileSystem(
        allow_delayed_open=True,  # a small file is one request
        check_directory_existence_before_creation=True,
        connect_timeout=10,
        **other if endpoint.netloc else {},
    )


def google_files() -> Any:
    """Google's store, by its usual credentials; or an emulator of it."""
    from datetime import timedelta

    from pyarrow.fs import GcsFileSystem

    emulator = urlsplit(os.environ.get("STORAGE_EMULATOR_HOST", ""))
    other: dict[str, Any] = (
        {"endpoint_override": emulator.netloc, "scheme": emulator.scheme, "anonymous": True}
        if emulator.netloc
        else {}
    )
    return GcsFileSystem(retry_time_limit=timedelta(seconds=20), **other)


def other_files(url: str) -> tuple[Any, str]:
    """Whatever else fsspec knows, and the folder's name there."""
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    own = {"auto_mkdir": True} if url.startswith("file:") else {}
    found, root = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **own)
    return PyFileSystem(FSSpecHandler(found)), root.rstrip("/")
