"""A run that is killed at any moment and started again ends with the very bytes of an undisturbed
run.
"""

import os
import resource
import signal
import sys
import time
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
from tiny import sentences, tiny_dictionary, tiny_subject

from forking import forking
from gloss.collect.collect import Collect
from gloss.collect.mined_part import Mining
from gloss.collect.texts import NamedTexts
from gloss.errors import Unwritable

MOMENTS = 10
FOREVER = 10**9
FILE_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def collect(folder: Path, dies_at: int, begun: Event, mined: Mining | None) -> None:
    """Collect in a process of its own, which kills itself at its so-many-th touch of a file in the
    folder.
    """
    subject, dictionary = tiny_subject(), tiny_dictionary()
    touched = 0

    def touch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal touched
        if event in FILE_EVENTS and str(folder) in str(arguments[0]):
            touched += 1
            if touched == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(touch)
    begun.set()
    Collect(context_length=32, batch_tokens=256, shard_tokens=500, mined=mined).run(
        subject, dictionary, NamedTexts(tuple(sentences(60))), folder
    )


def start(folder: Path, dies_at: int = FOREVER, mined: Mining | None = None) -> ForkServerProcess:
    """Begin to collect; gives back when the work begins."""
    context = forking()
    begun = context.Event()
    process = context.Process(target=collect, args=(folder, dies_at, begun, mined))
    process.start()
    assert begun.wait(120)
    return process


def finished(process: ForkServerProcess) -> int | None:
    process.join(120)
    return process.exitcode


def files(folder: Path) -> dict[str, bytes]:
    """Every file under the folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "collected"
    assert finished(start(folder)) == 0
    found = files(folder)
    assert {Path(name).parts[0] for name in found} == {".lock", "corpus", "activations"}
    return found


@pytest.mark.timeout(600)
def test_ten_kills_at_random_moments_leave_no_trace(
    undisturbed: dict[str, bytes], tmp_path: Path, rng: np.random.Generator
) -> None:
    process = start(tmp_path / "measured")
    begun = time.monotonic()
    assert finished(process) == 0
    duration = time.monotonic() - begun
    for moment in range(MOMENTS):
        folder = tmp_path / str(moment)
        process = start(folder)
        time.sleep(rng.uniform(0, duration))
        process.kill()
        assert finished(process) in (-signal.SIGKILL, 0)
        assert finished(start(folder)) == 0
        assert files(folder) == undisturbed


@pytest.mark.timeout(600)
def test_kills_between_any_two_touches_of_the_disk_leave_no_trace(
    undisturbed: dict[str, bytes], tmp_path: Path, rng: np.random.Generator
) -> None:
    deaths = 0
    folder = tmp_path / "collected"
    for dies_at in rng.integers(1, 40, MOMENTS).tolist():  # one folder, killed again and again
        deaths += finished(start(folder, dies_at)) == -signal.SIGKILL
    assert deaths >= 5
    assert finished(start(folder)) == 0
    assert files(folder) == undisturbed


def collect_with_little_room(folder: Path, room: int) -> None:
    """Collect while no file may grow beyond so many bytes, as on a full disk, and leave what was
    said.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    texts = NamedTexts(tuple(sentences(60)))
    try:
        Collect(context_length=32, batch_tokens=256, shard_tokens=500).run(
            tiny_subject(), tiny_dictionary(), texts, folder
        )
    except Unwritable as error:
        folder.with_suffix(".said").write_text(str(error)[:room])


@pytest.mark.parametrize("room", [200, 1500, 6000, 9000])
def test_a_full_disk_is_told_in_one_sentence_and_the_run_goes_on_when_there_is_room(
    undisturbed: dict[str, bytes], tmp_path: Path, room: int
) -> None:
    folder = tmp_path / "collected"
    process = forking().Process(target=collect_with_little_room, args=(folder, room))
    process.start()
    assert finished(process) == 0
    assert (tmp_path / "collected.said").read_text().startswith(f"cannot write {folder}")
    left = files(folder)
    assert not [name for name in left if ".partial" in name]
    assert not any(name.startswith("activations") for name in left)
    assert finished(start(folder)) == 0
    assert files(folder) == undisturbed
