"""Documents from every kind of source, and the sentence that each bad one is refused with."""

import json
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gloss.collect.texts import BLOCK, Document, NamedTexts, join_pieces, open_texts, text_pieces
from gloss.errors import BadInput


def read(*arguments: object) -> list[tuple[str, str]]:
    return [(document.name, join_pieces(document.pieces)) for document in open_texts(*arguments)]


def test_a_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffun œuf\r\n".encode())
    assert read(tmp_path / "a.txt") == [("a.txt", "un œuf\r\n")]


def test_a_folder_is_read_in_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    for name in ("b/z.md", "b/a.txt", "a.py", ".git/c.txt", "b/.d.txt", "image.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert read(tmp_path) == [("a.py", "a.py"), ("b/a.txt", "b/a.txt"), ("b/z.md", "b/z.md")]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is text")
def test_a_files_name_may_hold_any_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    assert [document.name for document in open_texts(tmp_path)] == ["caf\\xe9.txt"]


def test_columns_of_jsonl_json_and_parquet(tmp_path: Path) -> None:
    rows = [{"text": "un", "story": "deux"}, {"text": "trois", "story": "quatre"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=2))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.json", "a.parquet"):
        assert read(tmp_path / name) == [(f"{name}:1", "un"), (f"{name}:2", "trois")]
        assert read(f"{tmp_path / name}#story") == [(f"{name}:1", "deux"), (f"{name}:2", "quatre")]
        assert read(tmp_path / name, "story")[1][1] == "quatre"


def test_several_sources_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["un", "deux"]')
    (tmp_path / "b.txt").write_text("trois")
    assert [text for _, text in read([tmp_path / "b.txt", tmp_path / "a.json"])] == [
        "trois",
        "un",
        "deux",
    ]


def test_the_interpreters_own_library_is_a_source() -> None:
    names = [document.name for document in open_texts("stdlib")]
    assert {"abc.py", "json/decoder.py"} <= set(names)
    assert names == [document.name for document in open_texts("stdlib")]


def test_texts_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("again")
    texts = open_texts(tmp_path / "a.txt")
    assert [[join_pieces(d.pieces) for d in texts], [join_pieces(d.pieces) for d in texts]] == [
        ["again"],
        ["again"],
    ]


def test_a_long_file_comes_in_pieces_that_begin_with_a_line(tmp_path: Path) -> None:
    text = "".join(f"line {i} with é\n" for i in range(3 * BLOCK // 10))
    (tmp_path / "long.txt").write_text(text)
    pieces = list(next(iter(open_texts(tmp_path / "long.txt"))).pieces)
    assert "".join(pieces) == text
    assert len(pieces) > 3
    assert all(piece.startswith("line") for piece in pieces)


@given(st.text("ab\n é😀", max_size=60), st.integers(1, 9))
def test_a_long_text_in_pieces_is_the_same_text(text: str, block: int) -> None:
    assert join_pieces(text_pieces(text, block)) == text
    assert all(len(piece) <= block for piece in text_pieces(text, block))


def test_a_line_longer_than_a_block_is_cut_between_characters(tmp_path: Path) -> None:
    text = "é" * BLOCK
    (tmp_path / "long.txt").write_text(text)
    assert read(tmp_path / "long.txt") == [("long.txt", text)]


def test_a_long_json_list_is_read_item_by_item(tmp_path: Path) -> None:
    texts = [f"{i} é " * 2000 for i in range(300)]
    (tmp_path / "a.json").write_text(json.dumps(texts, ensure_ascii=False))
    assert [text for _, text in read(tmp_path / "a.json")] == texts


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("a.txt", b"good\nbad \xff", r"a.txt is not UTF-8: byte 0xff at offset 9"),
        ("a.txt", b"cut in a character \xc3", r"byte 0xc3 at offset 19"),
        ("a.txt", b"x\n" * 2**18 + b"\xe9t\xe9", rf"byte 0xe9 at offset {2**19}"),
        ("a.txt", "\ufeffx".encode() + b"\xff", r"byte 0xff at offset 4"),
        (
            "a.jsonl",
            b'{"text": "a"}\n{"text": "\xe9"}\n',
            r"a.jsonl is not UTF-8: byte 0xe9 at offset 24",
        ),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"row 2 is not JSON .* at byte offset 14"),
        (
            "a.jsonl",
            b'{"story": "a"}',
            r"row 1 has no column 'text', it has story; name one as a.jsonl#column",
        ),
        ("a.jsonl", b'{"text": 3}', r"row 1 holds int where text was wanted"),
        ("a.jsonl", b'"\\ud800"', r"row 1 holds half a character at position 0"),
        ("a.json", b'["a", "b', r"a.json is not JSON"),
        ("a.json", b'["a"', r"ends at byte offset 4, before its JSON list is closed"),
        ("a.json", b'["\xff"]', r"a.json is not UTF-8: byte 0xff at offset 2"),
        ("a.parquet", b"not Parquet", r"a.parquet is no readable Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says):
        read(tmp_path / name)


def test_sources_that_are_not_there_are_refused_when_they_are_opened(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.txt does not exist; texts are a file, a folder"):
        open_texts(tmp_path / "nowhere.txt")
    with pytest.raises(BadInput, match="holds no text file"):
        open_texts(tmp_path)
    with pytest.raises(BadInput, match="no texts were given"):
        open_texts([])
    with pytest.raises(BadInput, match="names no data set"):
        open_texts("datasets:")


def test_a_parquet_file_without_the_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"story": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match="has no column 'text', it has story"):
        read(tmp_path / "a.parquet")


@pytest.mark.skipif("datasets" in sys.modules, reason="the package datasets is installed")
def test_a_data_set_without_its_package_says_what_to_install() -> None:
    try:
        import datasets  # noqa: F401
    except ImportError:
        with pytest.raises(
            BadInput, match=r"needs the package `datasets`; install gloss\[datasets\]"
        ):
            read("datasets:wikitext,wikitext-2-raw-v1:test")
    else:
        pytest.skip("the package datasets is installed")


def test_documents_in_memory_are_texts_too() -> None:
    [document] = NamedTexts((("a", "un"),))
    assert isinstance(document, Document)
    assert join_pieces(document.pieces) == "un"
