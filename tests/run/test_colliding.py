"""Runs that list features whose explanations may be exchanged, with rules and with a judge over
HTTP.
"""

import json
import math
import shutil
from pathlib import Path

import pytest
from small import SMALL, edit, run_one_step, start

from gloss.errors import BadSettings
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun, run_explanations
from gloss.run.planning import plan_run, read_run
from gloss.run.reporting.report import write_run_report
from gloss.store.results import read_rows
from models.servers import serve


def ran(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def together(small_run, tmp_path) -> OpenedRun:
    """The small run, with the neighbours of its features changed to others that it explains, and
    nothing compared yet.
    """
    shutil.copytree(small_run / "out", tmp_path / "out")
    plan = read_run(tmp_path / "out")
    chosen = [feature.index for feature in plan.features]
    files = list((plan.place("directions") / "features").glob("*.parquet"))

    def near(row: dict) -> dict:
        return row | {
            "neighbours": [
                {"feature": other, "cosine": 0.5} for other in chosen if other != row["feature"]
            ]
        }

    for file in files:
        edit(file, near)
    shutil.rmtree(plan.place("collisions"))
    return read_run(tmp_path / "out")


def alike(plan: OpenedRun, features: list[int]) -> None:
    """Give these features the words and the rule of the first."""
    [folder] = plan.places("explain")
    [given] = [e for e in run_explanations(plan)["explain.rule"] if e.feature.index == features[0]]
    for file in (folder / "explanations").glob("*.parquet"):
        edit(
            file,
            lambda row: (
                row | {"text": given.text, "rule": given.rule}
                if row["feature"] in features
                else row
            ),
        )


def test_a_run_compares_near_features_once_and_says_of_whom_the_words_speak(together, tmp_path):
    plan = together
    explained = sorted(e.feature.index for e in run_explanations(plan)["explain.rule"])
    chosen = [explained[0], explained[-1]]
    alike(plan, chosen)
    run_one_step(plan, "collisions")
    pairs = read_rows([plan.place("collisions")], "collisions")
    assert (
        len({frozenset((row["feature"], row["other"])) for row in pairs})
        == len(pairs)
        > len(explained)
    )
    assert sum(row["same_words"] for row in pairs) == 1
    assert any(not row["collides"] for row in pairs)
    groups = read_rows([plan.place("collisions")], "collision_groups")
    assert {row["feature"] for row in groups if row["group"] == 0} >= set(chosen)
    fresh = read_run(tmp_path / "out")
    ran(tmp_path, "browse", "out")
    page = (
        tmp_path / "out" / "page" / "features" / fresh.dictionary_name / f"{chosen[1]}.html"
    ).read_text()
    assert "The same words also fit" in page
    assert f"<b>{chosen[0]}</b>" in page
    [section] = [
        section for section in write_run_report(fresh).sections if section.title == "Collisions"
    ]
    assert ", ".join(map(str, chosen)) in str(section) or len(groups) > 3
    told = ran(
        tmp_path,
        "query",
        "out",
        "SELECT count(*) AS many FROM collisions JOIN collision_groups USING (feature)",
    )
    assert "many" in told


JUDGED = """
[collisions]
by = "judge"
trials = 4

[chat]
model = "m"
base_url = "{url}"
max_attempts = 1
"""


def test_a_judge_who_guesses_finds_that_all_collide_and_is_asked_again_only_where_one_was_lost(
    together, tmp_path
):
    with serve(answer="pick at random", script=["ok", "500"]) as server:
        (tmp_path / "experiment.toml").write_text(SMALL + JUDGED.format(url=server.base_url))
        ran(tmp_path, "collisions", "experiment.toml")
        plan = read_run(tmp_path / "out")
        lost = [shard for shard in range(plan.shards) if not plan.part("collisions", shard).is_done]
        assert lost
        assert not plan.part("collisions", plan.shards).is_done
        asked = len(server.requests())
        ran(tmp_path, "collisions", "experiment.toml")
        assert len(server.requests()) == asked + 1
    pairs = read_rows([plan.place("collisions")], "collisions")
    assert pairs
    assert {row["n"] for row in pairs if not row["same_words"]} <= {4, 8, 0}
    assert sum(row["collides"] is True for row in pairs) > 0.6 * len(pairs)
    assert plan.part("collisions", plan.shards).is_done


def test_explanations_without_rules_are_counted_and_left_alone(together):
    plan = together
    run_one_step(plan, "collisions")
    compared = sum(
        not row["same_words"] for row in read_rows([plan.place("collisions")], "collisions")
    )
    shutil.rmtree(plan.place("collisions"))
    [folder] = plan.places("explain")
    for file in (folder / "explanations").glob("*.parquet"):
        edit(file, lambda row: row | {"rule": None})
    run_one_step(plan, "collisions")
    notes = [
        json.loads(plan.part("collisions", shard).marker.read_text())["uncompared"]
        for shard in range(plan.shards)
    ]
    assert sum(notes) == compared > 0
    pairs = read_rows([plan.place("collisions")], "collisions")
    [section] = [each for each in write_run_report(plan).sections if each.title == "Collisions"]
    [row] = section.blocks[0].rows
    assert (row[3] == "0", math.isnan(row[2].value)) == (not pairs, not pairs)


def test_collisions_can_be_left_out_and_unknown_ways_are_refused():
    none = Experiment.of({"collisions": {"by": "none"}})
    assert "collisions" not in plan_run(none).keys
    assert "collisions" in plan_run(Experiment.of({})).keys
    with pytest.raises(BadSettings, match="by must be rules, judge or none, got 'rule'"):
        Experiment.of({"collisions": {"by": "rule"}})
