"""Processes of this machine that do one thing at a time each; one that is ended from outside is
started again.
"""

import ctypes
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from gloss.errors import Stopped

T = TypeVar("T")
R = TypeVar("R")
# a signal to all processes of a terminal or a job may end a worker before this process hears of it
SIGNAL_SECONDS = 0.5
PR_SET_PDEATHSIG = 1
ATTEMPTS = 5  # how often the same thing may take its worker with it
STARTS = 20  # how many workers in a row may be lost before they begin
ENDING_SECONDS = 5.0  # for a process whose connection is closed
BEGUN = "begun"  # what a worker says first
# who runs shards elsewhere says here what was lost and is tried again
LOST = logging.getLogger("gloss.lost")


@dataclass
class Worker:
    """A process and the way to it."""

    process: BaseProcess
    channel: Connection
    doing: int | None = None  # the place of what it does
    begun: bool = False  # whether it has been there to begin with it

    def end(self, *, kill: bool) -> None:
        """Let it end by itself, or at once."""
        if kill:
            self.process.kill()
        self.channel.close()
        self.process.join()

    def ended(self) -> str:
        """How it ended, in words.

        Raises Stopped where it ended by itself, as it would again.
        """
        self.process.join(ENDING_SECONDS)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join()
        elif code >= 0:
            raise Stopped(
                f"a worker process ended by itself with exit code {code}, and what it wrote on"
                " standard error says why; mend that, or give processes = 1 in [run] or --jobs 1,"
                " and run the same command again"
            )
        return f"was ended by {signal.Signals(-code).name if code else 'nobody knows whom'}"


class WorkerPool(Generic[T, R]):
    """So many processes that do the same `work`, which travels to each of them once.

    One that is ended from outside loses what it did, which another does again.
    """

    def __init__(self, number: int, work: Callable[[T], R]) -> None:
        self.number, self.work = number, work
        # Spawned, not forked: a fork would inherit the threads' locks of torch and Arrow.
        self.context = multiprocessing.get_context("spawn")
        self.workers: list[Worker] = []

    def results(
        self, items: Sequence[T], name: Callable[[T], str] = str
    ) -> Iterator[tuple[int, R]]:
        """The place of each item and what the work gives for it, in the order in which they end.

        Raises the first error of the work, and Stopped, which names the item, where one took its
        worker with it several times.
        """
        left, undone = deque(range(len(items))), len(items)
        lost = Losses()
        while undone:
            while left and (worker := self.idle(undone)) is not None:
                worker.doing = left.popleft()
                with suppress(OSError):  # it has just ended, which is seen below
                    worker.channel.send(items[worker.doing])
            ready = wait([each.channel for each in self.workers if each.doing is not None])
            for worker in [each for each in self.workers if each.channel in ready]:
                place = worker.doing
                assert place is not None
                try:
                    answer = worker.channel.recv()
                except (EOFError, OSError):
                    self.remove(worker, lost, name(items[place]))
                    left.appendleft(place)
                    continue
                worker.begun, lost.starting = True, 0
                if answer == BEGUN:
                    continue
                if isinstance(answer, Exception):
                    raise answer
                worker.doing, undone = None, undone - 1
                yield place, answer[0]

    def idle(self, wanted: int) -> Worker | None:
        """A worker that does nothing; a new one where there may be more."""
        for worker in self.workers:
            if worker.doing is None:
                return worker
        return self.start() if len(self.workers) < min(self.number, wanted) else None

    def start(self) -> Worker:
        """One more process."""
        with block_interrupts():  # the first start begins a process of Python's own, too
            own, other = multiprocessing.Pipe()
            process = self.context.Process(target=serve, args=(os.getpid(), other, self.work))
            process.start()
            other.close()
        self.workers.append(Worker(process, own))
        return self.workers[-1]

    def remove(self, worker: Worker, lost: "Losses", what: str) -> None:
        """Leave out a worker that ended, and say so. Raises Stopped, where others did before."""
        self.workers.remove(worker)
        worker.channel.close()
        how = worker.ended()
        time.sleep(SIGNAL_SECONDS)
        times = lost.count(worker)
        if times == (ATTEMPTS if worker.begun else STARTS):
            when = f"at {what}" if worker.begun else "before they began"
            raise Stopped(
                f"{times} worker processes were lost {when} (the last {how}), perhaps for want of"
                " memory; run the same command again to go on, with processes = 1 in [run] or"
                " --jobs 1 if it happens again"
            )
        LOST.warning("worker process %d %s at %s; it is done again", worker.process.pid, how, what)

    def end(self, *, kill: bool) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.end(kill=kill)
        self.workers.clear()


@dataclass
class Losses:
    """How many workers were lost."""

    doing: Counter[int] = field(default_factory=Counter[int])  # by the place of what they did
    starting: int = 0  # in a row, before they began

    def count(self, worker: Worker) -> int:
        """Count one more, and give how many of its kind there are."""
        if not worker.begun:
            self.starting += 1
            return self.starting
        assert worker.doing is not None
        self.doing[worker.doing] += 1
        return self.doing[worker.doing]


@contextmanager
def worker_processes(number: int, work: Callable[[T], R]) -> Generator[WorkerPool[T, R]]:
    """A pool of processes that end with this one, and at the first error."""
    pool = WorkerPool(number, work)
    try:
        yield pool
    except BaseException:
        pool.end(kill=True)  # what they write is whole or not there
        raise
    pool.end(kill=False)


def serve(parent: int, channel: Connection, work: Callable[[Any], Any]) -> None:
    """What a worker process does: the work, on one thing after the other, until nobody asks."""
    die_with_parent(parent)
    channel.send(BEGUN)
    while True:
        try:
            item = channel.recv()
        except EOFError:
            return
        try:
            answer: Exception | tuple[Any] = (work(item),)
        except Exception as problem:
            answer = portable_error(problem)
        channel.send(answer)


def portable_error(problem: Exception) -> Exception:
    """An error as it can travel to another process, with its traceback as a note."""
    text = "".join(traceback.format_exception(problem))
    try:
        copy = pickle.loads(pickle.dumps(problem))
    except Exception:  # it holds something that cannot travel, or its class wants more to be made
        copy = RuntimeError(f"{type(problem).__name__}: {problem}")
    copy.add_note(text)
    return copy


@contextmanager
def block_interrupts() -> Generator[None]:
    """Processes that are started inside never hear of Ctrl-C or of a closed terminal, which go to
    all; this one does, after.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGHUP])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent(parent: int) -> None:
    """Let this worker end with the process that started it, however that ends."""
    if sys.platform == "linux":  # whatever the worker is doing
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=exit_after_parent, daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def exit_after_parent() -> None:
    """Wait for the parent to end, then end."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    os._exit(1)
