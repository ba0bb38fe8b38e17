"""Worker processes that share what takes a second to begin with: one process imports what the work
wants, opens what all read, forks the workers and ends.

It is begun anew, so that it has none of the threads, locks and weights of the process that asks;
the workers become children of the latter all the same, which Linux lets take them in.
"""

import ctypes
import gc
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection
from typing import NoReturn, Protocol, runtime_checkable

PR_SET_CHILD_SUBREAPER = 36
CAN_FORK = sys.platform == "linux"
LOOK_SECONDS = 0.001

Serve = Callable[[int, Connection], None]


@runtime_checkable
class PreparedWork(Protocol):
    """Work that can open what all of its things want, before processes are forked."""

    def prepare(self) -> None:
        """Open it; what cannot be opened is told by the work itself."""
        ...


@dataclass
class AdoptedProcess:
    """A process that another one began, which is a child of this one now."""

    pid: int
    exitcode: int | None = None  # a signal's number is negative

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most so many seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.exitcode is None:
            try:
                ended, status = os.waitpid(self.pid, 0 if until is None else os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                ended, status = self.pid, 0
            if ended:
                self.exitcode = os.waitstatus_to_exitcode(status)
            elif until is not None and time.monotonic() > until:
                return
            else:
                time.sleep(LOOK_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        if self.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def take_in_orphans() -> None:
    """Let this process be the parent of those whose parent ends, among all that it begins."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fork_workers(parent: int, work: bytes, channels: Sequence[Connection], serve: Serve) -> None:
    """What the process does that ends: fork a worker for each channel, which serves the parent."""
    with suppress(Exception):  # who does the work will say what is wrong with it
        leave_pandas_alone()
        made = pickle.loads(work)
        if isinstance(made, PreparedWork):
            made.prepare()
    gc.freeze()  # what is here already is not looked at, and so not copied, by each worker
    own = os.getpid()
    for channel in channels:
        if os.fork() == 0:
            be_worker(
                own, parent, channel, [each for each in channels if each is not channel], serve
            )


def leave_pandas_alone() -> None:
    """Let Arrow look for pandas now, and find none: else it imports it, a third of a second, with
    the first list of which it makes an array.

    Who imports pandas later has it, and Arrow finds it where a table is to be one of pandas.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    hidden = HiddenModule("pandas")
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(hidden)


@dataclass(frozen=True)
class HiddenModule(MetaPathFinder):
    """A module that is not found, whether it is installed or not."""

    name: str

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Raises ModuleNotFoundError for the module."""
        if fullname == self.name:
            raise ModuleNotFoundError(f"{fullname} is hidden", name=fullname)


def be_worker(
    forked_by: int,
    parent: int,
    channel: Connection,
    others: Sequence[Connection],
    serve: Serve,
) -> NoReturn:
    """What each worker does, once it is a child of the parent."""
    code = 1
    try:
        for other in others:
            other.close()
        while os.getppid() == forked_by:
            time.sleep(LOOK_SECONDS)
        serve(parent, channel)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
