"""Sections of a report that are there only where their tables are."""

import json
import shutil

import numpy as np
import pytest

from gloss.browse.sections import Grid
from gloss.records import Estimate
from gloss.run.plan import plan_of
from gloss.run.report import sections
from gloss.run.reporting.deciles import deciles, judged, shares_of
from gloss.run.reporting.effects import effects
from gloss.run.reporting.judges import judges
from gloss.run.reporting.material import Material
from gloss.store.results import Part, read


@pytest.fixture
def found(small_run, tmp_path) -> Material:
    shutil.copytree(small_run / "out", tmp_path / "out")
    return Material(plan_of(tmp_path / "out"))


def test_a_run_without_a_judge_or_interventions_says_nothing_of_them(found):
    assert judges(found) is None
    assert effects(found) is None
    assert not {"The judges", "Interventions"} & {section.title for section in sections(found)}


def test_shares_are_by_quantile_and_by_feature():
    shares = shares_of({(0, 7): [True, True], (0, 8): [True, False], (9, 7): [False]})
    assert {quantile: values.tolist() for quantile, values in shares.items()} == {0: [1.0, 0.5], 9: [0.0]}


def test_rules_find_contexts_by_strength(found):
    section = deciles(found)
    assert section is not None
    grid = section.blocks[0]
    assert isinstance(grid, Grid)
    assert grid.columns == ("quantile", "the rule of rule")
    assert grid.rows[0][0].endswith(", the strongest")
    assert all(isinstance(row[1], Estimate) and (np.isnan(row[1].value) or 0 <= row[1].value <= 1) for row in grid.rows)


def test_a_missing_answer_finds_nothing(found):
    plan = found.plan
    firing = [row for row in read([plan.place("sample")], "examples") if row["role"] == "held_out"]
    same = {"dictionary": plan.dictionary_name, "method": "execution", "explained_by": "rule", "control": "none", "truth": True}
    said = [
        same | {"feature": row["feature"], "context": row["context"], "answer": True if row["quantile"] == 0 else None,
                "reason": None if row["quantile"] == 0 else "unparsable", "probability": None}
        for row in firing
    ]  # fmt: skip
    Part(plan.place("score.execution"), 0).write({"verdicts": said})
    [(name, shares)] = judged(found)
    assert name == "execution of rule"
    assert set(shares[0].tolist()) == {1.0}
    assert set(np.concatenate([values for quantile, values in shares.items() if quantile]).tolist()) == {0.0}


def test_spared_requests_are_told(found):
    marker = found.plan.part("score.execution", 0).marker
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"requests": 30, "spared": 70}))
    section = judges(found)
    assert section is not None
    assert section.blocks[0].lines == (
        ("score.execution", "30 requests asked, 70 (70 %) spared because the precision was reached"),
    )
