"""Stage `decompose`: the dictionary that the run reads with, taken as it is or trained."""

from collections.abc import Iterable
from typing import Any

from gloss.run.dependencies import dictionary_content, subject_content
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import in_notebook
from gloss.run.sources import dictionary_line
from gloss.run.stage import Job, Step, Where, WholeStage
from gloss.run.trained_beside import trained_beside


class DecomposeStage(WholeStage):
    """The dictionary."""

    name = "decompose"
    where = Where.DEVICE

    def content(self, asked: Experiment, step: Step) -> Any:
        return (
            subject_content(asked.subject),
            asked.decompose,
            dictionary_content(asked),
            asked.run.seed,
        )

    def work(self, job: Job, shard: int) -> None:
        from gloss.run.run_dictionary import load_or_train_dictionary, load_run_subject

        load_or_train_dictionary(job.run, load_run_subject(job.run))

    def lines(self, run: OpenedRun, step: Step) -> Iterable[str]:
        # a notebook travels, so that it names no folder of one machine; `run.dictionary` is there
        if in_notebook():
            return []
        beside = trained_beside(run.experiment.decompose)
        names = ", ".join(f"{run.folder}#{name}" for name in beside)
        more = [f"beside it, in the same pass: {names}"] if beside else []
        return [dictionary_line(run), *more]
