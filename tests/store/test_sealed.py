"""JSON that was sealed tells of any change; files are held against what was written."""

import contextlib
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.errors import Damaged
from gloss.store.parquet import (
    GroupWriter,
    footer_digests,
    open_parquet,
    read_table,
    require_footers,
)
from gloss.store.results import Part
from gloss.store.sealed_json import changed_files, read_sealed_json, record_files, seal_json

CONTENT = st.dictionaries(
    st.text(max_size=5),
    st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.none(),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(CONTENT, st.integers(0, 7), st.randoms(use_true_random=False))
def test_any_changed_bit_is_told_or_changes_nothing(tmp_path_factory, content, bit, random):
    content = {name: value for name, value in content.items() if name not in ("seal", "files")}
    path = tmp_path_factory.mktemp("sealed") / "a.json"
    whole = seal_json(content | {"files": {}})
    path.write_bytes(whole)
    assert read_sealed_json(path) == json.loads(json.dumps(content | {"files": {}}))
    place = random.randrange(len(whole))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
    with contextlib.suppress(Damaged):
        assert read_sealed_json(path) == json.loads(json.dumps(content | {"files": {}}))


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 10**5])
def test_what_is_no_json_object_is_damaged(tmp_path: Path, content: bytes):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(Damaged, match="a is damaged: it is no"):
        read_sealed_json(tmp_path / "a")


def test_json_of_a_time_before_seals_is_read(tmp_path: Path):
    (tmp_path / "a").write_text('{"rows": {}}')
    assert read_sealed_json(tmp_path / "a") == {"rows": {}}


def parquet(path: Path) -> None:
    with GroupWriter(path, pa.schema([("token", pa.int64())]), rows=100) as file:
        file.add(token=list(range(250)))


def test_every_bit_of_parquet_is_vouched_for_by_checksums_and_footer(tmp_path: Path, rng):
    path = tmp_path / "tokens.parquet"
    parquet(path)
    whole, expected = path.read_bytes(), footer_digests(tmp_path, [path.name])
    rows = read_table(path, path)
    for place in rng.integers(0, len(whole), 150).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            require_footers(tmp_path, expected)
            found = read_table(path, path)
            with open_parquet(path) as file:
                assert file.read_row_group(1).num_rows == 100
        except Damaged:
            continue
        # what is neither page nor footer and does not matter, as a page's statistics
        assert found == rows


@pytest.mark.parametrize("length", [0, 3, 100, 500])
def test_parquet_that_was_cut_off_is_damaged(tmp_path: Path, length: int):
    path = tmp_path / "tokens.parquet"
    parquet(path)
    expected = footer_digests(tmp_path, [path.name])
    path.write_bytes(path.read_bytes()[:length])
    for attempt in (
        lambda: require_footers(tmp_path, expected),
        lambda: read_table(path, path),
        lambda: open_parquet(path),
    ):
        with pytest.raises(Damaged):
            attempt()


FAILURE = {
    "dictionary": "d",
    "feature": 1,
    "stage": "explain.rule",
    "reason": "refused",
    "detail": "x",
    "explained_by": "",
}


def test_a_part_reads_its_rows_back_and_tells_what_became_of_them(tmp_path: Path):
    part = Part(tmp_path, 3)
    (tmp_path / "beside.npy").write_bytes(b"12345")
    part.write(
        {"failures": [FAILURE], "scores": []}, note={"asked": 5}, beside=[tmp_path / "beside.npy"]
    )
    assert part.rows("failures") == [FAILURE]
    assert part.rows("scores") == []
    assert part.note()["asked"] == 5
    assert part.changed_files(whole=True) == {}
    (tmp_path / "beside.npy").write_bytes(b"12346")
    assert part.changed_files(whole=False) == {}
    assert list(part.changed_files(whole=True)) == [tmp_path / "beside.npy"]
    part.file("failures").unlink()
    assert "missing" in part.changed_files(whole=False)[part.file("failures")]
    with pytest.raises(Damaged, match="missing"):
        part.rows("failures")


def test_files_of_folders_are_listed_with_size_and_content(tmp_path: Path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    files = record_files(tmp_path, [tmp_path / "corpus", tmp_path / "b"])
    assert {name: size for name, (size, _) in files.items()} == {"corpus/a": 3, "b": 3}
    (tmp_path / "b").write_text("three")
    assert changed_files(tmp_path, files, whole=False) == {
        tmp_path / "b": "it has 5 bytes and should have 3"
    }
