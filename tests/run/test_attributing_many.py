"""`gloss attribute --prompts`: one question about all prompts, or one about each with one model."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import gloss
from gloss.errors import BadInput, BadSettings, GlossError, Unreachable
from gloss.models.chat_models.client import Chat
from gloss.models.subject import Subject
from gloss.run.commands.attribute import AttributionSettings
from gloss.run.commands.attribute_prompts import report_prompts
from models.servers import serve

pytestmark = pytest.mark.usefixtures("one_thread")

LINES = [
    {"prompt": "for i in range(", "corrupted": "for x in range(", "answer": "i", "other": "x"},
    {"prompt": "for x in range(", "corrupted": "for i in range(", "answer": "x", "other": "i"},
    {"prompt": "x = ", "corrupted": "x = y = z = ", "answer": "1", "other": "2"},
]


def written(path: Path, lines) -> Path:
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    )
    return path


def test_heads_of_many_prompts_are_one_question_with_intervals_over_prompts(tmp_path, capsys):
    file = written(tmp_path / "p.jsonl", LINES)
    asked = {"components": "mlps", "model": "embedded"}
    options = AttributionSettings(method="exact", folder=tmp_path / "kept")
    report_prompts(file, asked, options)
    printed = " ".join(capsys.readouterr().out.split())
    assert "(mean over 2 prompts)" in printed
    assert "in 2 of 2 prompts" in printed or "prompts." in printed
    assert "2 prompts are used, 1 left out (line 3: its prompt has" in printed
    assert "corrupted twin at the same position" in printed
    [record] = (tmp_path / "kept").glob("*.json")
    kept = json.loads(record.read_text())
    assert kept["over_prompts"]["prompts"] == 2
    assert kept["over_prompts"]["right"] in (0, 1, 2)
    assert kept["over_prompts"]["with_everything"]["value"] == pytest.approx(
        kept["with_everything"]
    )
    row = kept["single_players"][0]
    assert row["low"] < row["average"] < row["high"]
    assert row["lost_over_prompts"]["value"] == pytest.approx(row["lost"])
    assert [line["answer"] for line in kept["question"]["prompts"]] == ["i", "x", "1"]
    page = (tmp_path / "kept" / record.with_suffix(".html").name).read_text()
    assert "answered rightly" in page
    assert "random order" not in page
    before = {
        path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir() if path.is_file()
    }
    report_prompts(file, asked, options)
    assert "0 values were new" in capsys.readouterr().out
    after = {
        path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir() if path.is_file()
    }
    assert after == before
    written(file, LINES[:1])  # other prompts, other values
    report_prompts(file, asked, options)
    assert "20 values were new" in capsys.readouterr().out


def test_questions_have_a_line_a_record_and_a_page_each_and_a_table(tmp_path, capsys, monkeypatch):
    lines = [{"prompt": "for i in range(", "answer": "i"}, "no JSON\n", {"prompt": "x ="}]
    file = written(tmp_path / "p.jsonl", lines)
    loads = []
    load = Subject.load
    monkeypatch.setattr(
        Subject,
        "load",
        staticmethod(lambda *given, **more: loads.append(1) or load(*given, **more)),
    )
    options = AttributionSettings(folder=tmp_path / "kept")
    report_prompts(file, {"model": "embedded"}, options)
    printed = capsys.readouterr().out
    assert len(loads) == 1
    assert re.search(
        r"   1  for i in range\(: log-probability of 'i' \(nats\) −\d.*R2 1.00", printed
    )
    assert "   2  : failed, it is no JSON" in printed
    assert "3 questions: 2 explained, 1 failed; table in file://" in printed
    [table] = (tmp_path / "kept").glob("batch-*.html")
    pages = re.findall(r'href="(auto-[0-9a-f-]+\.html)"', table.read_text())
    assert len(pages) == 2
    assert all((tmp_path / "kept" / page).exists() for page in pages)
    assert "it is no JSON" in table.read_text()
    # killed and run again, or with another line: what was answered is not asked again
    monkeypatch.setattr(Subject, "load", staticmethod(lambda *_, **__: pytest.fail("loaded again")))
    report_prompts(file, {"model": "embedded"}, options)
    assert capsys.readouterr().out == printed
    monkeypatch.setattr(Subject, "load", staticmethod(load))
    (tmp_path / "kept" / pages[0]).unlink()
    report_prompts(written(file, [*lines, {"prompt": "y ="}]), {"model": "embedded"}, options)
    again = capsys.readouterr().out
    assert again.splitlines()[:3] == printed.splitlines()[:3]
    assert "4 questions: 3 explained, 1 failed" in again
    assert (tmp_path / "kept" / pages[0]).exists()


def test_a_question_of_a_batch_is_answered_as_it_is_alone(tmp_path, capsys):
    file = written(tmp_path / "p.jsonl", [{"prompt": "for i in range(", "answer": "i"}])
    options = AttributionSettings(folder=tmp_path / "kept", seed=3)
    report_prompts(file, {"model": "embedded"}, options)
    [record] = (tmp_path / "kept").glob("auto-*.json")
    alone = gloss.attribute("for i in range(", answer="i", seed=3)
    kept = json.loads(record.read_text())
    assert kept["said"] == alone.interactions.summary_sentence()
    assert kept["single_players"][0]["average"] == pytest.approx(
        alone.table.to_pylist()[0]["average"]
    )


def test_what_no_prompts_answer_is_refused_in_a_sentence(tmp_path):
    options = AttributionSettings(folder=tmp_path / "kept")
    file = written(tmp_path / "p.jsonl", [{"prompt": "a b", "other": "x"}, "{}\n"])
    with pytest.raises(BadInput, match="no question could be answered: line 1: a difference needs"):
        report_prompts(file, {"model": "embedded", "value": "difference"}, options)
    with pytest.raises(BadSettings, match="--prompt and --prompts"):
        report_prompts(file, {"prompt": "a", "model": "embedded"}, options)
    written(file, [{"prompt": "a b", "answer": "x", "other": "y"}])
    patched = {"model": "embedded", "components": "heads", "removal": "patch"}
    with pytest.raises(BadInput, match='holds no prompt that can be used: line 1: it has no "corr'):
        report_prompts(file, patched, options)


def test_python_answers_many_prompts(tmp_path):
    found = gloss.attribute(
        prompts=["for i in range(", {"prompt": ""}, {"prompt": "x =", "answer": "1"}]
    )
    assert [isinstance(one, GlossError) for one in found] == [False, True, False]
    assert "log-probability of '1'" in found[2].value
    one = gloss.attribute(prompts=LINES[:2], components="mlps", method="exact", removal="resample")
    assert one.value.endswith("in nats (mean over 2 prompts)")
    assert one.interactions.over_prompts.prompts == 2
    assert "intervals over prompts" in one.text
    assert np.isfinite([row["low"] for row in one.table.to_pylist()]).all()
    with pytest.raises(BadSettings, match="no setting 'anwser'"):
        gloss.attribute(prompts=["a b"], anwser="x")
    with pytest.raises(BadInput, match="holds no prompt"):
        gloss.attribute(prompts=[])


def test_an_endpoint_is_tried_out_once_for_all_questions(tmp_path, capsys):
    texts = ["the red fox", "a fox", "no cat"]
    lines = [{"prompt": text, "answer": text.split()[-1]} for text in texts]
    file = written(tmp_path / "p.jsonl", lines)
    with serve(answer="parrot") as server:
        Chat("m", server.base_url).capabilities(np.random.default_rng(0))
        once = server.tries()
        asked = {"model": "m", "base_url": server.base_url}
        report_prompts(file, asked, AttributionSettings(method="exact", folder=tmp_path / "kept"))
        assert server.tries() == 2 * once > 0
        assert "3 questions: 3 explained, 0 failed" in " ".join(capsys.readouterr().out.split())
        found = gloss.attribute(prompts=file, method="exact", **asked)
        assert server.tries() == 3 * once
    assert [one.value for one in found] == [found[0].value, found[0].value, found[2].value]
    with pytest.raises(Unreachable):  # the endpoint's fault, and not the questions'
        report_prompts(file, asked, AttributionSettings(method="exact", folder=tmp_path / "more"))
