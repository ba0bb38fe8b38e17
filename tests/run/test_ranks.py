"""One command, started several times as the tasks of a job, makes the bytes of one process."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import SMALL, Command, contents, job_of, ran, start

from gloss.errors import BadSettings, Stopped
from gloss.run.execute.executors import CARDS
from gloss.run.execute.ranks import (
    ALONE,
    Ranks,
    SlurmExecutor,
    slurm_ranks,
    torchrun_ranks,
)
from gloss.run.execute.team import Team
from gloss.run.pipeline import telling_of_all
from gloss.run.planning import read_run
from gloss.store.lock import joint_writer, sole_writer

ARRAY = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "0"}


def array(task: int, **others: str) -> dict[str, str]:
    return ARRAY | {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_JOB_ID": str(90 + task)} | others


# ---- the environment


def test_a_place_in_an_array_is_read_from_the_environment():
    found = slurm_ranks(array(1), 5.0)
    assert found == Ranks("slurm-7", 1, 2, 0, 5.0)
    counted = array(11, SLURM_ARRAY_TASK_MIN="5", SLURM_ARRAY_TASK_STEP="6")
    assert slurm_ranks(counted).rank == 1


def test_tasks_of_srun_count_and_those_that_a_batch_script_may_start_do_not():
    batch = {"SLURM_JOB_ID": "3", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
    assert slurm_ranks(batch) == ALONE
    step = batch | {"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_LOCALID": "1"}
    assert slurm_ranks(step, 5.0) == Ranks("slurm-3-0", 2, 4, 1, 5.0)
    # a job that is started again, or another step of it, heeds nothing that was said before
    again = [{"SLURM_RESTART_COUNT": "1"}, {"SLURM_STEP_ID": "1"}]
    assert {slurm_ranks(step | each).job for each in again} == {"slurm-3-0-1", "slurm-3-1"}
    both = array(1, SLURM_STEP_ID="0", SLURM_STEP_NUM_TASKS="3", SLURM_PROCID="2")
    assert (slurm_ranks(both).rank, slurm_ranks(both).world) == (5, 6)


def test_all_hear_of_a_failure_wherever_they_wait_and_of_whatever_kind(tmp_path):
    one, other = (Ranks("job", rank, 2, timeout=5.0) for rank in (0, 1))
    with pytest.raises(RuntimeError), Team(other, tmp_path, "run").writing():
        raise RuntimeError("the card is full")
    with pytest.raises(Stopped, match="rank 1 of 2 stopped: RuntimeError: the card is full"):
        Team(one, tmp_path, "a step").wait("done", [1])
    with pytest.raises(KeyboardInterrupt), Team(other, tmp_path, "run").writing():
        raise KeyboardInterrupt
    with pytest.raises(Stopped, match=r"rank 1 of 2 stopped: KeyboardInterrupt$"):
        Team(one, tmp_path, "a step").wait("done", [1])


def test_a_place_in_torchrun_is_read_from_the_environment():
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "a"}
    found = torchrun_ranks(given, 5.0)
    assert (found.rank, found.world, found.local) == (3, 4, 1)
    assert torchrun_ranks({}) == slurm_ranks({}) == ALONE
    assert torchrun_ranks(given | {"TORCHELASTIC_RESTART_COUNT": "1"}).job != found.job


def test_a_place_that_cannot_be_is_refused():
    with pytest.raises(BadSettings, match="rank 4 of 4"):
        torchrun_ranks({"RANK": "4", "WORLD_SIZE": "4"})


def test_every_shard_is_the_share_of_one_rank_whatever_is_left():
    shares = [Ranks("j", rank, 3).own(range(10)) for rank in range(3)]
    assert sorted(shard for share in shares for shard in share) == list(range(10))
    assert Ranks("j", 1, 3).own([9, 4, 7]) == [4, 7]


@pytest.mark.parametrize(
    ("shown", "local", "taken"), [(None, 2, "2"), ("4,5", 1, "5"), ("6", 3, "6"), ("", 1, "")]
)
def test_each_process_of_a_machine_takes_a_card_of_its_own(monkeypatch, shown, local, taken):
    monkeypatch.delenv(CARDS, raising=False)
    if shown is not None:
        monkeypatch.setenv(CARDS, shown)
    Ranks("j", local, 4, local).take_card()
    assert os.environ[CARDS] == taken


# ---- who may write, and who waits for whom


def test_a_job_shares_a_folder_and_strangers_are_kept_out(tmp_path):
    with joint_writer(tmp_path, "a"), sole_writer(tmp_path):  # the same process again
        code = "import sys; from pathlib import Path; from gloss.store import lock; {}"
        for block, allowed in (
            ("lock.joint_writer(Path(sys.argv[1]), 'a').__enter__()", True),
            ("lock.joint_writer(Path(sys.argv[1]), 'b').__enter__()", False),
            ("lock.sole_writer(Path(sys.argv[1])).__enter__()", False),
        ):
            command = [sys.executable, "-c", code.format(block), str(tmp_path)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert ("Busy: another gloss" in done.stderr, done.returncode) == (
                not allowed,
                0 if allowed else 1,
            ), done.stderr
    with joint_writer(tmp_path, "b"):
        pass
    with sole_writer(tmp_path):
        pass


def test_who_does_not_come_and_who_fails_are_told(tmp_path):
    team = Team(Ranks("j", 0, 3, 0, 1.0), tmp_path, "score")
    team.say("explain")
    other = Team(Ranks("j", 2, 3), tmp_path, "score")
    other.say("explain")
    with pytest.raises(Stopped, match=r"rank 1 of 3 did not come to the end of explain in 0:01"):
        team.wait_for_all("explain")
    with pytest.raises(BadSettings), other.writing():
        raise BadSettings("no such thing")
    with pytest.raises(Stopped, match="rank 2 of 3 stopped: no such thing"):
        team.wait_for_all("explain")


def test_outside_of_a_job_it_is_one_process(monkeypatch):
    for name in ARRAY:
        monkeypatch.delenv(name, raising=False)
    told: list[int] = []
    SlurmExecutor().run(lambda shard: None, [3, 1], told.append)
    assert told == [3, 1]


# ---- whole runs


def results(folder: Path) -> dict[str, str]:
    """All files but the one that names the executor."""
    return {name: held for name, held in contents(folder).items() if name != "experiment.json"}


def task(folder: Path, verb: str, environment: dict[str, str]) -> Command:
    """One task of a job."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return start(folder, verb, "experiment.toml")


@pytest.mark.timeout(600)
def test_an_array_of_which_one_task_is_killed_and_started_again_makes_the_same_bytes(
    small_run, tmp_path
):
    shutil.copytree(small_run / "out", tmp_path / "out")
    for verb in ("explain", "score", "collisions", "page"):
        shutil.rmtree(tmp_path / "out" / verb)
    text = SMALL.replace("processes = 1", 'processes = 1\nexecutor = "slurm"')
    (tmp_path / "experiment.toml").write_text(text)
    tasks = [task(tmp_path, "run", array(number)) for number in range(2)]
    until = time.monotonic() + 200
    while not list((tmp_path / "out" / "explain").rglob("*.parquet")):
        assert time.monotonic() < until
        time.sleep(0.01)
    tasks[1].kill()
    tasks[1].communicate()
    (tmp_path / "own.toml").write_text(SMALL)
    code, _, err = ran(tmp_path, "run", "own.toml")
    assert code == 2
    assert "another gloss" in err
    tasks[1] = task(tmp_path, "run", array(1))
    for each in tasks:
        _, err = each.communicate(timeout=300)
        assert each.returncode == 0, err
    assert results(tmp_path / "out") == results(small_run / "out")


@pytest.mark.timeout(600)
def test_processes_of_torchrun_make_the_same_bytes_from_the_text_on(small_run, tmp_path):
    text = SMALL.replace("processes = 1", 'processes = 1\nexecutor = "torchrun"')
    (tmp_path / "experiment.toml").write_text(text)
    common = {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none", CARDS: ""}
    tasks = [task(tmp_path, "run", common | {"RANK": str(n), "LOCAL_RANK": str(n)}) for n in (1, 0)]
    for each in tasks:
        _, err = each.communicate(timeout=300)
        assert each.returncode == 0, err
    assert results(tmp_path / "out") == results(small_run / "out")


@pytest.mark.timeout(600)
def test_tasks_share_the_stretches_of_the_text_and_one_that_is_killed_goes_on(tmp_path):
    text = SMALL.replace(
        "max_tokens = 12000", 'max_tokens = 9000\nshard_tokens = 700\nstore = "mined"'
    )
    for name in ("one", "shared"):
        (tmp_path / name).mkdir()
        slurm = 'processes = 1\nexecutor = "slurm"' if name == "shared" else "processes = 1"
        (tmp_path / name / "experiment.toml").write_text(text.replace("processes = 1", slurm))
    code, _, err = ran(tmp_path / "one", "collect", "experiment.toml")
    assert code == 0, err
    tasks = [task(tmp_path / "shared", "collect", array(number)) for number in range(2)]
    until = time.monotonic() + 200
    while not list((tmp_path / "shared" / "out").glob("collect/*/shards/part-0-000001.blocks")):
        assert time.monotonic() < until
        time.sleep(0.01)
    tasks[1].kill()
    tasks[1].communicate()
    tasks[1] = task(tmp_path / "shared", "collect", array(1))
    for each in tasks:
        _, err = each.communicate(timeout=300)
        assert each.returncode == 0, err
    one, shared = (results(tmp_path / name / "out") for name in ("one", "shared"))
    assert len(one) > 12
    assert shared == one


def test_each_process_shows_what_all_have_done(small_run):
    run, heard = read_run(small_run / "out"), []
    with telling_of_all(
        job_of(run, "explain.rule"), [3, 3, 3, 3], lambda *told: heard.append(told)
    ):
        pass
    assert heard[-1] == (12, 12)


def test_the_script_for_sbatch_runs_the_experiment_as_an_array(tmp_path):
    (tmp_path / "mine.toml").write_text(SMALL)
    options = ("--tasks", "8", "--gpus", "1", "--hours", "1.5", "--sbatch=--partition=long")
    code, out, err = ran(tmp_path, "slurm", "mine.toml", *options)
    assert (code, out) == (0, "sbatch mine.sbatch\n"), err
    script = (tmp_path / "mine.sbatch").read_text()
    asked = set(re.findall(r"^#SBATCH (.+)$", script, re.M))
    assert {"--array=0-7", "--gres=gpu:1", "--time=1:30:00", "--partition=long"} < asked
    assert "--cpus-per-task=1" in asked
    assert subprocess.run(["bash", "-n", str(tmp_path / "mine.sbatch")]).returncode == 0
    assert script.endswith(" run mine.toml --executor slurm\n")
    assert f"cd {tmp_path}\n" in script
    (tmp_path / "bad.toml").write_text("[run]\nprocesses = 0\n")
    assert ran(tmp_path, "slurm", "bad.toml")[0] == 2
    code, _, err = ran(tmp_path, "run", "mine.toml", "--executor", "slrum")
    assert code == 2
    assert "did you mean 'slurm'" in err
