"""Runs of which a file was harmed, and what a command then does."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from small import contents, ran


def flipped(content: bytes) -> bytes:
    """With one bit changed, in the middle."""
    place = len(content) // 2
    return (
        content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :] if content else b"\4"
    )


HARMS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "cut off": lambda content: content[: len(content) * 2 // 3],
    "flipped": flipped,
    "emptied": lambda content: b"",
    "removed": lambda content: None,
}


def copied(run: Path, to: Path) -> Path:
    """A copy of a folder whose files may be replaced, not written into."""
    return shutil.copytree(run, to, copy_function=os.link)


def harm(file: Path, how: str) -> None:
    """Replace a file by a harmed one."""
    content = HARMS[how](file.read_bytes())
    file.unlink()
    if content is not None:
        file.write_bytes(content)


def gloss(folder: Path, *arguments: str) -> tuple[int | None, str]:
    """The exit code of a command, and what it said on both streams."""
    code, out, err = ran(folder, *arguments)
    return code, out + err


def mended_or_told(folder: Path, run: str, whole: Mapping[str, str]) -> str:
    """What went wrong when the experiment was run again over a harmed run.

    Nothing if it was mended, or refused in a sentence.
    """
    code, said = gloss(folder, "run", "experiment.toml")
    if "Traceback" in said or "fault of gloss" in said:
        return f"a traceback: {said[-2000:]}"
    if code == 2:
        told = [line for line in said.splitlines() if line.startswith("gloss: ")]
        return "" if len(told) == 1 else f"{len(told)} sentences: {said[-2000:]}"
    if code != 0:
        return f"exit code {code}: {said[-2000:]}"
    found = contents(folder / run)
    wrong = sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))
    return f"other bytes in {wrong[:5]}: {said[-1000:]}" if wrong else ""
