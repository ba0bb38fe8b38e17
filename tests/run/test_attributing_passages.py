"""`gloss attribute --passages` on the embedded model and behind an endpoint: what it prints and
keeps, what a second run pays for, and what it refuses.
"""

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import gloss
from gloss.attribute.players.passage_text import (
    ContextPassage,
    PassagePrompt,
    paragraphs,
    read_passages,
)
from gloss.attribute.players.prompt_parts import PromptUnit, spaced_answer, unit_spans
from gloss.errors import BadInput, BadSettings
from gloss.run.commands.attribute import AttributionSettings
from gloss.run.commands.attribute_passages import (
    levels_attributor,
    question_of_file,
    report_passages,
)
from models.text_server import serve_texts

EMBEDDED = Path(str(files("gloss.models") / "embedded"))
TEMPLATE = "{passages}\n\n{question}"
PASSAGES = (
    {"text": "import os"},
    {"id": "reader", "text": "load(path)"},
    {"title": "# numbers", "text": "for number in range(10):"},
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def passages(tmp_path) -> Path:
    path = tmp_path / "passages.jsonl"
    path.write_text("\n".join(map(json.dumps, PASSAGES)))
    return path


QUESTION = ("for number in range(", TEMPLATE)


def ask(passages: Path, budget: int = 60, **settings: str) -> dict:
    """What the command keeps."""
    asked = question_of_file(str(passages), *QUESTION, {"answer": "10", **settings})
    folder = passages.parent / "out"
    report_passages(asked, AttributionSettings(budget=budget, folder=folder))
    [file] = folder.glob("*.json")
    return json.loads(file.read_text())


def test_the_command_prints_and_keeps_every_level_and_asks_nothing_twice(passages, capsys):
    kept = ask(passages, budget=100)
    assert "log-probability of '10' (nats)" in capsys.readouterr().out
    [file] = (passages.parent / "out").glob("*.json")
    levels = kept["levels"]
    assert levels[0]["players"][1].startswith("reader: load(path)")
    assert levels[0]["players"][2].startswith("3: # numbers for number")
    assert levels[0]["spent"] == 12  # all 8 masks, and four of them twice
    assert kept["spent"] == sum(level["spent"] for level in levels) <= 100
    assert [level["level"] for level in levels] == ["passages", "sentences", "words"]
    told = [branch["says"] for branch in kept["tree"]]
    assert told == [name for name in levels[0]["players"] if name in told] != []
    page = file.with_suffix(".html").read_text()
    assert "Where the effect is" in page
    assert "# numbers" in page
    first = file.read_bytes()
    ask(passages, budget=100)
    assert "0 values were new" in capsys.readouterr().out
    assert file.read_bytes() == first


def test_python_gives_the_same_levels(passages):
    texts = [dict(one) for one in PASSAGES]
    settings = {"answer": "10", "unit": "sentences"}
    found = gloss.attribute(
        passages=texts, question=QUESTION[0], template=TEMPLATE, budget=60, **settings
    )
    kept = ask(passages, unit="sentences")
    rows = found.table.to_pylist()
    wanted = {
        player: row["average"]
        for level in kept["levels"][:1]
        for player, row in zip(
            level["players"],
            sorted(level["single_players"], key=lambda row: row["players"]),
            strict=True,
        )
    }
    own = {
        row["players"][0]: row["average"]
        for row in rows
        if row["level"] == "passages" and row["size"] == 1
    }
    assert own == pytest.approx(wanted, abs=1e-6)
    assert "Passages: Known whole" in found.text
    assert found.write_page(passages.parent / "page.html").exists()
    with pytest.raises(BadSettings, match="no setting 'budgets' beside passages"):
        gloss.attribute(passages=texts, budgets=3)
    with pytest.raises(BadInput, match="a passage is no text"):
        gloss.attribute(passages=[3], question="?")


def test_an_endpoint_reads_the_same_passages(passages):
    start = gloss.load_model("embedded").start_token
    folder = str(EMBEDDED / "subject")
    with serve_texts("subject", folder=folder, start=start) as address:
        there = ask(passages, unit="sentences", model="m", base_url=f"{address}/vllm/v1")
    here = gloss.attribute(
        passages=passages, question=QUESTION[0], template=TEMPLATE, answer="10", budget=60,
        unit="sentences",
    )  # fmt: skip
    kept = there["levels"][0]
    assert kept["with_everything"] == pytest.approx(
        here.levels[0].found.measured.everybody, abs=1e-3
    )
    assert kept["with_nothing"] == pytest.approx(here.levels[0].found.measured.nobody, abs=1e-3)
    assert here.levels[-1].unit != "words"


@pytest.mark.parametrize(
    ("question", "template", "settings", "says"),
    [
        ("Who?", "", {"prompt": "a"}, "--prompt is not read beside --passages"),
        ("", "", {"components": "heads"}, "--components is not read beside --passages"),
        ("", "", {"unit": "tokens"}, "opened down to sentences or words"),
        ("", "", {"removal": "resample"}, "taken by remove, mask or infill"),
        ("", "{question}", {}, "must hold {passages} once"),
        ("Who?", "{passages}", {}, "has no place for the question"),
        ("", "{passages} {question}", {}, "has a place for a question"),
    ],
)
def test_what_nothing_would_read_is_refused(passages, question, template, settings, says):
    with pytest.raises(BadSettings, match=re.escape(says)):
        question_of_file(str(passages), question, template, settings)


def test_settings_of_passages_need_passages_and_a_method_needs_a_budget():
    with pytest.raises(BadSettings, match="are of passages; give --passages FILE"):
        question_of_file("", "Who?", "", {})
    with pytest.raises(BadInput, match="exact takes no --budget"):
        levels_attributor(AttributionSettings(method="exact"), 1)


def test_a_proxy_is_refused_beside_passages(passages):
    asked = question_of_file(str(passages), "Who?", "", {"answer": "a"})
    with pytest.raises(BadSettings, match="--proxy is not read beside --passages"):
        report_passages(asked, AttributionSettings(proxy="embedded"))


def test_files_of_passages(tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("One here.\nAnother.\n")
    assert read_passages(lines) == [ContextPassage("One here."), ContextPassage("Another.")]
    assert paragraphs("a\nb\n\n\nc\n") == ["a\nb", "c"]
    for content in ('{"text": ""}', '{"title": "x"}', "[1]", "{"):
        (tmp_path / "bad.jsonl").write_text(content)
        with pytest.raises(BadInput, match="cannot be read"):
            read_passages(tmp_path / "bad.jsonl")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(BadInput, match="holds no passages"):
        read_passages(tmp_path / "empty.txt")
    with pytest.raises(BadInput, match="cannot be read"):
        read_passages(tmp_path / "absent.txt")


def test_a_prompt_of_passages_says_where_each_and_its_sentences_and_words_lie():
    prompt = PassagePrompt.of(
        (ContextPassage("Tom has a key. It is red.", "x"), ContextPassage("Rain {fell}.")), "Who?"
    )
    assert prompt.text == ("Tom has a key. It is red.\n\nRain {fell}.\n\nQuestion: Who?\nAnswer:")
    assert [prompt.text[begin:end] for begin, end in prompt.spans] == [
        "Tom has a key. It is red.",
        "Rain {fell}.",
    ]
    assert prompt.names == ("x: Tom has a key. It is red.", "2: Rain {fell}.")
    words = unit_spans(prompt.text, PromptUnit.WORDS, prompt.within)
    tree = prompt.tree(words)
    assert [level.unit for level in tree.levels] == ["passages", "sentences", "words"]
    assert np.bincount(tree.levels[0].owners).tolist() == [7, 2]
    assert [[tree.name(one) for one in tree.children(part)] for part in tree.parts[1]] == [
        ["Tom", "has", "a", "key."],
        ["It", "is", "red."],
        ["Rain", "{fell}."],
    ]
    assert len(prompt.tree(words, PromptUnit.SENTENCES).levels) == 2
    assert spaced_answer("Answer:", "4812") == " 4812"
    assert spaced_answer("Answer: ", "4812") == spaced_answer("", "4812") == "4812"
