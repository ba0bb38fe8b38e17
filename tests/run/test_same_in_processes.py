"""Stages that compute in several processes make the bytes that one process makes."""

import shutil
from pathlib import Path

import pytest
from small import contents, job_of

from gloss.run.execute.executors import ProcessExecutor
from gloss.run.experiment import Experiment
from gloss.run.planning import read_run
from gloss.run.stage import Where, planned_steps

STEPS = ("sample", "sample.quantiles", "collisions")


@pytest.mark.parametrize("name", STEPS)
def test_two_processes_make_the_bytes_of_one(small_run: Path, tmp_path: Path, name: str) -> None:
    made: list[dict[str, str]] = []
    for processes in (1, 2):
        whole = shutil.copytree(small_run / "out", tmp_path / str(processes))
        run = read_run(Path(whole))
        shutil.rmtree(run.place(name))
        job, done = job_of(run, name), list[int]()
        ProcessExecutor(processes).run(job.step.stage.worker(job), range(run.shards), done.append)
        job.step.stage.finish(job)
        assert sorted(done) == list(range(run.shards))
        made.append(contents(run.place(name)))
    assert len(made[0]) > 4
    assert made[0] == made[1]


def test_only_runs_of_many_features_sample_and_compare_in_processes() -> None:
    for features, expected in (
        (0, Where.PROCESSES),
        (5000, Where.PROCESSES),
        (tuple(range(2000)), Where.PROCESSES),
        (400, Where.SERIAL),
        ((3, 7), Where.SERIAL),
    ):
        asked = Experiment.of({"run": {"features": features}})
        for step in planned_steps(asked):
            if step.stage.name in ("sample", "collisions"):
                assert step.stage.where_to_run(asked, step) is expected
