"""Workers that are killed at random moments cost a run time, and nothing else."""

import sys

import pytest
from small import SMALL

from benchmarks.reliability.kill_workers import Told, kill_workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")


def test_a_run_ends_with_the_same_bytes_however_many_of_its_workers_are_killed(
    small_run, tmp_path, rng
):
    experiment, told = SMALL.replace("processes = 1", "processes = 2"), Told("processes")
    kill_workers(tmp_path, experiment, small_run / "out", told, 2, rng)
    assert told.same
    assert (told.kills, told.again) == (2, 0)  # none of them ended a run
