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
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from gloss.errors import Stopped
from gloss.run.execute.forked_workers import (
    CAN_FORK,
    AdoptedProcess,
    fork_workers,
    take_in_orphans,
)

T = TypeVar("T")
R = TypeVar("R")
# a signal to all processes of a terminal or a job may end a worker before this process hears of it
SIGNAL_SECONDS = 0.5
PR_SET_PDEATHSIG = 1
ATTEMPTS = 5  # how often the same thing may take its worker with it
STARTS = 20  # how many workers in a row may be lost while they do nothing
ENDING_SECONDS = 5.0  # for a process whose connection is closed
# who runs shards elsewhere says here what was lost and is tried again
LOST = logging.getLogger("gloss.lost")


@dataclass
class Worker:
    """A process and the way to it."""

    process: BaseProcess | AdoptedProcess  # or that which forks it, until it has begun
    channel: Connection
    begun: bool = False  # whether it has said that it is there
    work: bytes = b""  # what it was given to do with each thing
    doing: int | None = None  # the place of the thing that it does

    def begin(self, pid: int) -> None:
        """It is there, by this number."""
        self.begun = True
        if self.process.pid != pid:
            self.process.join()
            self.process = AdoptedProcess(pid)

    def give(self, work: bytes, place: int, item: object) -> None:
        """Let it do a thing. Where it has just ended, that is seen when it should answer."""
        with suppress(OSError):
            if work is not self.work:
                self.channel.send((True, work))
            self.channel.send((False, item))
        self.work, self.doing = work, place

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
        elif code > 0 or (code == 0 and self.begun):
            raise Stopped(
                f"a worker process ended by itself with exit code {code}, and what it wrote on"
                " standard error says why; mend that, or give processes = 1 in [run] or --jobs 1,"
                " and run the same command again"
            )
        return f"was ended by {signal.Signals(-code).name if code else 'nobody knows whom'}"


@dataclass
class Losses:
    """How many workers were lost."""

    doing: Counter[int] = field(default_factory=Counter[int])  # by the place of what they did
    idle: int = 0  # in a row, before they did anything

    def count(self, place: int | None) -> int:
        """Count one more, and give how many of its kind there are."""
        if place is None:
            self.idle += 1
            return self.idle
        self.doing[place] += 1
        return self.doing[place]


class WorkerPool(Generic[T, R]):
    """So many processes that do the same `work`, which travels to each of them once.

    One that is ended from outside loses what it did, which another does again. With `shares`, those
    that begin together share what they import and open, where the system lets them: for work that
    wants no torch.
    """

    def __init__(self, number: int, work: Callable[[T], R], *, shares: bool = False) -> None:
        # Spawned, not forked: a fork would inherit the threads' locks of torch and Arrow.
        self.context = multiprocessing.get_context("spawn")
        self.shares = shares and CAN_FORK
        self.workers: list[Worker] = []
        self.take(number, work)

    def take(self, number: int, work: Callable[[T], R]) -> None:
        """Do other work from now on, in so many processes."""
        self.number, self.work = number, pickle.dumps(work)

    def results(
        self, items: Sequence[T], name: Callable[[T], str] = str
    ) -> Iterator[tuple[int, R]]:
        """The place of each item and what the work gives for it, in the order in which they end.

        Raises the first error of the work, and Stopped, which names the item, where one took its
        worker with it several times.
        """
        left, undone, lost = deque(range(len(items))), len(items), Losses()
        while undone:
            if (missing := min(self.number, undone) - len(self.workers)) > 0:
                self.start(missing)
            for worker in self.workers:
                if worker.begun and worker.doing is None and left:
                    place = left.popleft()
                    worker.give(self.work, place, items[place])
            ready = wait([each.channel for each in self.workers])
            for worker in [each for each in self.workers if each.channel in ready]:
                place = worker.doing
                try:
                    answer = worker.channel.recv()
                except (EOFError, OSError):
                    what = "" if place is None else name(items[place])
                    self.remove(worker, lost.count(place), what)
                    left.extendleft([] if place is None else [place])
                    continue
                lost.idle = 0
                if isinstance(answer, Exception):
                    raise answer
                if isinstance(answer, int):
                    worker.begin(answer)
                elif place is not None:
                    worker.doing, undone = None, undone - 1
                    yield place, answer[0]

    def start(self, number: int) -> None:
        """So many more processes."""
        with block_interrupts():  # else the first start would begin it, and let signals through
            resource_tracker.ensure_running()
        with block_interrupts():
            ways = [multiprocessing.Pipe() for _ in range(number)]
            if self.shares and number > 1:
                take_in_orphans()
                others = [other for _, other in ways]
                process = self.started(fork_all, self.work, others)
                self.workers += [Worker(process, own) for own, _ in ways]
            else:
                self.workers += [Worker(self.started(serve, other), own) for own, other in ways]
            for _, other in ways:
                other.close()

    def started(self, target: Callable[..., None], *given: object) -> BaseProcess:
        """A process that does this for this one."""
        process = self.context.Process(target=target, args=(os.getpid(), *given))
        process.start()
        return process

    def remove(self, worker: Worker, times: int, what: str) -> None:
        """Leave out a worker that ended, and say so.

        Raises Stopped where so many others were lost before.
        """
        self.workers.remove(worker)
        worker.channel.close()
        how = worker.ended()
        time.sleep(SIGNAL_SECONDS)
        when = f"at {what}" if what else "before they began"
        # those that one process was about to fork are lost together
        if times == (ATTEMPTS if what else STARTS * self.number):
            raise Stopped(
                f"{times} worker processes were lost {when} (the last {how}), perhaps for want of"
                " memory; run the same command again to go on, with processes = 1 in [run] or"
                " --jobs 1 if it happens again"
            )
        again = f" at {what}; it is done again" if what else " before it began; another begins"
        LOST.warning("worker process %d %s%s", worker.process.pid, how, again)

    def end(self, *, kill: bool) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.end(kill=kill)
        self.workers.clear()


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


def fork_all(parent: int, work: bytes, channels: Sequence[Connection]) -> None:
    """What a process does that others are forked from."""
    die_with_parent(parent)
    fork_workers(parent, work, channels, serve)


def serve(parent: int, channel: Connection) -> None:
    """What a worker process does: the work that it was given last, on one thing after the other,
    until nobody asks.
    """
    die_with_parent(parent)
    try:
        channel.send(os.getpid())
    except OSError:  # nobody needs it any more
        return
    packed, work = b"", None
    while True:
        try:
            is_work, content = channel.recv()
        except EOFError:
            return
        if is_work:
            packed, work = content, None
            continue
        try:
            if work is None:
                work = pickle.loads(packed)
            answer: Exception | tuple[Any] = (work(content),)
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
