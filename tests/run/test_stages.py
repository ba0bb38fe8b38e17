"""What a run derives from its stages, also where stages are strangers' or newer than the run."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from small import job_of, reseal

from gloss.errors import BadSettings
from gloss.run.commands.query import run_tables
from gloss.run.commands.status import print_run_status
from gloss.run.experiment import Experiment
from gloss.run.methods import load_stage
from gloss.run.pipeline import write_resolved
from gloss.run.planning import plan_run, read_run, tables_of
from gloss.run.stage import Job, Stage, Step, WholeStage
from gloss.store.sealed_json import read_sealed_json


class Unfit(Stage):
    name, optional = "unfit", True


class Digest(WholeStage):
    """Reads everything that features have before it."""

    name, after = "digest", ("explain",)


class Greedy(Stage):
    name = "greedy"

    def reads(self, asked, step, before):
        return before


@pytest.fixture
def copied(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "out")
    return tmp_path / "out"


def test_a_run_of_before_a_stage_was_installed_is_read(copied, capsys):
    keys = {name: key for name, key in read_run(copied).keys.items() if name != "collisions"}
    reseal(copied / "experiment.json", keys=keys, tables=tables_of(keys))
    print_run_status(copied)
    assert "collisions" not in capsys.readouterr().out
    tables = run_tables(read_run(copied))
    assert tables["collisions"][1] == []
    assert tables["scores"][1]


READS = """
import os, sys
from pathlib import Path
from gloss.run.commands.status import print_run_status
print_run_status(Path(sys.argv[1]))
names = [Path(f"/proc/self/task/{each}/comm").read_text() for each in os.listdir("/proc/self/task")]
assert len([name for name in names if "jemalloc" not in name]) == 1, names
assert "torch" not in sys.modules
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted on Linux")
def test_a_run_that_trained_its_dictionary_is_read_without_torch_and_in_one_thread(copied):
    written = read_sealed_json(copied / "experiment.json")
    written["experiment"]["decompose"] = {"method": "topk", "site": "mlp_out.1", "width": 512}
    reseal(copied / "experiment.json", **written)
    done = subprocess.run(
        [sys.executable, "-c", READS, str(copied)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    assert " explanations" in done.stdout


def test_a_run_is_read_with_its_steps_in_their_order(tmp_path):
    explain = [{"method": "rule", "name": name} for name in ("second", "first", "third")]
    run = plan_run(Experiment.of({"run": {"folder": str(tmp_path)}, "explain": explain}))
    write_resolved(run)
    assert list(read_run(tmp_path).keys) == list(run.keys)
    assert run.stages("explain") == ["explain.second", "explain.first", "explain.third"]


def test_a_stage_that_is_done_as_one_waits_for_every_shard_that_it_reads(copied):
    run = read_run(copied)
    job = Job(run, Step(Digest()))
    assert job.reads_done
    assert job.guard(0, 1).whole
    run.part("explain.rule", run.shards - 1).marker.unlink()
    assert not job.guard(0, 1).whole
    assert not Job(run, Step(Digest())).reads_done
    assert job_of(run, "score.execution").guard(0).whole  # of the first shard, which is there


def test_no_step_reads_itself_or_what_comes_after_it(copied):
    run = read_run(copied)
    object.__setattr__(run, "known", (*list(run.keys.items())[:3], ("greedy", "k"), ("late", "l")))
    run = type(run)(run.experiment, run.known)
    names = [step.name for step in Job(run, Step(Greedy())).read_steps]
    assert names == ["decompose", "collect", "directions"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("json:dumps", "must be a subclass of gloss.run.stage.Stage whose name is 'unfit'"),
        ("gloss.run.stage:Stage", "whose name is 'unfit'"),
        (f"{__name__}:Unfit", "is optional, so it needs `settings`"),
    ],
)
def test_an_entry_point_that_is_no_stage_is_refused_in_one_sentence(value, said):
    with pytest.raises(BadSettings, match=said):
        load_stage(EntryPoint("unfit", value, "gloss.stage"))


def test_a_dictionary_below_home_counts_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    found = set()
    for content in ("one", "two"):
        (tmp_path / "mine" / "cfg.json").write_text(content)
        asked = Experiment.of({"decompose": {"dictionary": "~/mine"}})
        found.add(plan_run(asked).keys["decompose"])
    assert len(found) == 2
