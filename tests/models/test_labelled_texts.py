"""Labelled texts from lines of JSON, tables, and the sets of the wheel sae-probes."""

from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest

from gloss.errors import BadInput
from gloss.models.labelled_texts import LabelledTexts

TABLE = 'id,text,gender,label\n1,"He said, ""no""\nand left",m,a\n2,She,f,b\n3,They,f,a\n'


def test_a_table_has_a_text_and_the_label_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bios.csv"
    file.write_text(TABLE)
    with pa.output_stream(str(tmp_path / "bios.csv.zst"), compression="zstd") as packed:
        packed.write(TABLE.encode())
    for name in (file, tmp_path / "bios.csv.zst"):
        found = LabelledTexts.read(str(name))
        assert found.texts == ('He said, "no"\nand left', "She", "They")
        assert found.labels == ("a", "b", "a")
        assert LabelledTexts.read(f"{name}#gender").labels == ("m", "f", "f")


def test_the_last_ending_says_what_a_file_holds(tmp_path: Path) -> None:
    lines = tmp_path / "bios.csv.jsonl"
    lines.write_text('{"text": "He", "label": "a"}\n{"text": "She", "label": "b"}\n')
    assert LabelledTexts.read(str(lines)).labels == ("a", "b")
    table = tmp_path / "bios.v2.CSV"
    table.write_text(TABLE)
    assert LabelledTexts.read(str(table)).labels == ("a", "b", "a")


def test_what_has_no_such_column_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bios.csv"
    file.write_text(TABLE)
    with pytest.raises(BadInput, match="row 1 has no cell age; it has id, text, gender, label"):
        LabelledTexts.read(f"{file}#age")
    file.write_text("text,label\na,b,c\n")
    with pytest.raises(BadInput, match="row 1 cannot be read"):
        LabelledTexts.read(str(file))


def test_a_name_that_nothing_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="no labelled set that is installed"):
        LabelledTexts.read("no_such_set")
    monkeypatch.setattr("gloss.store.probe_sets.PACKAGE", "no_such_package")
    with pytest.raises(BadInput, match="pip install --no-deps sae-probes"):
        LabelledTexts.read("97_news_class")


@pytest.mark.skipif(find_spec("sae_probes") is None, reason="needs the wheel sae-probes")
def test_sets_of_the_wheel_go_by_their_names() -> None:
    news = LabelledTexts.read("97_news_class")
    assert (len(news.texts), news.names) == (
        5000,
        ["Entertainment", "Politics", "Sport", "Technology"],
    )
    assert LabelledTexts.read("news_class") == news
    with pytest.raises(BadInput, match="did you mean '97_news_class'"):
        LabelledTexts.read("97_news_clas")
