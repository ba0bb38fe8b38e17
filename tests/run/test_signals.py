"""A command that is told to stop says one sentence and leaves no process behind, whoever is told
and however it ends.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRIALS = int(os.environ.get("GLOSS_TRIALS", "2"))  # of each kind; a person may want more
SENTENCE = "gloss: stopped; the same command goes on from here\n"
WORK = """
import functools, signal, sys, time
import numpy
from pathlib import Path
import typer
from gloss import cli
from gloss.run.execute.executors import ProcessExecutor

def work(folder, shard):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    (folder / f"begun-{shard}").write_text(" ".join(sorted(each.name for each in blocked)))
    until = time.monotonic() + 300
    while time.monotonic() < until:
        numpy.ones((400, 400)) @ numpy.ones((400, 400))

app = typer.Typer()

@app.command()
def main(folder: Path) -> None:
    ProcessExecutor(2).run(functools.partial(work, folder), range(4), lambda shard: None)

if __name__ == "__main__":
    cli.app = app
    cli.main()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A command whose two workers are busy for minutes."""
    path = tmp_path / "script.py"
    path.write_text(WORK)
    return path


def start(script: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, script, script.parent],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_workers(folder: Path) -> None:
    until = time.monotonic() + 100
    while len(list(folder.glob("begun-*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)


def alive(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(status.parent.name))
    return found


def none_left(session: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while alive(session) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(session)


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_it_with_one_sentence_and_their_own_exit_code(script, number, code, group):
    process = start(script)
    wait_for_workers(script.parent)
    # what a terminal sends to all is for the command alone to hear
    blocked = {each.read_text() for each in script.parent.glob("begun-*")}
    assert blocked <= {"SIGHUP SIGINT", ""}, "a file that is not yet written says nothing"
    assert "SIGHUP SIGINT" in blocked
    (os.killpg if group else os.kill)(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert (err, process.returncode) == (SENTENCE, code)
    assert none_left(process.pid)


@pytest.mark.parametrize("trial", range(TRIALS))
def test_no_worker_outlives_a_killed_parent(script, rng, trial):
    process = start(script)
    if trial % 2:
        time.sleep(float(rng.uniform(0.1, 3.0)) * (1 + trial / TRIALS))
    else:
        wait_for_workers(script.parent)
    process.kill()
    process.communicate(timeout=60)
    assert none_left(process.pid)


BUSY = """
import sys, time
from gloss import cli
from gloss.stopping import stop_on_signals
import typer

app = typer.Typer()

@app.command()
def main() -> None:
    print("busy", flush=True)
    while True:
        try:
            time.sleep(100)
        except BaseException:  # as code does that swallows what it should not
            pass

cli.app = app
cli.main()
"""


@pytest.mark.parametrize("again", [False, True])
def test_it_ends_even_where_the_interrupt_is_swallowed_and_at_once_when_told_again(again):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "busy\n"
    process.send_signal(signal.SIGINT)
    if again:
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (err, process.returncode) == (SENTENCE, 130)


def test_it_ends_where_nobody_reads_what_it_says():
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=writing, text=True
    )
    assert process.stdout.readline() == "busy\n"
    os.close(reading)
    os.close(writing)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 129


def test_a_signal_that_a_shell_ignores_in_its_background_stays_ignored():
    code = (
        "import signal, sys; signal.signal(2, signal.SIG_IGN); from gloss.stopping import"
        " stop_on_signals; stop_on_signals(); "
    )
    code += "import os; os.kill(os.getpid(), 2); print('goes on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "goes on\n"
