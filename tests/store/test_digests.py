"""Hashes of whole files are remembered for the very same file alone."""

import os
import threading
import time
from pathlib import Path

import pytest

from gloss.errors import BadInput
from gloss.store import digests
from gloss.store.digests import cached_file_digest, file_digest

BIG = digests.REMEMBERED + 4096


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gloss" / "digests"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once, as if each had been written a while ago."""
    monkeypatch.setattr(digests, "SETTLED", -(10**18))


def entries(memory: Path) -> list[Path]:
    return sorted(memory.iterdir()) if memory.exists() else []


def test_a_file_that_was_not_touched_is_not_read_again(tmp_path, memory, settled, monkeypatch):
    file = tmp_path / "weights"
    file.write_bytes(bytes(BIG))
    first = cached_file_digest(file)
    assert first == file_digest(file)
    monkeypatch.setattr(digests, "file_digest", lambda path: pytest.fail("read again"))
    assert cached_file_digest(file) == first


@pytest.mark.parametrize("place", [0, BIG // 2, BIG - 1])
def test_one_changed_byte_anywhere_is_seen_even_with_the_old_time_of_change(
    tmp_path, settled, place
):
    file = tmp_path / "weights"
    file.write_bytes(bytes(BIG))
    first, before = cached_file_digest(file), file.stat()
    with file.open("r+b") as stream:
        stream.seek(place)
        stream.write(b"\1")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert cached_file_digest(file) == file_digest(file) != first


def test_a_file_that_has_just_been_changed_is_not_kept(tmp_path, memory):
    file = tmp_path / "weights"
    for content in (b"\1", b"\2", b"\3"):
        file.write_bytes(content * BIG)
        assert cached_file_digest(file) == file_digest(file)
    assert entries(memory) == []
    old = time.time_ns() - 10**12
    # an old time of its content does not help: the time of the last change of anything is new
    os.utime(file, ns=(old, old))
    cached_file_digest(file)
    assert entries(memory) == []


@pytest.mark.parametrize("harm", [b"", b"{", b"[]", b"\xff\xfe", None])
def test_a_damaged_memory_is_harmless(tmp_path, memory, settled, harm):
    file = tmp_path / "weights"
    file.write_bytes(bytes(BIG))
    right = cached_file_digest(file)
    (entry,) = entries(memory)
    whole = entry.read_bytes()
    if harm is None:
        for place in range(0, len(whole), 3):
            entry.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert cached_file_digest(file) == right
    entry.write_bytes(harm or b"")
    assert cached_file_digest(file) == right
    assert entry.read_bytes() == whole


def test_without_a_place_for_the_memory_files_are_read(tmp_path, settled, monkeypatch):
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "blocked"))
    file = tmp_path / "weights"
    file.write_bytes(bytes(BIG))
    assert cached_file_digest(file) == file_digest(file)


def test_many_may_remember_at_once(tmp_path, memory, settled):
    file = tmp_path / "weights"
    file.write_bytes(bytes(BIG))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(cached_file_digest(file))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {file_digest(file)}
    assert len(entries(memory)) == 1


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="cannot be read: no such file"):
        cached_file_digest(tmp_path / "nothing")
