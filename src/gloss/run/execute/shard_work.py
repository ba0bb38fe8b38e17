"""The work of a step on one shard, as it travels to whoever does it, and the log that says what was
lost on the way.
"""

import logging
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module

from gloss.errors import GlossError, Unwritable
from gloss.models.chat_models.batch_session import AwaitsBatch
from gloss.run.execute.feature_errors import append_text, stage_log, this_process
from gloss.run.execute.workers import LOST
from gloss.run.progress import print_notes
from gloss.run.stage import Job, Where
from gloss.store.lock import remove_partial_files


@dataclass(frozen=True)
class ShardWork:
    """Does a shard by its number.

    What ends the run is told in the step's log, with the shard and the process where it happened.
    """

    job: Job
    worker: Callable[[int], None] | None  # None: what holds weights, and is made where it works

    @cached_property
    def made(self) -> Callable[[int], None]:
        """The worker, once a process."""
        return self.worker or self.job.step.stage.worker(self.job)

    def prepare(self) -> None:
        """Open what all shards read, and import what intervals are worked out with: processes that
        are forked from this one share it.
        """
        import_module("scipy.special")
        run = self.job.run
        _ = self.made, run.activations, run.corpus.vocabulary.strings

    def __call__(self, shard: int) -> None:
        try:
            self.made(shard)
        except AwaitsBatch:  # which is no error
            raise
        except Exception as problem:
            said = (
                str(problem)
                if isinstance(problem, GlossError)
                else "".join(traceback.format_exception(problem))
            )
            log_line(self.job, f"shard {shard}, {this_process()}: {said}")
            raise


def shard_work(job: Job) -> ShardWork:
    """The work of a job, which can be pickled where it runs in other processes."""
    stage = job.step.stage
    weights = stage.where_to_run(job.run.experiment, job.step) is Where.DEVICE
    return ShardWork(job, None if weights else stage.worker(job))


def log_line(job: Job, text: str) -> None:
    """Add to the log of a step, which is worth no error of its own."""
    with suppress(Unwritable):
        append_text(
            stage_log(job.run, job.step.name), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n"
        )


@contextmanager
def log_losses(job: Job, *, alone: bool = True) -> Generator[None]:
    """Print, and keep in the step's log, what executors say that they lost and do again; in the
    end, clear away what the lost ones had begun to write, unless others write there.
    """
    handler = LossHandler(job)
    LOST.addHandler(handler)
    try:
        yield
    finally:
        LOST.removeHandler(handler)
        if handler.lost and alone:
            remove_partial_files(job.run.place(job.step.name))


class LossHandler(logging.Handler):
    """Tells of a step's losses."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job, self.lost = job, 0

    def emit(self, record: logging.LogRecord) -> None:
        """Print and keep one line."""
        self.lost += 1
        print_notes(f"  {self.job.step.name}: {record.getMessage()}")
        log_line(self.job, record.getMessage())
