"""What the process that works on a run does right now, in `status.json` of the run's folder, for
whoever watches: people by `gloss status --watch`, machines by the file.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from gloss.errors import GlossError
from gloss.run.plan import RESOLVED
from gloss.run.progress import ProgressState, repeat_in_thread, watchers
from gloss.store.atomic import write_json

STATUS = "status.json"
SILENT_SECONDS = 60.0  # after which who writes the file has probably ended
BEAT_SECONDS = 15.0  # between two times at which it is written, whatever happens
WORKING, DONE, STOPPED = "working", "done", "stopped"


@dataclass
class StatusFile:
    """The file, as its writer sees it."""

    folder: Path
    begun: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    step: dict[str, Any] = field(default_factory=dict[str, Any])
    # several threads tell of the same work
    writing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def watch(self, state: ProgressState) -> None:
        """Say how far the step is that is worked at."""
        self.step = {
            "step": state.title,
            "unit": state.unit,
            "done": state.done,
            "total": state.total,
            "rate": round(state.rate, 4),
            "seconds": round(state.elapsed, 1),
            "seconds_left": None if state.left is None else round(state.left, 1),
        }
        self.write(WORKING)

    def write(self, state: str, problem: str = "") -> None:
        """Write the file whole, once the folder holds a run. It is worth no error: a disk that is
        full is told elsewhere.
        """
        if not (self.folder / RESOLVED).exists():
            return
        with self.writing, suppress(GlossError):
            content = {
                "state": state,
                "problem": problem,
                **self.step,
                "process": os.getpid(),
                "host": socket.gethostname(),
                "begun": self.begun,
                "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            write_json(self.folder / STATUS, content)


_written: list[StatusFile] = []


def tell_step(name: str) -> None:
    """Say at which step the work is, before it says how far."""
    for file in _written[-1:]:
        file.step = {"step": name}
        file.write(WORKING)


@contextmanager
def telling_status(folder: Path, leads: bool = True) -> Generator[None]:
    """Keep `status.json` in the folder up to date while the block works, and say how it ended;
    of several that work together, who leads does.
    """
    if not leads or any(each.folder == folder for each in _written):  # by who called
        yield
        return
    file = StatusFile(folder)
    for outer in _written[-1:]:  # the run of which this is a control
        watchers.remove(outer.watch)
        outer.step = {"step": f"control {folder.name}"}
        outer.write(WORKING)
    _written.append(file)
    watchers.append(file.watch)
    try:
        # a step may take long without a word, as one that waits for a single answer
        with repeat_in_thread(BEAT_SECONDS, partial(file.write, WORKING)):
            file.write(WORKING)
            yield
    except BaseException as problem:
        file.write(STOPPED, str(problem) if isinstance(problem, GlossError) else "")
        raise
    else:
        file.write(DONE)
    finally:
        watchers.remove(file.watch)
        _written.remove(file)
        watchers.extend(outer.watch for outer in _written[-1:])


@dataclass(frozen=True)
class ToldStatus:
    """What the file says, as its readers see it."""

    content: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "ToldStatus":
        """What is told; nothing where there is no such file."""
        try:
            found = json.loads((folder / STATUS).read_text("utf-8"))
        except (OSError, ValueError):
            return cls({})
        return cls(found if isinstance(found, dict) else {})

    @property
    def works(self) -> bool:
        """Whether somebody still works, as far as can be seen from here."""
        return self.content.get("state") == WORKING and not self.ended

    @property
    def ended(self) -> bool:
        """Whether the writer went away without a word, as far as can be seen from here."""
        process, host = self.content.get("process"), self.content.get("host")
        if host == socket.gethostname() and isinstance(process, int):
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                return True
            except OSError:  # it is somebody else's
                return False
            return False
        return self.silent > SILENT_SECONDS

    @property
    def silent(self) -> float:
        """Seconds since it was written."""
        try:
            return time.time() - datetime.fromisoformat(str(self.content["updated"])).timestamp()
        except (KeyError, ValueError):
            return 0.0

    @property
    def who(self) -> str:
        """Who works, or worked."""
        return f"process {self.content.get('process')} on {self.content.get('host')}"

    def line(self) -> str:
        """All of it in one sentence; empty where nothing is told."""
        state, step = self.content.get("state"), str(self.content.get("step", ""))
        if state == WORKING:
            at = f" at {step}" if step else ""
            if not self.ended:
                return f"{self.who} works{at}"
            return f"{self.who} went away{at}; the same command goes on from there"
        if state == STOPPED:
            return (
                f"stopped: {self.content.get('problem') or 'the same command goes on from there'}"
            )
        return ""
