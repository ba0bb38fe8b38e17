"""A folder is a data set or plain texts, and never a mixture.

A text file is cut where it says so.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_subject

from gloss.collect.separators import separator_pattern, split_documents
from gloss.collect.texts import TemplatedTexts, join_pieces, open_texts
from gloss.collect.tokens import read_texts
from gloss.errors import BadInput, BadSettings
from gloss.models.chat_models.prompts import Message
from gloss.models.subject import Subject
from gloss.store.corpus import Corpus


def named(*arguments: Any) -> list[tuple[str, str]]:
    return [(document.name, join_pieces(document.pieces)) for document in open_texts(*arguments)]


def written(folder: Path, *names: str) -> Path:
    """A folder with these files, each of which holds its own kind and nothing much."""
    table = pa.table({"text": ["a", "b"]})
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(table, path)
        elif name.endswith(".arrow"):
            with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
        else:
            path.write_text(
                '{"text": "a"}\n{"text": "b"}\n' if name.endswith("jsonl") else "some words"
            )
    return folder


def test_a_data_set_is_its_rows_without_card_licence_and_hidden_files(tmp_path: Path) -> None:
    files = (
        "README.md",
        "LICENSE.txt",
        "dataset_infos.json",
        ".cache/x.txt",
        "data/train-0.parquet",
        "data/train-1.parquet",
    )
    names = [name for name, _ in named(written(tmp_path, *files))]
    assert names == [f"data/train-{part}.parquet:{row}" for part in (0, 1) for row in (1, 2)]


def test_a_data_set_that_was_saved_to_disk_is_its_arrow_files(tmp_path: Path) -> None:
    written(
        tmp_path / "one",
        "dataset_info.json",
        "state.json",
        "data-00000-of-00001.arrow",
        "cache-1f2e.arrow",
    )
    assert named(tmp_path / "one") == [
        (f"data-00000-of-00001.arrow:{row}", text) for row, text in ((1, "a"), (2, "b"))
    ]
    splits = [
        f"{split}/{name}"
        for split in ("test", "train")
        for name in ("state.json", "data-00000-of-00001.arrow")
    ]
    written(tmp_path / "more", "dataset_dict.json", *splits)
    assert [name.split("/")[0] for name, _ in named(tmp_path / "more")] == [
        "test",
        "test",
        "train",
        "train",
    ]
    assert len(named(tmp_path / "more" / "train")) == 2


@pytest.mark.parametrize(
    "files, says",
    [
        (("a.jsonl", "b.parquet"), "1 .jsonl, 1 .parquet"),
        (("a.jsonl", "b.txt", "c.txt"), "1 .jsonl, 2 .txt"),
        (("a.csv", "load.py"), "1 .csv, 1 .py"),
    ],
)
def test_a_mixture_is_refused_with_what_is_there(
    tmp_path: Path, files: tuple[str, ...], says: str
) -> None:
    with pytest.raises(
        BadInput, match=f"holds several kinds of file: {says}; name the files that are texts"
    ):
        open_texts(written(tmp_path, *files))


def test_lines_and_lists_of_json_are_one_kind_and_settings_of_programs_are_none(
    tmp_path: Path,
) -> None:
    assert len(named(written(tmp_path / "rows", "a.jsonl", "b/c.jsonl"))) == 4
    assert named(written(tmp_path / "program", "a.py", "package.json", "README.md"))[0] == (
        "README.md",
        "some words",
    )


@pytest.mark.parametrize("end", ["<|endoftext|>", "<|end_of_text|>", "</s>"])
@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_end_of_text_that_is_written_out_ends_a_document(
    tmp_path: Path, end: str, line: str
) -> None:
    (tmp_path / "a.txt").write_bytes(
        line.join(["un", "1", end, "deux", end, "", end, " trois", ""]).encode()
    )
    assert named(tmp_path / "a.txt") == [
        ("a.txt", f"un{line}1"),
        ("a.txt:2", "deux"),
        ("a.txt:3", "trois"),
    ]
    assert len(named(tmp_path / "a.txt", "text", "")) == 1


def test_blank_lines_or_any_string_may_separate(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"un\r\n1\r\n \r\n\r\ndeux\n\ntrois\n")
    assert [text for _, text in named(tmp_path / "a.txt", "text", "\n\n")] == [
        "un\r\n1",
        "deux",
        "trois",
    ]
    (tmp_path / "b.txt").write_text("un\n---\ndeux --- 2\n---\n")
    assert [text for _, text in named(tmp_path / "b.txt", "text", "\n---\n")] == [
        "un",
        "deux --- 2",
    ]
    (tmp_path / "c.txt").write_text("no such thing </s> here\n\n")
    assert named(tmp_path / "c.txt") == [("c.txt", "no such thing </s> here\n\n")]


@given(
    st.lists(st.text("a \n<|>x", max_size=30), min_size=1, max_size=6),
    st.integers(1, 40),
    st.sampled_from(["\n\n", "<x>", ""]),
)
def test_where_pieces_end_does_not_matter(texts: list[str], size: int, split: str) -> None:
    whole = (split or "<x>").join(texts)
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)] or [""]
    found = ["".join(each) for each in split_documents(pieces, separator_pattern(split))]
    assert found == ["".join(each) for each in split_documents([whole], separator_pattern(split))]
    kept = [part.strip() for part in (separator_pattern(split).split(whole) if split else [whole])]  # type: ignore[union-attr]
    assert [each.strip() for each in found if each.strip()] == [each for each in kept if each]


def test_token_numbers_are_read_as_they_are_and_checked(tmp_path: Path, subject: Subject) -> None:
    (tmp_path / "a.jsonl").write_text('{"ids": [0, 5, 6, 7]}\n{"ids": [8, 9]}\n{"ids": []}\n')
    read_texts(subject, open_texts(f"{tmp_path / 'a.jsonl'}#ids"), tmp_path / "corpus", 3)
    corpus = Corpus.open(tmp_path / "corpus")
    # each sequence gets its start token, 0, anyway
    assert corpus.tokens.tolist() == [5, 6, 7, 8, 9]
    assert corpus.documents.tolist() == [0, 0, 1]
    (tmp_path / "b.jsonl").write_text('{"ids": [1, 320]}\n')
    with pytest.raises(
        BadInput, match=r"b\.jsonl:1 holds the token number 320, and this model's go from 0 to 319"
    ):
        read_texts(subject, open_texts(f"{tmp_path / 'b.jsonl'}#ids"), tmp_path / "other", 64)


def test_a_dialogue_is_put_as_text_by_the_template_or_refused_by_that_word(tmp_path: Path) -> None:
    subject = tiny_subject()
    turns = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat"}]
    (tmp_path / "a.jsonl").write_text("\n".join([json.dumps({"messages": turns})] * 2))
    texts = open_texts(f"{tmp_path / 'a.jsonl'}#messages")
    spoken = TemplatedTexts(
        texts,
        lambda: lambda turns: "".join(f"{turn.role}: {turn.text}<|endoftext|>" for turn in turns),
    )
    read_texts(subject, spoken, tmp_path / "corpus", 64)
    corpus = Corpus.open(tmp_path / "corpus")
    assert len(corpus.names) == 2
    said = "user: the cat<|endoftext|>assistant: sat<|endoftext|>"
    assert corpus.vocabulary.text(corpus.tokens[: len(corpus) // 2].tolist()) == said

    def refuses(turns: Sequence[Message]) -> str:
        raise BadSettings(
            "the chat template refuses such turns (roles must alternate); use another model"
        )

    with pytest.raises(
        BadInput,
        match=r"a\.jsonl:1: the chat template refuses .*; use another model, or leave out the row",
    ):
        read_texts(subject, TemplatedTexts(texts, lambda: refuses), tmp_path / "none", 64)
    with pytest.raises(
        BadInput, match=r"a\.jsonl:1 is a dialogue, and this model's tokenizer has no chat template"
    ):
        read_texts(subject, TemplatedTexts(texts, lambda: None), tmp_path / "none", 64)
    with pytest.raises(BadInput, match=r"a\.jsonl:1 is a dialogue"):
        read_texts(subject, texts, tmp_path / "none", 64)
