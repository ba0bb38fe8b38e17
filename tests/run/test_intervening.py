"""Runs that change features inside the subject."""

import shutil
from pathlib import Path

import pytest
from small import SMALL, start

from gloss.errors import BadSettings
from gloss.records import Control, Split
from gloss.run.experiment import Experiment
from gloss.run.pipeline import plan_of
from gloss.run.plan import Plan
from gloss.run.restored import effects_of, examples_of

EFFECTS = "\n[intervene]\nkl = [0.33]\nprompts = 8\nshown_prompts = 4\ncompletions = 1\nnew_tokens = 2\n"
FEW = SMALL.replace("features = 12", "features = 3").replace("features_per_shard = 3", "features_per_shard = 2")


@pytest.fixture(scope="module")
def folder(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run whose features were changed too."""
    folder = tmp_path_factory.mktemp("changed")
    shutil.copytree(small_run / "out", folder / "out")
    (folder / "experiment.toml").write_text(FEW + EFFECTS)
    process = start(folder, "intervene", "experiment.toml")
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert "intervene: 3 features" in err
    return folder


def test_every_feature_with_contexts_has_effects_and_the_splits_share_no_document(folder: Path):
    plan = plan_of(folder / "out")
    for shard in range(plan.shards):
        effects = effects_of(plan, shard)
        assert effects.keys() == {examples.feature.index for examples in examples_of(plan, shard)}
        for found in effects.values():
            kinds = {(effect.split, effect.control) for effect in found}
            assert kinds == {(split, control) for split in Split for control in (Control.NONE, Control.RANDOM_DIRECTION)}


def test_they_are_read_in_sql_and_are_not_measured_again(folder: Path):
    before = {path: path.stat().st_mtime_ns for path in (folder / "out" / "intervene").rglob("*.parquet")}
    assert len(before) == 2
    process = start(folder, "intervene", "experiment.toml")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    process = start(folder, "query", "out", "SELECT split, control, avg(divergence.value) FROM effects GROUP BY ALL")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "random_direction" in out


def test_the_table_changes_no_key_of_what_does_not_read_effects():
    plain, changed = Plan(Experiment.of({})).keys, Plan(Experiment.of({"intervene": {}})).keys
    assert changed == plain | {"intervene": changed["intervene"]}
    assert Plan(Experiment.of({"intervene": {"kl": [3.0]}})).keys["intervene"] != changed["intervene"]


def test_a_list_of_numbers_is_told_from_a_list_of_texts():
    with pytest.raises(BadSettings, match=r"\[intervene\]\.kl must be a list of numbers, got \['a'\]; put them in brackets"):
        Experiment.of({"intervene": {"kl": ["a"]}})


def test_without_the_table_the_verb_says_what_to_add(tmp_path: Path):
    (tmp_path / "experiment.toml").write_text(SMALL)
    process = start(tmp_path, "intervene", "experiment.toml")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert err == "gloss: the experiment has no table [intervene]; add one, empty for the defaults\n"
