"""Runs the tasks that are not done: here or in a few processes of this machine."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from gloss.errors import Stopped

Work = Callable[[int], None]
T = TypeVar("T")
# a signal to all processes of a terminal or a job may end a worker before this process hears of it
SIGNAL_SECONDS = 0.5
PR_SET_PDEATHSIG = 1


@runtime_checkable
class Executor(Protocol):
    """Runs `work` on every shard.

    A shard may be run again after a crash, so work must be idempotent.
    """

    def run(self, work: Work, shards: Sequence[int], done: Callable[[], None]) -> None:
        """Call `done` after each finished shard; the first error ends the run."""
        ...


@dataclass(frozen=True)
class SerialExecutor:
    """One shard after the other, in this process."""

    def run(self, work: Work, shards: Sequence[int], done: Callable[[], None]) -> None:
        for shard in shards:
            work(shard)
            done()


@dataclass(frozen=True)
class ProcessExecutor:
    """Several shards at a time, each in a process of its own; `work` must be picklable."""

    processes: int = 2

    def run(self, work: Work, shards: Sequence[int], done: Callable[[], None]) -> None:
        if self.processes == 1 or len(shards) < 2:
            return SerialExecutor().run(work, shards, done)
        with worker_processes(min(self.processes, len(shards)), work) as pool:
            with block_interrupts():
                futures = [pool.submit(do_shard, shard) for shard in shards]
            for _ in wait_for_futures(futures):
                done()
        return None


@dataclass(frozen=True)
class ThreadExecutor:
    """Several shards at a time, in threads of this process: for work that waits for answers.

    `cancel` ends what the threads wait for, where one of them failed and nothing is left to save.
    """

    threads: int
    cancel: Callable[[], None]

    def run(self, work: Work, shards: Sequence[int], done: Callable[[], None]) -> None:
        if min(self.threads, len(shards)) < 2:
            return SerialExecutor().run(work, shards, done)
        with ThreadPoolExecutor(min(self.threads, len(shards))) as pool:
            futures = [pool.submit(work, shard) for shard in shards]
            try:
                for _ in wait_for_futures(futures):
                    done()
            except Stopped:  # of all threads: each ends by itself, with what it paid for
                pool.shutdown(cancel_futures=True)
                raise
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.cancel()
                raise
        return None


@dataclass
class WorkerState:
    """What a worker process keeps from one shard to the next."""

    work: Work | None = None


WORKER = WorkerState()


def begin_worker(parent: int, work: Work | None) -> None:
    """Make a process ready for its shards: the work comes once, with all that it keeps."""
    die_with_parent(parent)
    WORKER.work = work


def do_shard(shard: int) -> None:
    """Do the process's own work on a shard."""
    assert WORKER.work is not None
    WORKER.work(shard)


@contextmanager
def worker_processes(number: int, work: Work | None = None) -> Generator[ProcessPoolExecutor]:
    """A pool of processes that end with this one, and at the first error; `do_shard` does this
    work in them.

    Raises Stopped where one is ended from outside.
    """
    # Spawned, not forked: a fork would inherit the threads' locks of torch and Arrow.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with block_interrupts():  # it starts a process of its own, too
        made = ProcessPoolExecutor(
            number, mp_context=context, initializer=begin_worker, initargs=(os.getpid(), work)
        )
    with made as pool:
        try:
            yield pool
        except BrokenProcessPool as problem:
            time.sleep(SIGNAL_SECONDS)
            raise Stopped(
                "a worker process was ended from outside, perhaps for want of memory; run the"
                " same command again to go on, with processes = 1 in [run] or --jobs 1 if it"
                " happens again"
            ) from problem
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # what they write is whole or not there
            for worker in set(multiprocessing.active_children()) - others:
                worker.kill()
            raise


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


def wait_for_futures(futures: Iterable[Future[T]]) -> Iterable[T]:
    """Yield once for each future that ends, raising its error if it has one."""
    waiting = set(futures)
    while waiting:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in ended:
            yield future.result()
