"""Runs that live in an object store: a real server on loopback, wires that break, machines that
die, each with a cache of its own.
"""

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from object_store import BUCKET, breaking_wire, broken, serve_objects
from small import SMALL, contents, ran, start
from test_asking import ASKING

import gloss
from gloss.errors import Busy
from gloss.models.chat_models.ledger import Ledger
from gloss.run import control_runs
from gloss.run.control_runs import control_experiment, control_folder
from gloss.run.experiment import Experiment
from gloss.run.planning import plan_run
from gloss.run.remote_run import LEASE, Publisher
from gloss.store.mirror import Mirror
from gloss.store.remote import RemoteFolder, local_folder
from models.servers import serve

URL = f"s3://{BUCKET}/{{}}"
# what names the folder of the run
NAMING = {"experiment.json", "page/index.html", "page/.gloss-pages", ".mirror.json"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with serve_objects(tmp_path_factory.mktemp("objects")) as found:
        yield found


@pytest.fixture
def machine(store, tmp_path, monkeypatch):
    """Makes this the machine of that name, perhaps behind another wire; gives its cache."""

    def become(name, address=""):
        for variable, value in store.environment(tmp_path / name, address).items():
            monkeypatch.setenv(variable, value)
        return tmp_path / name

    return become


def results(folder: Path) -> dict[str, str]:
    return {
        name: content
        for name, content in contents(folder).items()
        if name not in NAMING and not name.startswith("log/")
    }


def listing(url):
    return RemoteFolder.open(url).listing()


def killed_when(folder, url, enough, seconds=120.0):
    """Run the experiment, and kill it, as a power cut would, once there is enough at the URL."""
    process, begun = start(folder, "run", "experiment.toml"), time.monotonic()
    while process.returncode is None and time.monotonic() - begun < seconds:
        if enough(there := listing(url)):
            process.kill()
            process.communicate(timeout=30)
            return there
        time.sleep(0.05)
    raise AssertionError(process.communicate(timeout=1))


def markers(there):
    return {name for name in there if name.endswith(".done")}


def test_a_run_dies_on_three_machines_behind_broken_wires_and_ends_with_the_same_bytes(
    small_run, store, machine, tmp_path
):
    url = URL.format("small")
    (tmp_path / "experiment.toml").write_text(SMALL.replace('"out"', f'"{url}"'))
    done, times = set(), {}
    for name, steps in (("first", "collect/"), ("second", "explain/"), ("third", "score/")):
        with breaking_wire(store.address, seed=len(name), share=0.7, most=40_000) as wire:
            machine(name, wire)
            there = killed_when(
                tmp_path, url, lambda there, s=steps: any(n.startswith(s) for n in markers(there))
            )
        assert done <= markers(there)
        # what was whole once is never made again
        assert all(there[marker] == times.get(marker, there[marker]) for marker in markers(there))
        done, times = markers(there), {marker: there[marker] for marker in markers(there)}
    cache = machine("fourth")
    code, _, err = ran(tmp_path, "run", "experiment.toml")
    assert code == 0, err
    assert f"all of it is at {url}" in " ".join(err.split())
    there = listing(url)
    assert all(there[marker] == times[marker] for marker in done)
    assert LEASE not in there
    assert broken
    folder = local_folder(url)
    assert folder.is_relative_to(cache)
    assert results(folder) == results(small_run / "out")

    machine("fifth")  # which has nothing
    sql = "SELECT text, s.* FROM explanations JOIN Scores AS s USING (feature) ORDER BY ALL"
    asked = sql, "--format", "csv"
    code, out, err = ran(tmp_path, "query", url, *asked)
    assert (code, err) == (0, "")
    assert out == ran(tmp_path, "query", str(small_run / "out"), *asked)[1]
    assert len(out.splitlines()) > 10
    assert not [*local_folder(url).rglob("scores/*.parquet")]  # it is read where it lies
    code, out, err = ran(tmp_path, "status", url, "--json")
    assert code == 0, err
    of_here = json.loads(ran(tmp_path, "status", str(small_run / "out"), "--json")[1])
    found = json.loads(out)
    assert found["run"] == url
    for one, other in zip(found["steps"], of_here["steps"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert found["failures"] == of_here["failures"]
    assert not [*local_folder(url).rglob("activations.parquet")]
    rows = gloss.open(url).scores.to_pylist()
    assert repr(rows) == repr(gloss.open(small_run / "out").scores.to_pylist())
    code, out, err = ran(tmp_path, "browse", url)
    assert code == 0, err
    code, out, err = ran(tmp_path, "verify", url)
    assert (code, out.strip()) == (0, "every file holds what was written"), err


def test_no_answer_that_is_at_the_url_is_paid_for_again(folder, store, machine):
    url = URL.format("asking")
    # twelve explanations and a few verdicts: the first machine cannot come to the end
    with serve(answer="reader", pauses_after=16) as server:
        asking = ASKING.format(url=server.base_url).replace(
            "[chat]", "[chat]\nmax_concurrent_requests = 4"
        )
        (folder / "experiment.toml").write_text(SMALL.replace('"out"', f'"{url}"') + asking)
        machine("first")
        shutil.copytree(folder / "out", local_folder(url))  # what asks nobody
        there = killed_when(
            folder, url, lambda there: any(n.startswith("explain/max_") for n in markers(there))
        )
        server.go_on()
        machine("second")
        mirror = Mirror.of(local_folder(url))
        mirror.look()
        Publisher(mirror).fetch(lambda _: False)
        with Ledger(local_folder(url) / "answers.sqlite") as ledger:
            paid, (requests, money) = len(ledger), ledger.spending()
        time.sleep(1)  # what was on its way when the first died is answered by then
        asked, tried = len(server.requests()), server.tries()
        assert 0 < paid <= requests <= asked + tried + 4  # on their way when it died
        assert money > 0
        shutil.rmtree(local_folder(url))
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        again = len(server.requests()) - asked
        assert again > 0
        assert server.tries() == tried  # what the model can do is known
        with Ledger(local_folder(url) / "answers.sqlite") as ledger:
            assert len(ledger) == paid + again
            # those that were on their way when the first died are known to nobody
            assert ledger.spending()[0] == requests + again
        code, out, _ = ran(folder, "status", url, "--json")
        assert json.loads(out)["requests"] == requests + again
    assert markers(there) <= markers(listing(url))


def test_what_cannot_be_reached_is_told_in_one_sentence(store, machine, tmp_path, monkeypatch):
    machine("first")
    for url, said in (
        (f"s3://{BUCKET}/nothing", r"holds no run \(experiment.json is missing\); give the URL"),
        ("s3://no-such-bucket/mine", "holds no run|cannot be listed: .*bucket does not exist"),
        (f"s3://{BUCKET}", "give a place for it alone"),
        ("sftp://host/mine", "paramiko"),
        ("nowhere://host/mine", "Protocol not known"),
    ):
        code, _, err = ran(tmp_path, "status", url)
        assert code == 2, err
        assert re.search(said, " ".join(err.split())), err
        assert len(err.strip().splitlines()) == 1
    (tmp_path / "experiment.toml").write_text(SMALL.replace('"out"', f'"s3://{BUCKET}/mine"'))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    code, _, err = ran(tmp_path, "run", "experiment.toml")
    assert code == 2
    assert "check the URL, and the credentials in the environment" in err
    (tmp_path / "experiment.toml").write_text(SMALL.replace('"out"', '"s3://mine"'))
    code, _, err = ran(tmp_path, "run", "experiment.toml")
    assert code == 2
    assert "give a place for it alone" in err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, _, err = ran(tmp_path, "status", f"s3://{BUCKET}/mine")
    assert code == 2
    assert "goes on from here once the store answers" in err


def test_a_control_has_the_same_keys_on_every_machine(tmp_path, monkeypatch):
    url, name = f"file://{tmp_path}/there", control_runs.RANDOM_DICTIONARY
    asked, seen = Experiment.of({"run": {"folder": url}}), set()
    monkeypatch.setattr(
        control_runs, "make_random_dictionary", lambda run: control_folder(run, name) / "dictionary"
    )
    for cache in ("first", "second"):
        monkeypatch.setenv("GLOSS_CACHE", str(tmp_path / cache))
        run = plan_run(asked)
        made = control_experiment(run, name)
        assert made.folder == control_folder(run, name)
        assert made.folder.is_relative_to(tmp_path / cache)
        seen.add((made.run.folder, made.decompose["dictionary"]))
    assert seen == {(f"{url}/controls/{name}", f"{url}/controls/{name}/dictionary")}


def test_a_second_writer_is_told_who_the_first_is_until_that_one_is_dead(tmp_path, monkeypatch):
    def publisher(cache):
        monkeypatch.setenv("GLOSS_CACHE", str(tmp_path / cache))
        return Publisher(Mirror.of(local_folder(f"file://{tmp_path}/there")))

    first, second = publisher("first"), publisher("second")
    first.take_lease(wait=False)
    with pytest.raises(Busy, match=rf"another gloss \(process {os.getpid()} on .*--wait does"):
        second.take_lease(wait=False)

    def held(**changes):
        told = json.loads(first.mirror.remote.read(LEASE)) | changes
        first.mirror.put_bytes(LEASE, json.dumps(told).encode())

    held(host="elsewhere")
    with pytest.raises(Busy, match="on elsewhere"):
        second.take_lease(wait=False)
    held(time=time.time() - 120)  # it has not been heard of for long
    second.take_lease(wait=False)
    first.beat = 0.0
    with pytest.raises(Busy, match="has taken over"):  # it had slept
        first.keep_lease()
    held(host="elsewhere", time=time.time(), token="x")
    with pytest.raises(Busy):
        second.require_lease()
    process = start(tmp_path, "--version")
    process.communicate(timeout=60)
    dead = process.process.pid
    second.put_lease()
    told = json.loads(second.mirror.remote.read(LEASE)) | {"process": dead, "token": "y"}
    second.mirror.put_bytes(LEASE, json.dumps(told).encode())
    second.take_lease(wait=False)  # who died here is known to be dead at once
