"""Runs that change features inside the subject."""

from pathlib import Path

import pytest
from small import SMALL, start

import gloss
from gloss.errors import BadSettings
from gloss.records import Control, Split
from gloss.run.experiment import Experiment
from gloss.run.opened_run import shard_effects, shard_examples
from gloss.run.planning import plan_run, read_run
from gloss.store.results import read_rows

FEW = """
[run]
folder = "out"
features = 2
features_per_shard = 1
minimum_activations = 60
processes = 1

[collect]
max_tokens = 6000

[contexts]
train = 20
inactive_train = 20
minimum = 2

[intervene]
kl = [1.0]
prompts = 8
train_prompts = 4
completions = 1
new_tokens = 2

[explain]
method = "token_change"

[score]
method = "intervention_tokens"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose features are explained and scored by what they make the subject say."""
    folder = tmp_path_factory.mktemp("changed")
    (folder / "experiment.toml").write_text(FEW)
    process = start(folder, "run", "experiment.toml")
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert "intervene: 2 features" in err
    return folder


def test_every_feature_with_contexts_has_effects_and_the_splits_share_no_document(folder: Path):
    plan = read_run(folder / "out")
    for shard in range(plan.shards):
        effects = shard_effects(plan, shard)
        assert effects.keys() == {
            examples.feature.index for examples in shard_examples(plan, shard)
        }
        for found in effects.values():
            kinds = {(effect.split, effect.control) for effect in found}
            assert kinds == {
                (split, control)
                for split in Split
                for control in (Control.NONE, Control.RANDOM_DIRECTION)
            }


def test_explanations_by_what_rises_are_scored_and_every_effect_is_on_its_page(folder: Path):
    plan = read_run(folder / "out")
    explained = {row["feature"] for row in read_rows(plan.places("explain"), "explanations")}
    assert explained
    scored = [
        row for row in read_rows(plan.places("score"), "scores") if row["control"] == Control.NONE
    ]
    assert {row["feature"] for row in scored} == explained
    pages = [page.read_text() for page in (folder / "out" / "page").rglob("features/*/*.html")]
    assert all('<section class="effects">' in page for page in pages)


def test_python_explains_and_scores_by_the_effects_that_the_run_measured(folder: Path):
    run = gloss.open(folder / "out")
    explained = [feature for feature in run if feature.explanation]
    assert explained
    for feature in explained:
        assert gloss.explain(feature, "token_change") == feature.explanation
        found = gloss.score(feature, method="intervention_tokens")
        (stored,) = feature.scores
        assert (found.headline, found.n) == (stored["headline"], stored["n"])
        assert found.estimates[found.headline].value == stored["value"]


def test_they_are_read_in_sql_and_are_not_measured_again(folder: Path):
    before = {
        path: path.stat().st_mtime_ns for path in (folder / "out" / "intervene").rglob("*.parquet")
    }
    assert len(before) == 2
    process = start(folder, "intervene", "experiment.toml")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    process = start(
        folder,
        "query",
        "out",
        "SELECT split, control, avg(kl.value) FROM effects GROUP BY ALL",
    )
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "random_direction" in out


def test_the_table_changes_no_key_of_what_does_not_read_effects():
    plain, changed = (
        plan_run(Experiment.of({})).keys,
        plan_run(Experiment.of({"intervene": {}})).keys,
    )
    assert changed == plain | {"intervene": changed["intervene"]}
    assert (
        plan_run(Experiment.of({"intervene": {"kl": [3.0]}})).keys["intervene"]
        != changed["intervene"]
    )


def test_a_list_of_numbers_is_told_from_a_list_of_texts():
    with pytest.raises(
        BadSettings,
        match=r"\[intervene\]\.kl must be a list of numbers, got \['a'\]; put them in brackets",
    ):
        Experiment.of({"intervene": {"kl": ["a"]}})


def test_without_the_table_the_verb_says_what_to_add(tmp_path: Path):
    (tmp_path / "experiment.toml").write_text(SMALL)
    process = start(tmp_path, "intervene", "experiment.toml")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert (
        err == "gloss: the experiment has no table [intervene]; add one, empty for the defaults\n"
    )
