"""Sections of a report that are there only where their tables are."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from small import reseal

from gloss.pages.report_sections import Grid
from gloss.records import Control, EditKind, Effect, Estimate, FeatureId, Shift, Split
from gloss.run.planning import read_run, tables_of
from gloss.run.reporting.interventions import interventions_section
from gloss.run.reporting.judges import judges_section
from gloss.run.reporting.report import report_sections
from gloss.run.reporting.run_data import RunData
from gloss.run.reporting.scores import (
    quantile_shares,
    sensitivity_section,
    shares_of_verdicts,
    verdict_shares,
)
from gloss.store.record_rows import effect_row
from gloss.store.results import Part, read_rows


@pytest.fixture
def found(small_run, tmp_path) -> RunData:
    shutil.copytree(small_run / "out", tmp_path / "out")
    return RunData(read_run(tmp_path / "out"))


def test_a_run_without_a_judge_or_interventions_says_nothing_of_them(found):
    assert judges_section(found) is None
    assert interventions_section(found) is None
    assert not {"The judges", "Interventions"} & {
        section.title for section in report_sections(found)
    }


def test_shares_are_by_quantile_and_by_feature():
    shares = quantile_shares({(0, 7): [True, True], (0, 8): [True, False], (9, 7): [False]})
    assert {quantile: values.tolist() for quantile, values in shares.items()} == {
        0: [1.0, 0.5],
        9: [0.0],
    }


def test_rules_find_contexts_by_strength(found):
    section = sensitivity_section(found)
    assert section is not None
    grid = section.blocks[0]
    assert isinstance(grid, Grid)
    assert grid.columns == ("quantile", "the rule of rule")
    assert grid.rows[0][0].endswith(", the strongest")
    assert all(
        isinstance(row[1], Estimate) and (np.isnan(row[1].value) or 0 <= row[1].value <= 1)
        for row in grid.rows
    )


def test_a_missing_answer_finds_nothing(found):
    plan = found.run
    firing = [
        row for row in read_rows([plan.place("sample")], "examples") if row["role"] == "held_out"
    ]
    same = {
        "dictionary": plan.dictionary_name,
        "method": "execution",
        "explained_by": "rule",
        "control": "none",
        "truth": True,
    }
    said = [
        same
        | {
            "feature": row["feature"],
            "context": row["context"],
            "answer": True if row["quantile"] == 0 else None,
            "reason": None if row["quantile"] == 0 else "unparsable",
            "probability": None,
        }
        for row in firing
    ]
    assert plan.shards > 1
    for shard in range(plan.shards):
        own = {feature.index for feature in plan.shard(shard)}
        rows = [row for row in said if row["feature"] in own]
        Part(plan.place("score.execution"), shard).write({"verdicts": rows})
    [(name, shares)] = verdict_shares(found)
    assert name == "execution of rule"
    assert len(shares[0]) == len({row["feature"] for row in firing if row["quantile"] == 0})
    assert set(shares[0].tolist()) == {1.0}
    assert set(
        np.concatenate([values for quantile, values in shares.items() if quantile]).tolist()
    ) == {0.0}


def test_spared_requests_are_told(found):
    marker = found.run.part("score.execution", 0).marker
    reseal(marker, requests=30, spared=70)
    section = judges_section(found)
    assert section is not None
    assert section.blocks[0].lines == (
        (
            "score.execution",
            "30 requests asked, 70 (70 %) spared because the precision was reached",
        ),
    )


def test_a_judge_that_says_yes_ever_more_is_suspected(found):
    plan = found.run
    same = {
        "dictionary": plan.dictionary_name,
        "method": "execution",
        "explained_by": "rule",
        "control": "none",
    }
    said = [
        same
        | {
            "feature": feature,
            "context": place,
            "truth": place % 2 == 0,
            "answer": place >= 10,
            "question": 0,
            "position": place,
        }
        for feature in range(20)
        for place in range(20)
    ]
    Part(plan.place("score.execution"), 0).write({"verdicts": said})
    section = judges_section(found)
    assert section is not None
    rows = {row[1]: row for row in section.blocks[0].rows}
    assert rows["yes by position"][2].low > 0.5
    assert rows["yes by position"][3] == "suspected"


def test_effects_are_told_by_target_beside_a_random_direction(found, tmp_path):
    path = tmp_path / "out" / "experiment.json"
    keys = found.run.keys | {"intervene": "k"}
    reseal(path, keys=keys, tables=tables_of(keys))
    again = RunData(read_run(tmp_path / "out"))
    rows = [
        effect_row(made(again.run.features[number], control, rise))
        for number in range(5)
        for control, rise in ((Control.NONE, 2.0), (Control.RANDOM_DIRECTION, 0.1))
    ]
    Part(again.run.place("intervene"), 0).write({"effects": rows})
    section = interventions_section(again)
    assert section is not None
    [(target, number, reached, passes, own, random)] = section.blocks[0].rows
    assert (target, number, passes) == ("1", "5", "4")
    assert [estimate.value for estimate in (reached, own, random)] == [1.0, 2.0, 0.1]


def made(feature: FeatureId, control: Control, rise: float) -> Effect:
    shift = Shift(3, "x", Estimate(rise, rise - 0.1, rise + 0.1), 0.1, 0.2)
    effect = Effect(
        feature,
        EditKind.ADD,
        5.0,
        Estimate(1.0, 0.9, 1.1),
        1.0,
        4,
        2,
        (shift,),
        (),
        control=control,
        split=Split.HELD_OUT,
    )
    return replace(effect, passes=4)


def test_shares_are_those_of_verdicts_on_contexts_that_were_drawn():
    names = ("feature", "context", "answer")
    said = [(9, 5, True), (9, 6, False), (2, 5, None), (2, 7, True), (9, 8, True), (2, None, True)]
    drawn = [(9, 5, 0), (9, 6, 0), (2, 5, 0), (2, 7, 1), (4, 8, 1)]
    rows = [dict(zip(names, row, strict=True)) for row in said]
    asked = pa.Table.from_pylist(rows)
    columns = map(list, zip(*drawn, strict=True))
    known = pa.table(dict(zip(("feature", "context", "quantile"), columns, strict=True)))
    found = shares_of_verdicts(asked, known)
    assert {quantile: shares.tolist() for quantile, shares in found.items()} == {
        0: [0.5, 0.0],  # of 9, which comes first, and of 2, whose answer could not be read
        1: [1.0],
    }
    assert shares_of_verdicts(asked.slice(0, 0), known) == {}
