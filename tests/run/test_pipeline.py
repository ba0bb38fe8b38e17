"""Whole runs, as processes: they end with pages, repeat nothing, and survive being killed."""

import re
import shutil
import time

import numpy as np
import pytest
from small import SMALL, contents, start

from gloss.errors import BadInput
from gloss.records import Control, FeatureId, Split
from gloss.run.chat_clients import NoClient
from gloss.run.opened_run import run_explanations, shard_examples
from gloss.run.planning import read_run
from gloss.score.execution import Execution
from gloss.store.evidence import Evidence
from gloss.store.results import read_rows
from gloss.store.sealed_json import read_sealed_json, seal_json


def test_a_run_leaves_pages_records_and_its_resolved_settings(small_run):
    plan = read_run(small_run / "out")
    assert (small_run / "out" / "page" / "index.html").exists()
    explained = {e.feature for e in run_explanations(plan)["explain.rule"]}
    scores = read_rows(plan.places("score"), "scores")
    assert explained
    for control in (Control.NONE, Control.RANDOM_EXPLANATION, Control.SHUFFLED_EXPLANATION):
        assert {row["feature"] for row in scores if row["control"] == control} == {
            f.index for f in explained
        }


def test_controls_are_the_scores_that_other_features_explanations_get(small_run):
    plan = read_run(small_run / "out")
    explanations = run_explanations(plan)["explain.rule"]
    scorer, given = Execution(resamples=50), set[FeatureId]()
    told = {
        (row["control"], row["feature"]): str([e["value"] for e in row["estimates"]])
        for row in read_rows(plan.places("score"), "scores")
    }
    alone = 0
    for shard in range(plan.shards):
        for examples in shard_examples(plan, shard):
            index = examples.feature.index
            if (Control.NONE, index) not in told:
                continue  # it has no explanation
            evidence = Evidence(examples, plan.corpus, plan.activations.feature(index))
            by_values: dict[str, list[FeatureId]] = {}
            for each in explanations:
                rng = np.random.default_rng(0)
                [score] = NoClient().run([scorer.score(each, evidence, rng)])
                values = str([one.value for one in score.estimates.values()])
                by_values.setdefault(values, []).append(each.feature)
            assert examples.feature in by_values[told[Control.NONE, index]]
            alone += by_values[told[Control.NONE, index]] == [examples.feature]
            for control in (Control.RANDOM_EXPLANATION, Control.SHUFFLED_EXPLANATION):
                owners = by_values[told[control, index]]
                assert owners != [examples.feature], control
                if control == Control.SHUFFLED_EXPLANATION and len(owners) == 1:
                    assert owners[0] not in given  # every explanation is given away once
                    given.update(owners)
    assert alone > len(explanations) / 2  # so that the values tell whose explanation it was


def test_every_treated_feature_is_an_explanation_or_a_failure_with_its_reason(small_run):
    plan = read_run(small_run / "out")
    explained = {e.feature.index for e in run_explanations(plan)["explain.rule"]}
    failed = {
        row["feature"] for row in read_rows([plan.place(stage) for stage in plan.keys], "failures")
    }
    assert explained | failed == {feature.index for feature in plan.features}
    assert not explained & {row["feature"] for row in read_rows([plan.place("sample")], "failures")}


def test_no_document_is_both_shown_and_held_out(small_run):
    plan = read_run(small_run / "out")
    for shard in range(plan.shards):
        for examples in shard_examples(plan, shard):
            shown = plan.corpus.documents_in_train[examples.train.documents]
            held_out = plan.corpus.documents_in_train[examples.held_out.documents]
            assert shown.all()
            assert not held_out.any()
            assert plan.corpus.in_split(Split.TRAIN)[examples.train.starts].all()


def test_a_finished_run_is_not_done_again(folder):
    (folder / "experiment.toml").write_text(SMALL)
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.parquet")}
    process = start(folder, "run", "experiment.toml")
    process.communicate(timeout=200)
    assert process.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.parquet")} == before


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(small_run, tmp_path, rng):
    (tmp_path / "experiment.toml").write_text(SMALL)
    for _ in range(4):
        process = start(tmp_path, "run", "experiment.toml")
        time.sleep(rng.uniform(0.3, 4.0))
        process.kill()
        process.communicate()
    process = start(tmp_path, "run", "experiment.toml")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert contents(tmp_path / "out") == contents(small_run / "out")


def test_other_settings_leave_old_results_alone_and_make_their_own(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "experiment.toml").write_text(
        SMALL + '\n[score]\nmethod = "execution"\nresamples = 50\n'
    )
    process = start(tmp_path, "score", "experiment.toml")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    after = contents(tmp_path / "out")
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"experiment.json"}
    assert any(name.startswith("score/") for name in set(after) - set(before))


def test_a_run_is_found_again_wherever_its_folder_is_now(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "elsewhere")
    for verb in (
        ["status", "elsewhere"],
        ["query", "elsewhere", "SELECT count(*) FROM scores"],
        ["browse", "elsewhere"],
    ):
        process = start(tmp_path, *verb)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert not re.search(r"│ no +│", out)


def test_an_empty_query_is_refused(small_run):
    process = start(small_run, "query", "out", "")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "there is no query" in err


def test_a_run_whose_tables_have_other_columns_is_refused_and_made_anew(small_run, tmp_path):
    shutil.copytree(small_run, tmp_path / "older")
    resolved = tmp_path / "older" / "out" / "experiment.json"
    written = read_sealed_json(resolved)
    del written["tables"]
    resolved.write_bytes(seal_json(written))
    with pytest.raises(BadInput, match="another version of gloss, whose tables have other columns"):
        read_run(resolved.parent)
    process = start(tmp_path / "older", "run", "experiment.toml")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err + out
    assert contents(resolved.parent) == contents(small_run / "out")
