"""Runs whose explanations are chosen among several: candidates are kept, and the report says how
they fare elsewhere.
"""

import shutil

import numpy as np
from small import SMALL, start

from gloss.run.planning import read_run
from gloss.run.reporting.report import report_sections
from gloss.run.reporting.run_data import RunData
from gloss.store.results import read_rows
from models.servers import serve

RULES = """
[explain]
method = "best_of"
explainer = "rule"
scorer = {method = "execution", resamples = 20}
n = 3
"""

ASKING = """
[[explain]]
method = "best_of"
n = 2

[[explain]]
method = "repair"
rounds = 1

[[score]]
method = "detection"

[chat]
model = "m"
base_url = "{url}"
"""


def ran(folder, verb="run", *more):
    process = start(folder, verb, "experiment.toml", *more)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    return out


def test_rules_are_chosen_without_a_language_model(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "out")
    (tmp_path / "experiment.toml").write_text(SMALL + RULES)
    ran(tmp_path)
    plan = read_run(tmp_path / "out")
    candidates = read_rows(plan.places("explain"), "candidates")
    explanations = {
        row["feature"]: row["rule"] for row in read_rows(plan.places("explain"), "explanations")
    }
    assert explanations
    assert {row["feature"]: row["rule"] for row in candidates if row["chosen"]} == explanations
    for row in candidates:
        own = [
            other["value"]
            for other in candidates
            if other["feature"] == row["feature"] and other["value"] is not None
        ]
        assert row["chosen"] <= (row["value"] == max(own))
        assert (row["method"], row["headline"]) in {("best_of", "f1"), ("best_of", None)}
    [section] = [
        one for one in report_sections(RunData(plan)) if one.title == "Chosen explanations"
    ]
    label, number, here, there, optimism = section.blocks[0].rows[0]
    assert label == "F1 by execution, best_of: chosen"
    assert int(number) <= len(explanations)
    assert np.isclose(here.value - there.value, optimism.value)


def test_a_model_is_asked_for_every_candidate_and_every_judgement(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "out")
    with serve(answer="reader") as server:
        (tmp_path / "experiment.toml").write_text(SMALL + ASKING.format(url=server.base_url))
        assert "explain.repair" in ran(tmp_path, "cost", "--requests")
        assert server.requests() == []
        ran(tmp_path)
    plan = read_run(tmp_path / "out")
    assert {row["method"] for row in read_rows(plan.places("explain"), "explanations")} == {
        "best_of",
        "repair",
    }
    candidates = read_rows(plan.places("explain"), "candidates")
    assert {(row["scorer"], row["reason"]) for row in candidates} == {
        ("detection", None),
        (None, "too_few_examples"),
    }
    for made in ("best_of", "repair"):
        chosen = [row["feature"] for row in candidates if row["chosen"] and row["method"] == made]
        assert len(chosen) == len(set(chosen)) > 5
