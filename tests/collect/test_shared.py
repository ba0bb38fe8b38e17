"""Stretches that several processes read together, one of which is killed, make the bytes of one."""

import os
import signal
import sys
from pathlib import Path

import pytest
from test_killed import files
from tiny import sentences, tiny_dictionary, tiny_subject

from forking import forking
from gloss.collect.collect import Collect, Collecting
from gloss.collect.mined_part import Mining
from gloss.collect.texts import NamedTexts
from gloss.errors import Mismatch
from gloss.models.dictionary import SparseCoder
from gloss.models.subject import Subject
from gloss.store.corpus import StretchReader, corpus_stretches, stretch_sizes
from gloss.store.lock import LOCK, sole_writer

TEXTS = NamedTexts(tuple(sentences(60)))
KINDS = {
    name: Collect(context_length=32, batch_tokens=256, shard_tokens=150, mined=mined)
    for name, mined in (("full", None), ("mined", Mining(kept=2, strongest=2, background=8)))
}
NEVER = 10**9


def read_share(folder: Path, kind: str, rank: int, world: int, last: int) -> None:
    """One process of several: it reads its share, and kills itself after so many files."""
    begun = Collecting.of(KINDS[kind], tiny_subject(), tiny_dictionary(), folder)
    left = begun.left(range(len(begun.sizes))[rank::world])
    (folder.parent / f"read-{rank}").open("a").write(f"{len(left)}\n")
    written = 0

    def touch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal written
        if event == "os.rename" and str(folder) in str(arguments[0]):
            written += 1
            if written > last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(touch)
    begun.make_here(left)


def start(*arguments: object):
    process = forking().Process(target=read_share, args=arguments)
    process.start()
    return process


def results(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if LOCK not in name}


@pytest.fixture(scope="module", params=list(KINDS))
def by_one(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("one") / "collected"
    KINDS[request.param].run(tiny_subject(), tiny_dictionary(), TEXTS, folder)
    return request.param, results(folder)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("world", [1, 2, 3])
def test_shares_that_are_read_elsewhere_make_the_bytes_of_one_process(
    by_one: tuple[str, dict[str, bytes]],
    world: int,
    folder: Path,
    subject: Subject,
    dictionary: SparseCoder,
) -> None:
    kind, wanted = by_one
    begun = KINDS[kind].begin(subject, dictionary, TEXTS, folder)
    assert len(begun.sizes) > 20
    # the last of them is killed on its way, and started again
    processes = [start(folder, kind, rank, world, NEVER) for rank in range(world - 1)]
    killed = start(folder, kind, world - 1, world, 4)
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL
    with pytest.raises(Exception, match="went away while gloss worked"):
        begun.finish()
    processes.append(start(folder, kind, world - 1, world, NEVER))
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    first, second = map(int, (folder.parent / f"read-{world - 1}").read_text().split())
    assert first - second >= 3  # what was there was not read again
    begun.finish()
    with sole_writer(folder):  # which clears away what the killed one left
        pass
    assert results(folder) == wanted


def test_what_somebody_says_and_nobody_finds_is_read_by_who_leads(
    by_one: tuple[str, dict[str, bytes]], folder: Path, subject: Subject, dictionary: SparseCoder
) -> None:
    kind, wanted = by_one
    begun = KINDS[kind].begin(subject, dictionary, TEXTS, folder)
    begun.make_here([5, 2, 9, 3, 11])
    assert begun.made_tokens == sum(begun.sizes[number] for number in (2, 3, 5, 9, 11))
    file = begun.shards.path(11)  # which is there, and will not hold what was written
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    heard: list[int] = []
    begun.make_missing(lambda done, total: heard.append(done))
    assert heard[0] == sum(begun.sizes[number] for number in (2, 3, 5, 9))
    assert heard == sorted(heard)
    assert heard[-1] == begun.made_tokens == sum(begun.sizes)
    begun.finish()
    assert results(folder) == wanted


def test_a_process_with_other_weights_may_not_help(
    folder: Path, subject: Subject, dictionary: SparseCoder
) -> None:
    asked = KINDS["full"]
    asked.begin(subject, dictionary, TEXTS, folder)
    other = Collecting.of(asked, subject, tiny_dictionary(seed=2), folder)
    with pytest.raises(Mismatch, match="was made with another dictionary"):
        other.make(0)


def test_any_stretch_is_found_by_its_number(folder: Path, subject: Subject) -> None:
    KINDS["full"].run(subject, tiny_dictionary(), TEXTS, folder)
    every = list(corpus_stretches(folder / "corpus", 150))
    assert stretch_sizes(folder / "corpus", 150) == [len(each.tokens) for each in every]
    reader = StretchReader(folder / "corpus", 150)
    for number in (3, 4, 9, 0, 9):
        found = reader.read(number)
        assert (found.number, found.first) == (number, every[number].first)
        assert (found.tokens == every[number].tokens).all()
    with pytest.raises(IndexError, match="no stretch"):
        reader.read(len(every))
