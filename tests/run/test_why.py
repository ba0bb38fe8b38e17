"""Runs that say why features fire."""

import math
import shutil
from pathlib import Path

import pytest
from small import SMALL, start

from gloss.errors import BadSettings
from gloss.run.experiment import Experiment
from gloss.run.opened_run import shard_examples, shard_token_attributions
from gloss.run.planning import plan_run, read_run

WHY = "\n[attribute]\ncontexts = 1\ntokens = 4\nreplacement_tokens = 1\n"
FEW = SMALL.replace("features = 12", "features = 3").replace(
    "features_per_shard = 3", "features_per_shard = 2"
)


@pytest.fixture(scope="module")
def folder(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that says why its features fire."""
    folder = tmp_path_factory.mktemp("reasons")
    shutil.copytree(small_run / "out", folder / "out")
    (folder / "experiment.toml").write_text(FEW + WHY)
    process = start(folder, "explain", "experiment.toml")
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert "attribute: 3 features" in err
    return folder


def test_all_tokens_kept_give_the_activation_that_was_collected(folder: Path):
    plan = read_run(folder / "out")
    for shard in range(plan.shards):
        reasons = shard_token_attributions(plan, shard)
        examples = {found.feature.index: found for found in shard_examples(plan, shard)}
        assert reasons.keys() == examples.keys()
        for index, (found,) in reasons.items():
            assert found.n == 2 ** len(found.players) == 16
            assert found.peak - found.context == examples[index].train.activations[0].argmax()
            if found.share > 0.99:
                whole = math.fsum(found.values.values())
                assert whole == pytest.approx(float(examples[index].train.maxima.max()), rel=0.25)


def test_a_run_that_was_killed_repeats_nothing_that_was_done(folder: Path):
    files = sorted((folder / "out" / "attribute").rglob("*.parquet"))
    assert len(files) == 2
    before = files[0].stat().st_mtime_ns, files[1].read_bytes()
    files[1].unlink()
    next((folder / "out" / "attribute").glob("*/part-00001.done")).unlink()
    process = start(folder, "run", "experiment.toml")
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert (files[0].stat().st_mtime_ns, files[1].read_bytes()) == before
    pages = [page.read_text() for page in (folder / "out" / "page" / "features").rglob("*.html")]
    assert sum("What drives it" in page for page in pages) == 3
    process = start(
        folder,
        "query",
        "out",
        "SELECT len(offsets) AS players, count(*) FROM token_attributions GROUP BY ALL",
    )
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "players" in out


def test_the_table_changes_the_keys_of_rules_and_of_what_follows_alone():
    plain, asked = plan_run(Experiment.of({})).keys, plan_run(Experiment.of({"attribute": {}})).keys
    assert {stage for stage in asked if asked[stage] != plain.get(stage)} == {
        "attribute",
        "explain.rule",
        "score.execution",
        "collisions",
    }
    assert (
        plan_run(Experiment.of({"attribute": {"tokens": 3}})).keys["attribute"]
        != asked["attribute"]
    )


def test_more_tokens_than_masks_can_be_read_for_are_refused():
    with pytest.raises(
        BadSettings, match=r"tokens must be from 1 to 10, as all 2\^tokens masks are read; got 30"
    ):
        Experiment.of({"attribute": {"tokens": 30}})
