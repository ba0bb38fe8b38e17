"""Runs the tasks that are not done: here or in a few processes of this machine."""

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gloss.errors import Stopped

Work = Callable[[int], None]


@runtime_checkable
class Executor(Protocol):
    """Runs `work` on every shard. A shard may be run again after a crash, so work must be idempotent."""

    def run(self, work: Work, shards: Sequence[int], done: Callable[[], None]) -> None:
        """Call `done` after each finished shard; the first error ends the run."""
        ...


@dataclass(frozen=True)
class Here:
    """One shard after the other, in this process."""

    def run(self, work: Work, shards: Sequence[int], done: Callable[[], None]) -> None:
        for shard in shards:
            work(shard)
            done()


@dataclass(frozen=True)
class Local:
    """Several shards at a time, each in a process of its own; `work` must be picklable."""

    processes: int = 2

    def run(self, work: Work, shards: Sequence[int], done: Callable[[], None]) -> None:
        if self.processes == 1 or len(shards) < 2:
            return Here().run(work, shards, done)
        # Spawned, not forked: a fork would inherit the threads' locks of torch and Arrow.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.processes, len(shards)), mp_context=context) as pool:
            try:
                for _ in finished(pool.submit(work, shard) for shard in shards):
                    done()
            except BrokenProcessPool as problem:
                raise Stopped(
                    "a worker process was ended from outside, perhaps for want of memory; run the same command again to go on, "
                    "with processes = 1 in [run] if it happens again"
                ) from problem
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return None


def finished(futures: Iterable[Future[None]]) -> Iterable[None]:
    """Yield once for each future that ends, raising its error if it has one."""
    waiting = set(futures)
    while waiting:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in ended:
            yield future.result()
