"""Records in one folder: of other settings others, of the same settings the same bytes, whatever
was asked in between.
"""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gloss.attribute.question import AttributionQuestion
from gloss.run.commands.attribute import AttributionSettings, report_attribution
from gloss.run.commands.attribute_passages import question_of_file, report_passages
from gloss.run.commands.attribute_prompts import report_prompts

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "for i in range(len(names)):\n    if i and x: print("
LINES = [
    {"prompt": TEXT, "answer": "i"},
    {"prompt": "x = foo(a, b)\nfor y in x: return", "answer": " x"},
]
TWINS = [
    {"prompt": "for i in range(", "corrupted": "for x in range(", "answer": "i", "other": "x"},
    {"prompt": "for x in range(", "corrupted": "for i in range(", "answer": "x", "other": "i"},
]
BUDGETS = ({"budget": 80, "method": "lasso"}, {"budget": 64, "method": "lasso"})
SEED = {**BUDGETS[1], "seed": 1}
ORDERS = ({"method": "occlusion"}, {"method": "occlusion", "order": 2})
NEAR = {"budget": 64, "near": 0.8}


def written(path: Path, lines) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def ask_words(place: Path, options: AttributionSettings) -> None:
    report_attribution(AttributionQuestion(prompt=TEXT, answer="i"), options)


def ask_components(place: Path, options: AttributionSettings) -> None:
    asked = AttributionQuestion(prompt=TEXT, answer="i", components="mlps")
    report_attribution(asked, options)


def ask_table(place: Path, options: AttributionSettings) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((200, 8)) < 0.5
    values = masks[:, 0] + 2.0 * masks[:, 1:3].all(axis=1) + rng.normal(size=200)
    np.savez(place / "table.npz", masks=masks, values=values)
    report_attribution(AttributionQuestion(data=str(place / "table.npz")), options)


def ask_examples(place: Path, options: AttributionSettings) -> None:
    lines = [{"text": f"so {word} {i}", "label": word} for i in range(5) for word in ("up", "low")]
    file = written(place / "train.jsonl", lines)
    asked = AttributionQuestion(
        prompt="so up", answer="up", examples=str(file), learner="neighbours"
    )
    report_attribution(asked, options)


def ask_batch(place: Path, options: AttributionSettings) -> None:
    report_prompts(written(place / "p.jsonl", LINES), {"model": "embedded"}, options)


def ask_all_prompts(place: Path, options: AttributionSettings) -> None:
    asked = {"model": "embedded", "components": "mlps"}
    report_prompts(written(place / "p.jsonl", TWINS), asked, options)


def ask_passages(place: Path, options: AttributionSettings) -> None:
    texts = [{"text": text} for text in ("import os", "load(path)", "for number in range(10):")]
    file = written(place / "passages.jsonl", texts)
    asked = question_of_file(
        str(file), "for number in range(", "{passages}\n\n{question}", {"answer": "10"}
    )
    report_passages(asked, options)


ASKED = (
    (ask_words, BUDGETS, 1),
    (ask_components, ORDERS, 1),
    (ask_table, (*BUDGETS, SEED), 1),
    (ask_examples, (*BUDGETS, SEED, *ORDERS, NEAR), 1),
    (ask_batch, BUDGETS, 2),
    (ask_all_prompts, ORDERS, 1),
    (ask_passages, ({"budget": 100}, BUDGETS[0]), 1),
)


@pytest.mark.parametrize(("ask", "settings", "each"), ASKED)
def test_other_settings_have_other_records_and_the_same_the_same_bytes(
    ask, settings, each, tmp_path, capsys
):
    folder = tmp_path / "kept"
    made: list[dict[str, bytes]] = []
    for given in settings:
        ask(tmp_path, replace(AttributionSettings(folder=folder), **given))
        made.append(outcomes(folder))
    records = [{name for name in files if name.endswith(".json")} for files in made]
    assert [len(names) for names in records] == [each * (i + 1) for i in range(len(settings))]
    for before, after in pairwise(made):
        assert before.items() <= after.items()
    for given in reversed(settings):
        capsys.readouterr()
        ask(tmp_path, replace(AttributionSettings(folder=folder), **given))
        assert outcomes(folder) == made[-1]
    kept = [json.loads(made[-1][name]) for name in records[-1]]
    assert all("folder" not in one["settings"] for one in kept)


def outcomes(folder: Path) -> dict[str, bytes]:
    """Records and pages."""
    return {
        path.name: path.read_bytes()
        for kind in ("json", "html")
        for path in folder.glob(f"*.{kind}")
    }
