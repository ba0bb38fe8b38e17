"""Collects a run's activations: who leads reads the texts and puts together what was found; the
stretches in between are shared among all processes that the run has.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property

from gloss.collect.collect import Collecting
from gloss.errors import GlossError
from gloss.run.corpus_texts import open_run_texts, print_split_sizes
from gloss.run.execute.executors import Executor, SerialExecutor
from gloss.run.execute.ranks import RankExecutor
from gloss.run.execute.shard_work import ShardWork, log_losses
from gloss.run.execute.team import Team
from gloss.run.merged_collects import merge_finished
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import EVERY_WATCHED, print_notes, progress_bar, repeat_in_thread
from gloss.run.reporting.setup import left_out_summary
from gloss.run.run_dictionary import (
    build_collector,
    load_or_train_dictionary,
    load_run_subject,
    load_subject_and_dictionary,
)
from gloss.run.stage import Job
from gloss.store.lock import joint_writer, sole_writer
from gloss.store.progress import Progress


def collect_activations(job: Job, team: Team, executor: Executor) -> None:
    """Load the subject and the dictionary, and collect what is not collected yet.

    Of a team, who leads makes all but the stretches, of which each process makes its share.
    """
    run, name = job.run, job.step.name
    folder = run.place(name)
    if run.experiment.collect.merge:
        if team.leads:
            with progress_bar(name, "runs") as progress, sole_writer(folder):
                merge_finished(run)
                progress(number := len(run.experiment.collect.merge), number)
            finish_collecting(run)
        return
    writing = sole_writer(folder) if team.alone else joint_writer(folder, team.ranks.job)
    with progress_bar(name, "tokens") as progress, writing:
        begun = begin_collecting(run) if team.leads else None
        team.follow(f"{name}-begun")
        if not team.heard(f"{name}-read", team.ranks.rank):  # from one that was killed since
            begun = begun or StretchWork(run).begun
            if not begun.is_finished:
                read_stretches(job, begun, team, executor, progress)
            team.say(f"{name}-read")
        if begun is None or not team.leads:
            return
        with telling_what_is_made(begun, progress):
            team.wait_for_all(f"{name}-read")
        begun.make_missing(progress, by_others=not team.alone)
        begun.finish()
    finish_collecting(run)


def finish_collecting(run: OpenedRun) -> None:
    """Say what was left out, and mark the results as whole."""
    name, folder = "collect", run.place("collect")
    if run.activations.manifest["left_out"]:
        print_notes(f"  {left_out_summary(run.activations)}")
    made = (folder / each for each in ("corpus", "activations", "kept"))
    run.part(name, 0).write({}, beside=[each for each in made if each.exists()])


def begin_collecting(run: OpenedRun) -> Collecting:
    """Train the dictionary where that is to be done, and read the texts."""
    subject = load_run_subject(run)
    dictionary = load_or_train_dictionary(run, subject)
    return build_collector(run).begin(
        subject, dictionary, open_run_texts(run), run.place("collect"), print_split_sizes
    )


@dataclass(frozen=True)
class StretchWork:
    """Reads a stretch by its number, in whatever process: the subject and the dictionary are loaded
    there once.
    """

    run: OpenedRun

    @cached_property
    def begun(self) -> Collecting:
        """What who leads has begun."""
        loaded = load_subject_and_dictionary(self.run)
        return Collecting.of(build_collector(self.run), *loaded, self.run.place("collect"))

    def __call__(self, number: int) -> None:
        self.begun.make(number)


def read_stretches(
    job: Job, begun: Collecting, team: Team, executor: Executor, progress: Progress
) -> None:
    """Make the stretches that are not there: all of them, or this process's share."""
    every = range(len(begun.sizes))
    here = isinstance(executor, SerialExecutor | RankExecutor)
    if here and team.alone:
        begun.make_here(begun.left(every), progress)
        return
    with telling_what_is_made(begun, progress), log_losses(job, alone=team.alone):
        if here:
            begun.make_here(begun.left(team.ranks.own(every)))
        else:
            work = ShardWork(job, StretchWork(job.run))
            executor.run(work, begun.left(every), lambda number: None)


@contextmanager
def telling_what_is_made(begun: Collecting, progress: Progress) -> Generator[None]:
    """Count, now and then, the tokens of the stretches that are there, whoever made them."""
    total = sum(begun.sizes)

    def tell() -> None:
        with suppress(GlossError, OSError):  # others write there meanwhile
            if not begun.is_finished:
                progress(begun.made_tokens, total)

    tell()
    with repeat_in_thread(EVERY_WATCHED, tell):
        yield
    tell()
