"""Shards on a real Ray cluster of two nodes: the same bytes, whatever is killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small import SMALL, contents, ran

from benchmarks.reliability.kill_workers import Told, kill_workers
from gloss.errors import BadSettings
from gloss.run.execute.ray_executor import RayExecutor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


def start_node(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A node of one core, with its processes in a group of their own."""
    common = ("--num-cpus=1", "--disable-usage-stats", "--block")
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *common, *arguments],
            stdout=said,
            stderr=said,
            start_new_session=True,
            env=os.environ | {"RAY_AUTH_MODE": "disabled"},  # else each node wants a token
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a cluster of two nodes, and the second of them."""
    pytest.importorskip("ray", reason="Ray is not installed; pip install 'gloss-lm[ray]'")
    folder = Path(tempfile.mkdtemp(prefix="gloss-ray-"))  # names of sockets are short
    port = 20_000 + os.getpid() % 10_000
    address = f"127.0.0.1:{port}"
    head = ("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")
    nodes = [start_node(folder, *head)]
    try:
        wait_for_text(folder / "said.txt", "Ray runtime started")
        nodes.append(start_node(folder, f"--address={address}"))
        wait_for_text(folder / "said.txt", "Ray runtime started", times=2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_AUTH_MODE", "disabled")
            yield address, nodes[1]
    finally:
        for node in nodes:
            end_session(node)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_text(file: Path, text: str, times: int = 1) -> None:
    until = time.monotonic() + 120
    while file.read_text().count(text) < times:
        assert time.monotonic() < until, file.read_text()[-2000:]
        time.sleep(0.2)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End all processes of a session, which Ray spreads over several groups."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[3]) == process.pid:
                os.kill(int(stat.parent.name), signal.SIGKILL)
        except OSError:
            continue
    process.wait()


@pytest.mark.timeout(600)
def test_a_cluster_makes_the_same_bytes_also_where_an_actor_is_killed(
    cluster, small_run, tmp_path, rng
):
    address, _ = cluster
    executor = f'executor = {{method = "ray", address = "{address}"}}'
    experiment, told = SMALL.replace("processes = 1", executor), Told("ray")
    kill_workers(tmp_path, experiment, small_run / "out", told, 1, rng)
    assert told.same, told.different
    assert (told.kills, told.again) == (1, 0)


INTERVENE = "\n[intervene]\nprompts = 2\ntrain_prompts = 2\ncompletions = 1\nnew_tokens = 2\n"


@pytest.mark.timeout(600)
def test_stages_that_hold_weights_are_spread_too(cluster, small_run, tmp_path):
    address, _ = cluster
    made = {}
    for name, executor in (
        ("serial", 'executor = "serial"'),
        ("ray", f'executor = {{method = "ray", address = "{address}"}}'),
    ):
        place = tmp_path / name
        shutil.copytree(small_run / "out", place / "out")
        shutil.rmtree(place / "out" / "collect")
        text = SMALL.replace("processes = 1", executor) + INTERVENE
        (place / "experiment.toml").write_text(text)
        code, out, err = ran(place, "intervene", "experiment.toml")
        assert code == 0, err + out
        made[name] = contents(place / "out" / "intervene")
        assert contents(place / "out" / "collect") == contents(small_run / "out" / "collect")
    assert made["serial"] == made["ray"]
    assert len(made["ray"]) > 4


SLOW = """
import time

class Work:
    def __init__(self, folder):
        self.folder = folder
    def __call__(self, shard):
        (self.folder / f"begun-{shard}").touch()
        time.sleep(3)
        (self.folder / f"done-{shard}").touch()
"""
LOSING = """
import sys
from pathlib import Path
from gloss.run.execute.ray_executor import RayExecutor
from slow import Work

told = []
RayExecutor(sys.argv[1]).run(Work(Path(sys.argv[2])), range(6), told.append)
print(sorted(told))
"""


@pytest.mark.timeout(600)
def test_a_node_that_is_lost_costs_its_shards_another_try(cluster, tmp_path):
    address, node = cluster
    (tmp_path / "losing.py").write_text(LOSING)
    (tmp_path / "slow.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "losing.py"), address, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 200
    while len(list(tmp_path.glob("begun-*"))) < 2:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    end_session(node)
    out, err = process.communicate(timeout=300)
    assert out.endswith("[0, 1, 2, 3, 4, 5]\n"), err  # Ray tells of the node before
    assert "an actor of Ray's was lost" in err
    assert len(list(tmp_path.glob("done-*"))) == 6


def test_without_ray_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadSettings, match=r"wants the package ray; pip install 'gloss-lm\[ray\]'"):
        RayExecutor().run(print, [0], print)


def test_a_cluster_that_is_not_there_is_told(small_run, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed; pip install 'gloss-lm[ray]'")
    shutil.copytree(small_run / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "score")
    executor = 'executor = {method = "ray", address = "127.0.0.1:9"}'
    (tmp_path / "experiment.toml").write_text(SMALL.replace("processes = 1", executor))
    code, _, err = ran(tmp_path, "score", "experiment.toml")
    assert code == 2
    [sentence] = [line for line in err.splitlines() if line.startswith("gloss: ")]
    assert "no Ray cluster at 127.0.0.1:9" in sentence
    assert "Traceback" not in err
