"""Texts as they lie on disks: every kind of file of rows, packed or not, and the sentence for what
is no text.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gloss.collect.column_values import Dialogue, TokenNumbers
from gloss.collect.texts import join_pieces, open_texts
from gloss.errors import BadInput

TEXTS = ["un\r\n\r\ndeux", 'she said "no, thanks"', "日本語 😀", "tab\there"]
ROWS = [
    {"id": number, "text": text, "meta": {"body": text.upper(), "lang": "xx"}}
    for number, text in enumerate(TEXTS)
]


def read(*arguments: Any) -> list[str]:
    return [join_pieces(document.pieces) for document in open_texts(*arguments)]


def separated_values(delimiter: str) -> bytes:
    file = io.StringIO(newline="")
    written = csv.writer(file, delimiter=delimiter)
    written.writerows([["id", "text"], *([row["id"], row["text"]] for row in ROWS)])
    return file.getvalue().encode()


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file, row_group_size=2)
    return file.getvalue()


def arrow(kind: Callable[..., Any]) -> bytes:
    file, table = pa.BufferOutputStream(), pa.Table.from_pylist(ROWS)
    with kind(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue().to_pybytes()


def frames(content: bytes) -> bytes:
    """As the program zstd packs a stream."""
    file = pa.BufferOutputStream()
    with pa.CompressedOutputStream(file, "zstd") as stream:
        stream.write(content)
    return file.getvalue().to_pybytes()


def archive(content: bytes) -> bytes:
    """A tar archive of one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        entry = tarfile.TarInfo("a.jsonl")
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))
    return file.getvalue()


# A frame of zstd whose header asks for a window of 2 GiB, and one that readers skip, as pzstd
# begins.
LONG_WINDOW = b"\x28\xb5\x2f\xfd\x00\xa8\x09\x00\x00a"
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
LINES = "\n".join(json.dumps(row) for row in ROWS).encode()
KINDS = {
    "a.jsonl": LINES,
    "lines.json": LINES,
    "a.ndjson": LINES + b"\r\n\n",
    "list.json": json.dumps(ROWS, indent=1).encode(),
    "list.jsonl": json.dumps(ROWS).encode(),
    "columns.json": json.dumps({"id": [0, 1, 2, 3], "text": TEXTS}, indent=2).encode(),
    "one_line_of_columns.json": json.dumps({"text": TEXTS}).encode(),
    "by_row.json": (
        json.dumps({"text": {str(number): text for number, text in enumerate(TEXTS)}}).encode()
    ),
    "pretty.json": "\n".join(json.dumps(row, indent=2) for row in ROWS).encode(),
    "marked.jsonl": b"\xef\xbb\xbf" + LINES,
    "marked.json": b"\xef\xbb\xbf" + json.dumps(ROWS).encode(),
    "a.csv": separated_values(","),
    "semicolons.csv": separated_values(";"),
    "marked.csv": b"\xef\xbb\xbf" + separated_values(","),
    "a.tsv": separated_values("\t"),
    "a.parquet": parquet(),
    "file.arrow": arrow(pa.ipc.new_file),
    "stream.arrow": arrow(pa.ipc.new_stream),
}
PACKED = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": frames,
}


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_its_texts_packed_or_not(
    tmp_path: Path, name: str, suffix: str
) -> None:
    (tmp_path / (name + suffix)).write_bytes(PACKED[suffix](KINDS[name]))
    assert read(tmp_path / (name + suffix)) == TEXTS


@pytest.mark.parametrize("suffix", PACKED)
def test_a_text_may_be_packed(tmp_path: Path, suffix: str) -> None:
    text = "".join(f"line {number} of a long text\n" for number in range(9000))
    (tmp_path / f"a.txt{suffix}").write_bytes(PACKED[suffix](text.encode()))
    (tmp_path / "unpacked by a browser.txt.gz").write_text("plain")
    assert read(tmp_path / f"a.txt{suffix}") == [text]
    assert read(tmp_path / "unpacked by a browser.txt.gz") == ["plain"]


@pytest.mark.parametrize("name", ["a.jsonl", "list.json", "a.parquet", "stream.arrow"])
def test_a_column_inside_another_is_named_with_a_dot(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(KINDS[name])
    assert read(f"{tmp_path / name}#meta.body") == [text.upper() for text in TEXTS]
    with pytest.raises(
        BadInput, match=r"holds columns in column 'meta'; name one of them: .*#meta.body, meta.lang"
    ):
        read(f"{tmp_path / name}#meta")
    with pytest.raises(
        BadInput,
        match=(
            r"has no column 'meta.boddy', it has meta.body, meta.lang; did you mean .*#meta.body\?"
        ),
    ):
        read(f"{tmp_path / name}#meta.boddy")
    with pytest.raises(
        BadInput, match=r"has no column 'Text', it has id, meta, .*; did you mean .*#text\?"
    ):
        read(f"{tmp_path / name}#Text")


def test_turns_and_token_numbers_are_texts_too(tmp_path: Path) -> None:
    said = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
    ]
    rows = [
        {
            "messages": said,
            "conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "yes"}],
            "ids": [3, 1],
        }
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dialogue = Dialogue((("user", "hello"), ("assistant", "yes")))
    for column, expected in (
        ("messages", dialogue),
        ("conversations", dialogue),
        ("ids", TokenNumbers((3, 1))),
    ):
        assert [
            list(document.pieces) for document in open_texts(f"{tmp_path / 'a.jsonl'}#{column}")
        ] == [[expected]]
    # as data sets hold sequences of turns
    columns = {"text": {"role": ["Human", "ChatGPT"], "content": ["hello", "yes"]}}
    (tmp_path / "c.jsonl").write_text(json.dumps(columns))
    assert [list(document.pieces) for document in open_texts(tmp_path / "c.jsonl")] == [[dialogue]]
    (tmp_path / "b.jsonl").write_text('{"text": [{"who": "me"}]}')
    with pytest.raises(
        BadInput, match="row 1 is no dialogue: a turn has who, wanted `role` and `content`"
    ):
        read(tmp_path / "b.jsonl")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "rows.csv"])
def test_a_row_that_holds_nothing_is_a_document_without_pieces(tmp_path: Path, name: str) -> None:
    rows = [{"n": "1", "text": "a"}, {"n": "2", "text": None}, {"n": "3", "text": ""}, {"n": "4"}]
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    elif name.endswith("csv"):
        (tmp_path / name).write_text("n,text\n1,a\n2,\n3,\n4\n")
    else:
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    assert read(tmp_path / name) == ["a", "", "", ""]


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("a.jsonl", b"[" * 100_000, "nested too deeply"),
        ("a.json", b'[{"text": ' + b"[" * 100_000, "nested too deeply"),
        ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}", "holds a value that cannot be read"),
        ("a.json", b"[" + b"9" * 5000 + b"]", "holds a value that cannot be read"),
        (
            "a.jsonl.gz",
            gzip.compress(LINES * 99, mtime=0)[:-20],
            "is compressed, and cut off or damaged inside; fetch it again",
        ),
        (
            "a.jsonl.gz",
            gzip.compress(LINES, mtime=0)[:9],
            "is compressed, and cut off or damaged inside",
        ),
        ("a.jsonl.bz2", bz2.compress(LINES)[:-9], "is compressed, and cut off or damaged inside"),
        ("a.jsonl.xz", lzma.compress(LINES)[:-9], "is compressed, and cut off or damaged inside"),
        ("a.txt.zst", frames(LINES * 99)[:-9], "is compressed, and cut off or damaged inside"),
        (
            "a.txt.zst",
            frames(LINES)[:20] + b"x" * 50,
            "is compressed, and cut off or damaged inside",
        ),
        ("a.txt", "text".encode("utf-16"), "a.txt is UTF-16; convert the file to UTF-8"),
        ("a.csv", "id,text\n1,a".encode("utf-16"), "a.csv is UTF-16"),
        ("a.txt", b"PK\x03\x04rest", "a.txt is a zip archive; unpack it"),
        ("a.txt", b"before\0after", "a.txt is no text: byte 0x00 at offset 6"),
        ("a.txt", "text".encode("utf-32"), "a.txt is UTF-32; convert the file to UTF-8"),
        ("a.tar.gz", gzip.compress(archive(LINES)), "a.tar.gz is a tar archive; unpack it"),
        (
            "a.txt.lz4",
            b"\x04\x22\x4d\x18rest",
            "a.txt.lz4 is packed by lz4; unpack it, or pack it by gzip",
        ),
        (
            "a.jsonl.zst",
            LONG_WINDOW,
            (
                "a.jsonl.zst is packed over windows that are too long; unpack it by `zstd -d"
                " --long=31`"
            ),
        ),
        (
            "a.txt",
            POINTER,
            (
                "a.txt is a pointer of Git LFS to a file that is elsewhere; fetch that by `git lfs"
                " pull`"
            ),
        ),
        ("a.parquet", POINTER, "a.parquet is a pointer of Git LFS"),
        ("a.feather", b"FEA1\0\0\0\0", "a.feather is of the first version of Feather"),
        (
            "a.csv",
            b"1,a\n2,b\n",
            (
                r"has no column 'text', it has 1, a; .*, or a.csv#1 for the first where there is no"
                r" header"
            ),
        ),
        (
            "a.csv",
            b"id,text\n1,a,b\n",
            "row 1 has 3 cells and the first line names 2; quote text that holds ','",
        ),
        ("a.csv", b'id,text\n1,a\n2,"b"c\n', "row 2 is no row of CSV"),
        ("a.csv", b'id,text\n1,a\n2,"b\n', "row 2 is no row of CSV"),
        ("a.csv", b"id,text\n1,\xff\n", "a.csv is not UTF-8 in or after row 1"),
        ("a.csv", b"id,story\n1,a\n", "has no column 'text', it has id, story"),
        ("a.arrow", b"no arrow", "a.arrow is no readable Arrow file"),
        ("a.parquet", b"", "a.parquet is no readable Parquet file"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says) as refused:
        read(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_quotation_marks_between_tabs_are_text_unless_the_file_quotes(tmp_path: Path) -> None:
    plain = ['"Hi" he said.', '"never closed', 'closed here"', "both"]
    (tmp_path / "plain.tsv").write_text(
        "\n".join(["id\ttext", *(f"{n}\t{text}" for n, text in enumerate(plain))])
    )
    assert read(tmp_path / "plain.tsv") == plain
    (tmp_path / "quoted.tsv").write_text('id\ttext\n1\t"she said ""no"""\n2\t"a\nb"\n')
    assert read(tmp_path / "quoted.tsv") == ['she said "no"', "a\nb"]


@pytest.mark.parametrize("name, delimiter", [("a.csv", ","), ("a.tsv", "\t")])
def test_without_a_header_columns_are_named_by_their_place(
    tmp_path: Path, name: str, delimiter: str
) -> None:
    (tmp_path / name).write_text("\n".join(f"some words{delimiter}{n}" for n in range(3)))
    assert read(f"{tmp_path / name}#1") == ["some words"] * 3
    assert read(f"{tmp_path / name}#2") == ["0", "1", "2"]
    # names that are numbers stay names
    (tmp_path / name).write_text(f"2{delimiter}1\na{delimiter}b\n")
    assert read(f"{tmp_path / name}#1") == ["b"]


def test_what_other_programs_write_is_text_too(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": [text.encode() for text in TEXTS]}), tmp_path / "bytes.parquet"
    )
    assert read(tmp_path / "bytes.parquet") == TEXTS
    pq.write_table(pa.table({"text": [b"\xff"]}), tmp_path / "bytes.parquet")
    with pytest.raises(BadInput, match="row 1 holds bytes that are not UTF-8"):
        read(tmp_path / "bytes.parquet")
    (tmp_path / "a.jsonl.zst").write_bytes(SKIPPED + frames(LINES))
    assert read(tmp_path / "a.jsonl.zst") == TEXTS
    (tmp_path / "blank.csv").write_text("\n\nid,text\n1,a\n")
    assert read(tmp_path / "blank.csv") == ["a"]


def test_pipes_devices_and_long_names_are_refused_when_they_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(BadInput, match="is a pipe, and texts are files with an end"):
        open_texts(tmp_path / "pipe.txt")
    with pytest.raises(BadInput, match="/dev/zero is a device"):
        open_texts("/dev/zero")
    with pytest.raises(
        BadInput, match=r"… \(5,000 characters\) cannot be read: File name too long"
    ):
        open_texts("x" * 5000)
    with pytest.raises(BadInput, match="is everything there is on this disk"):
        open_texts("/")
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(BadInput, match="has no columns, so it has none called 'story'"):
        open_texts(f"{tmp_path / 'a.txt'}#story")
    assert read(tmp_path) == ["a"]  # the pipe beside it is left out
