"""A folder of this machine and one of a store are kept alike, whoever dies in between."""

from contextlib import suppress

import pytest

from gloss.errors import BadInput, Unreachable
from gloss.records import Explanation, FeatureId
from gloss.store import remote
from gloss.store.compaction import compact_parts
from gloss.store.mirror import MARKER, Mirror, local_names
from gloss.store.record_rows import explanation_row
from gloss.store.remote import RemoteFolder, is_url, local_folder, shown_name, url_of
from gloss.store.results import Part, done_groups, done_shards, read_rows

STEP = "explain/rule-0a"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Gives the mirror of one URL on a machine of this name."""

    def on(name):
        monkeypatch.setenv("GLOSS_CACHE", str(tmp_path / name))
        mirror = Mirror.of(local_folder(f"file://{tmp_path}/there"))
        mirror.look()
        return mirror

    return on


def write(folder, shard, word="word"):
    rows = [explanation_row(Explanation(FeatureId("d", shard), f"{word} {shard}", "rule"))]
    Part(folder, shard).write({"explanations": rows, "failures": []})


def publish(mirror):
    names = list(local_names(mirror.folder))
    mirror.publish([name for name in names if name.endswith(MARKER)], [])


def everything(_):
    return True


def nothing(_):
    return False


def words(mirror):
    return [row["text"] for row in read_rows([mirror.folder / STEP], "explanations")]


def test_a_url_has_a_folder_here_and_the_folder_has_the_url(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOSS_CACHE", str(tmp_path))
    for url in ("s3://b/a/c d", "gs://b/ü%2F", "file:///x/y", "hf://datasets/me/run/one"):
        assert is_url(url)
        folder = local_folder(url)
        assert folder.is_relative_to(tmp_path / "runs")
        assert (url_of(folder), shown_name(folder)) == (url, url)
        assert url_of(folder / "explain" / "x") == f"{url}/explain/x"
    here = local_folder("s3://b/mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert local_folder("s3://b/mine") != here  # another store
    assert url_of(local_folder("s3://b/mine")) == "s3://b/mine"
    assert local_folder("runs/mine").as_posix() == shown_name(local_folder("runs/mine"))
    assert url_of(tmp_path) is None


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3:///a/b", "s3://b/../c"])
def test_a_url_must_be_a_place_for_a_run_alone(url):
    with pytest.raises(BadInput, match="alone"):
        local_folder(url)


def test_a_store_of_which_nobody_knows_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOSS_CACHE", str(tmp_path))
    for url, said in (("nowhere://a/b", "Protocol not known"), ("sftp://host/b", "paramiko")):
        with pytest.raises(BadInput, match=said):
            Mirror.of(local_folder(url))


def test_what_one_machine_wrote_another_has(machine):
    first = machine("first")
    for shard in range(3):
        write(first.folder / STEP, shard)
    publish(first)
    second = machine("second")
    second.fetch(everything, nothing)
    assert words(second) == ["word 0", "word 1", "word 2"]
    write(second.folder / STEP, 3)
    publish(second)
    again = machine("first")
    again.fetch(everything, nothing)
    assert words(again) == ["word 0", "word 1", "word 2", "word 3"]
    assert all(map(again.same, again.there))


def test_what_another_machine_has_replaced_is_not_put_back(machine):
    first = machine("first")
    first.folder.mkdir(parents=True)
    (first.folder / "experiment.json").write_text("old")
    first.publish([], ["experiment.json"])
    second = machine("second")
    second.fetch(nothing, everything)
    (second.folder / "experiment.json").write_text("newer")
    second.publish([], ["experiment.json"])
    again = machine("first")
    again.publish([], ["experiment.json"])  # untouched here since it was the same
    assert again.remote.read("experiment.json") == b"newer"
    (again.folder / "experiment.json").write_text("the newest")
    again.publish([], ["experiment.json"])
    assert again.remote.read("experiment.json") == b"the newest"


def test_nothing_is_carried_twice(machine, monkeypatch):
    first = machine("first")
    write(first.folder / STEP, 0)
    publish(first)
    first.fetch(everything, nothing)

    def never(*_):
        raise AssertionError

    for name in ("put", "read", "fetch"):
        monkeypatch.setattr(RemoteFolder, name, never)
    again = machine("first")
    publish(again)
    again.fetch(everything, nothing)
    assert words(again) == ["word 0"]


def test_a_marker_never_stands_there_without_its_files(machine, monkeypatch, rng):
    """However many requests a writer lives for."""
    put, remove = RemoteFolder.put, RemoteFolder.remove
    left = [0]

    def dying(work):
        def work_or_die(self, *given):
            left[0] -= 1
            if left[0] < 0:
                raise Unreachable("dead")
            return work(self, *given)

        return work_or_die

    first = machine("first")
    monkeypatch.setattr(RemoteFolder, "put", dying(put))
    monkeypatch.setattr(RemoteFolder, "remove", dying(remove))
    deaths = 0
    for word in ("old", "new"):  # what another machine made anew replaces what was there
        for shard in range(4):
            write(first.folder / STEP, shard, word)
        for lives in range(40):
            left[0] = lives
            first = machine("first")
            with suppress(Unreachable):
                publish(first)
                break
            deaths += 1
            second = machine("second")
            second.fetch(everything, nothing)
            for shard in done_shards(second.folder / STEP):
                assert not Part(second.folder / STEP, shard).changed_files(whole=True)
        left[0] = 1000
        publish(machine("first"))
        second = machine("second")
        second.fetch(everything, nothing)
        assert words(second) == [f"{word} {shard}" for shard in range(4)]
    assert deaths > 4


def test_what_no_marker_speaks_of_stays_there(machine):
    first = machine("first")
    write(first.folder / STEP, 0)
    publish(first)
    first.withdraw(f"{STEP}/part-00000.done")
    second = machine("second")
    second.fetch(everything, nothing)
    assert list(local_names(second.folder)) == []


def test_a_group_takes_the_place_of_its_parts_there_too(machine):
    first = machine("first")
    for shard in range(40):
        write(first.folder / STEP, shard)
    publish(first)
    before = machine("before")  # which has the parts, and meets the group later
    before.fetch(everything, nothing)
    first = machine("first")
    compact_parts(first.folder / STEP, 40)
    publish(first)
    expected = [f"word {shard}" for shard in range(40)]
    assert sorted(first.there) == [
        f"{STEP}/explanations/group-00000.parquet",
        f"{STEP}/group-00000.done",
    ]
    for name in ("after", "before"):
        mirror = machine(name)
        mirror.fetch(everything, nothing)
        assert words(mirror) == expected
        assert len(done_groups(mirror.folder / STEP)) == 1
        publish(mirror)  # nothing of what it still has of its own
        assert len(machine(name).there) == 2


def test_only_what_is_wanted_comes(machine):
    first = machine("first")
    write(first.folder / STEP, 0)
    write(first.folder / "score/x-1", 0)
    publish(first)
    second = machine("second")
    second.fetch(lambda name: name.startswith("score/"), nothing)
    found = sorted(name for name in local_names(second.folder) if name.endswith(".parquet"))
    assert found == ["score/x-1/explanations/part-00000.parquet"]
    assert done_shards(second.folder / STEP) == {0}  # which is known
    publish(second)  # has nothing to give of it, and takes nothing away
    third = machine("third")
    third.fetch(everything, nothing)
    assert words(third) == ["word 0"]


def test_a_store_that_fails_is_asked_again_and_one_that_refuses_is_not(machine, monkeypatch):
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0, 0.0))
    folder = machine("first").remote
    asked = []

    def fails(times, said):
        def ask():
            asked.append(1)
            if len(asked) <= times:
                raise OSError(said)
            return "whole"

        return ask

    assert folder.patiently("read", fails(3, "NETWORK_CONNECTION")) == "whole"
    asked.clear()
    with pytest.raises(Unreachable, match="goes on from here"):
        folder.patiently("read", fails(9, "NETWORK_CONNECTION"))
    asked.clear()
    with pytest.raises(BadInput, match="credentials"):
        folder.patiently("read", fails(9, "AWS Error ACCESS_DENIED during HeadObject"))
    assert len(asked) == 1
