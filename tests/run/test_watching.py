"""A run is watched while it works, by people and by machines."""

import json
import os
import socket
import time

import pytest
from small import SMALL, ran, start

from gloss.errors import Stopped
from gloss.models.chat_models.ledger import Ledger
from gloss.run import progress
from gloss.run.chat_capabilities import ledger_path
from gloss.run.commands import status
from gloss.run.commands.status import StepStatus, run_status, watch_run_status, with_pace
from gloss.run.execute import status_file
from gloss.run.execute.status_file import STATUS, ToldStatus, tell_step, telling_status
from gloss.run.planning import read_run


def wait_for(path, seconds=100.0):
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_run_is_watched_from_another_process_until_it_ends(tmp_path):
    (tmp_path / "experiment.toml").write_text(SMALL)
    process = start(tmp_path, "run", "experiment.toml")
    wait_for(tmp_path / "out" / STATUS)
    code, out, err = ran(tmp_path, "status", "out", "--watch", "--json")
    process.communicate(timeout=200)
    assert code == 0, err
    looks = [json.loads(line) for line in out.splitlines()]
    assert looks[0]["told"]["state"] == "working"
    assert looks[0]["told"]["process"] == process.process.pid
    assert looks[-1]["told"]["state"] == "done"
    steps = {step["step"]: step for step in looks[-1]["steps"]}
    assert steps["explain.rule"]["shards_done"] == steps["explain.rule"]["shards"] == 4
    assert steps["explain.rule"]["done"] == steps["explain.rule"]["total"] == 12
    assert steps["explain.rule"]["rows"]["explanations"] > 0
    assert all(step["seconds"] is not None for step in steps.values())
    told = [look["told"].get("step") for look in looks]
    assert told == sorted(told, key=[*steps, "browse"].index)  # in the order of the run
    assert len(set(told)) > 1


def test_a_killed_process_is_seen_to_have_gone(folder):
    content = {"state": "working", "step": "explain.rule", "process": 2**22 + 1}
    (folder / "out" / STATUS).write_text(json.dumps(content | {"host": socket.gethostname()}))
    code, out, _ = ran(folder, "status", "out", "--watch")
    assert code == 0
    assert "went away at explain.rule; the same command goes on from there" in out


def test_what_another_machine_says_counts_as_long_as_it_is_fresh(tmp_path):
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    content = {"state": "working", "process": 1, "host": "elsewhere", "updated": now}
    (tmp_path / STATUS).write_text(json.dumps(content))
    assert ToldStatus.read(tmp_path).works
    content["updated"] = "2020-01-01T00:00:00+00:00"
    (tmp_path / STATUS).write_text(json.dumps(content))
    assert not ToldStatus.read(tmp_path).works
    (tmp_path / STATUS).write_text("[")
    assert ToldStatus.read(tmp_path).line() == ""


def test_the_file_says_the_step_the_pace_and_how_it_ended(folder, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_WATCHED", 0.05)
    place, seen = folder / "out", []
    with telling_status(place):
        tell_step("explain.rule")
        seen.append(ToldStatus.read(place).content)
        with (
            telling_status(place),  # as a command does inside another
            progress.progress_bar("explain.rule", "features") as report,
        ):
            report(0, 12)
            time.sleep(0.3)
            report(6, 12)
            time.sleep(0.3)
            seen.append(ToldStatus.read(place).content)
        assert ToldStatus.read(place).works
    before, within = seen
    assert (before["step"], before["state"]) == ("explain.rule", "working")
    assert (within["done"], within["total"], within["unit"]) == (6, 12, "features")
    assert within["rate"] > 0
    assert within["seconds_left"] == pytest.approx(6 / within["rate"], rel=0.2)
    assert (within["process"], within["host"]) == (os.getpid(), socket.gethostname())
    assert ToldStatus.read(place).content["state"] == "done"
    with pytest.raises(Stopped), telling_status(place):
        raise Stopped("the disk went away")
    assert ToldStatus.read(place).line() == "stopped: the disk went away"


def test_the_file_is_written_again_while_a_step_says_nothing(folder, monkeypatch):
    """Else another machine would take who waits long for one answer for dead."""
    monkeypatch.setattr(status_file, "BEAT_SECONDS", 0.05)
    place = folder / "out"
    with telling_status(place):
        tell_step("judge")
        (place / STATUS).unlink()
        wait_for(place / STATUS, 20)
        assert ToldStatus.read(place).content["step"] == "judge"
    time.sleep(0.2)
    assert ToldStatus.read(place).content["state"] == "done"  # and nobody writes any more


def test_a_folder_without_a_run_gets_no_file(tmp_path):
    with telling_status(tmp_path):
        tell_step("sample")
    assert list(tmp_path.iterdir()) == []


def test_money_and_requests_come_from_the_ledger(folder):
    run = read_run(folder / "out")
    assert run_status(run).requests is None
    with Ledger(ledger_path(run.folder)) as ledger:
        ledger.request()
        ledger.request()
        ledger.spend(0.25)
    found = run_status(run)
    assert (found.requests, found.money) == (2, 0.25)
    assert "2 requests, 0.2500 spent" in ran(folder, "status", "out")[1]


def test_a_step_whose_process_says_nothing_has_the_rate_that_was_seen():
    first = {"score.execution": (time.monotonic() - 10, 20)}
    at = StepStatus("score.execution", "score", 10, 4, "features", 100, 40, {}, "")
    seen = with_pace(at, ToldStatus({}), first)
    assert seen.rate == pytest.approx(2, rel=0.05)
    assert seen.seconds_left == pytest.approx(30, rel=0.05)
    assert seen.pace.startswith("40 of 100 features · 2/s · left 0:")
    assert with_pace(at, ToldStatus({}), {}).rate is None  # the first look
    # nobody works at it any more: the process is at another step, or gone
    for told in ({"state": "working", "step": "collisions"}, {"state": "stopped"}):
        assert with_pace(at, ToldStatus(told), first).rate is None


def test_on_a_terminal_the_table_is_drawn_in_place(folder, monkeypatch, capsys):
    monkeypatch.setattr(status.out, "_force_terminal", True)
    watch_run_status(folder / "out")
    shown = capsys.readouterr().out
    assert "explain.rule" in shown
    assert "4 of 4" in shown
