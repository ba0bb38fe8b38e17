"""Runs the shards of a step that are not done: here, in a few processes or in threads."""

import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol, TypeVar, runtime_checkable

from gloss.errors import Stopped
from gloss.models.chat_models.batch_session import AwaitsBatch
from gloss.run.execute.workers import WorkerPool, worker_processes

CARDS = "CUDA_VISIBLE_DEVICES"
Work = Callable[[int], None]
Done = Callable[[int], None]
T = TypeVar("T")


@runtime_checkable
class Executor(Protocol):
    """Runs `work` on every shard.

    A shard may be run again after a crash, so work must be idempotent.
    """

    def run(self, work: Work, shards: Sequence[int], done: Done) -> None:
        """Call `done` with each shard that is finished; the first error ends the run."""
        ...


@dataclass(frozen=True)
class SerialExecutor:
    """One shard after the other, in this process."""

    def run(self, work: Work, shards: Sequence[int], done: Done) -> None:
        for shard in shards:
            work(shard)
            done(shard)


@dataclass(frozen=True)
class ProcessExecutor:
    """Several shards at a time, each in a process of its own; `work` must be picklable.

    A process that is ended from outside is started again, and its shard done again.
    """

    processes: int = 2
    # whether steps that hold weights are spread, too: each process loads them, on a card of its own
    # where there are several
    weights: bool = False

    @property
    def with_weights(self) -> "Executor":
        """What runs the shards of steps that hold weights."""
        return WeightExecutor(self.processes) if self.weights else SerialExecutor()

    def run(self, work: Work, shards: Sequence[int], done: Done) -> None:
        number = min(self.processes, len(shards))
        if number < 2:
            return SerialExecutor().run(work, shards, done)
        with keeping_workers():
            if _kept.pool is None:
                _kept.pool = WorkerPool(number, work, shares=True)
            else:
                _kept.pool.take(number, work)
            for place, _ in _kept.pool.results(shards, "shard {}".format):
                done(shards[place])
        return None


@dataclass(frozen=True)
class WeightExecutor:
    """Several shards at a time, each in a process that holds weights of its own and ends with the
    step.
    """

    processes: int

    def run(self, work: Work, shards: Sequence[int], done: Done) -> None:
        number = min(self.processes, len(shards))
        if number < 2:
            return SerialExecutor().run(work, shards, done)
        with tempfile.TemporaryDirectory() as places:
            placed = PlacedWork(work, Path(places), number, tuple(seen_cards()))
            with worker_processes(number, placed) as pool:
                for place, _ in pool.results(shards, "shard {}".format):
                    done(shards[place])
        return None


@dataclass(frozen=True)
class PlacedWork:
    """Work that a process does on a card of its own, or else with its share of the cores."""

    work: Work
    places: Path  # a folder with a lock for each place
    number: int  # of processes
    cards: tuple[str, ...]  # by their names in CUDA_VISIBLE_DEVICES

    @cached_property
    def place(self) -> int:
        """Which of the processes this one is; it stays so until it ends."""
        for place in range(self.number):
            file = (self.places / str(place)).open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            _places.append(file)
            self.settle(place)
            return place
        raise Stopped(f"{self.number} processes are there already; run the same command again")

    def settle(self, place: int) -> None:
        """Take a card, before torch asks for them, and a share of the threads that one process
        would have, unless the environment says how many.
        """
        if len(self.cards) > 1:
            os.environ[CARDS] = self.cards[place % len(self.cards)]
        if "OMP_NUM_THREADS" not in os.environ:
            import torch

            torch.set_num_threads(max(1, torch.get_num_threads() // self.number))

    def __call__(self, shard: int) -> None:
        self.place  # noqa: B018
        self.work(shard)


_places: list[IO[str]] = []  # of this process, whose lock is held until it ends


def seen_cards() -> list[str]:
    """The cards that this process sees, by their names in CUDA_VISIBLE_DEVICES."""
    shown = os.environ.get(CARDS)
    if shown is not None:
        return [each for each in shown.split(",") if each]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


class KeptWorkers(threading.local):
    """Processes that outlive a step, with all that they have opened; each thread has its own."""

    depth: int = 0  # of blocks that keep them
    pool: WorkerPool[int, None] | None = None

    def end(self, *, kill: bool = False) -> None:
        """End them, so that they hold no memory."""
        if self.pool is not None:
            self.pool.end(kill=kill)
            self.pool = None


_kept = KeptWorkers()


def end_kept_workers() -> None:
    """End the processes that are kept, where others need the memory; new ones begin when wanted."""
    _kept.end()


@contextmanager
def keeping_workers() -> Generator[None]:
    """Worker processes that begin inside serve all steps of the block, and end with it."""
    _kept.depth += 1
    try:
        yield
    except BaseException:
        _kept.end(kill=True)  # what they write is whole or not there
        raise
    finally:
        _kept.depth -= 1
        if not _kept.depth:
            _kept.end()


@dataclass(frozen=True)
class ThreadExecutor:
    """Several shards at a time, in threads of this process: for work that waits for answers.

    `cancel` ends what the threads wait for, where one of them failed and nothing is left to save.
    """

    threads: int
    cancel: Callable[[], None]

    def run(self, work: Work, shards: Sequence[int], done: Done) -> None:
        if min(self.threads, len(shards)) < 2:
            return SerialExecutor().run(work, shards, done)
        with ThreadPoolExecutor(min(self.threads, len(shards))) as pool:
            futures = {pool.submit(work, shard): shard for shard in shards}
            try:
                for future in ended_futures(futures):
                    done(futures[future])
            except Stopped:  # of all threads: each ends by itself, with what it paid for
                pool.shutdown(cancel_futures=True)
                raise
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.cancel()
                raise
        return None


@dataclass(frozen=True)
class BatchExecutor:
    """One shard after the other in this process, each as far as answers of batches are there."""

    def run(self, work: Work, shards: Sequence[int], done: Done) -> None:
        waits: AwaitsBatch | None = None
        for shard in shards:
            try:
                work(shard)
            except AwaitsBatch as problem:
                waits = problem
            else:
                done(shard)
        if waits is not None:
            raise waits


def ended_futures(futures: Iterable[Future[T]]) -> Iterable[Future[T]]:
    """Each future as it ends, raising its error if it has one."""
    waiting = set(futures)
    while waiting:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in ended:
            future.result()
            yield future
