"""Runs whose features are near by what they read, or by where they fire: found once, kept, and used
by negatives.
"""

import json
import shutil
from pathlib import Path

import pytest
from small import SMALL, start

from gloss.errors import BadSettings
from gloss.records import Negative
from gloss.run.experiment import Experiment
from gloss.run.opened_run import shard_examples
from gloss.run.pipeline import run_until
from gloss.run.planning import plan_run, read_run
from gloss.run.reporting.setup import near_facts
from gloss.run.stages import neighbours
from gloss.run.stages.neighbours import search_by_encoder

NEAR = SMALL.replace(
    "[contexts]", '[neighbours]\nby = "{by}"\n\n[contexts]\nnegatives = "neighbours"'
)


def ran(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("by", ["encoder", "cooccurrence"])
def test_near_features_are_found_once_and_give_negatives(small_run, tmp_path, by):
    shutil.copytree(small_run / "out", tmp_path / "out")
    (tmp_path / "experiment.toml").write_text(NEAR.format(by=by))
    ran(tmp_path, "sample", "experiment.toml")
    plan = read_run(tmp_path / "out")
    assert set(plan.near) == {feature.index for feature in plan.features}
    written = [
        [near["feature"] for near in plan.described[feature.index]["neighbours"]]
        for feature in plan.features
    ]
    assert [
        [other for other, _ in plan.near[feature.index]] for feature in plan.features
    ] != written
    for feature in plan.features:
        closeness = [near.closeness for near in plan.neighbours(feature.index)]
        assert closeness == sorted(closeness, reverse=True)
        assert feature not in {near.feature for near in plan.neighbours(feature.index)}
        assert by == "encoder" or all(0 < each <= 1 for each in closeness)
    kinds = {
        int(q)
        for shard in range(plan.shards)
        for e in shard_examples(plan, shard)
        for q in e.inactive_held_out.quantiles
    }
    assert kinds == {int(Negative.NEIGHBOURS)}
    marker = plan.part("neighbours", 1).marker
    other = plan.part("neighbours", 0).marker.stat().st_mtime_ns
    before = json.loads(marker.read_text())
    marker.unlink()  # as if the run had been killed before this shard
    ran(tmp_path, "sample", "experiment.toml")
    assert json.loads(marker.read_text()) == before
    assert plan.part("neighbours", 0).marker.stat().st_mtime_ns == other
    assert "neighbours" in ran(
        tmp_path, "query", "out", "SELECT feature, neighbours[1].closeness FROM neighbours"
    )


def test_an_approximate_search_says_how_many_it_finds(small_run, tmp_path):
    pytest.importorskip("faiss", reason="faiss is not installed; pip install 'gloss-lm[wide]'")
    shutil.copytree(small_run / "out", tmp_path / "out")
    exact = read_run(tmp_path / "out")
    approximate = SMALL + '\n[neighbours]\nsearch = "approximate"\nrecall = 0.9\n'
    (tmp_path / "experiment.toml").write_text(approximate)
    ran(tmp_path, "sample", "experiment.toml")
    plan = read_run(tmp_path / "out")
    assert plan.keys["collect"] == exact.keys["collect"]
    assert plan.place("directions") != exact.place("directions")
    its = plan.part("directions", 0).note()["recall"]
    assert its["low"] < its["value"] <= its["high"] <= 1
    assert its["value"] > 0.85
    assert its["n"] == 500
    shares = [
        len({a for a, _ in plan.near[f.index]} & {a for a, _ in exact.near[f.index]}) / 10
        for f in plan.features
    ]
    assert sum(shares) / len(shares) > 0.8
    [fact] = near_facts(plan)
    assert "of the ten nearest; n = 500 features" in fact[1]


def test_an_approximate_search_without_its_library_is_refused_before_anything_is_done(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(neighbours, "find_spec", lambda _: None)
    tables = {"run": {"folder": str(tmp_path)}, "neighbours": {"search": "approximate"}}
    with pytest.raises(BadSettings, match=r"pip install 'gloss-lm\[wide\]', or take search"):
        run_until(Experiment.of(tables), "sample")
    assert not list(tmp_path.glob("*/*/*"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"search": "fast"}, "search must be exact or approximate, got 'fast'"),
        ({"recall": 0.0}, "recall must be above 0 and at most 1, got 0.0"),
    ],
)
def test_a_search_that_cannot_be_is_refused(settings, said):
    with pytest.raises(BadSettings, match=said):
        Experiment.of({"neighbours": settings})


def test_neurons_read_along_no_directions_of_a_dictionary(tmp_path):
    tables = {
        "run": {"folder": str(tmp_path)},
        "decompose": {"dictionary": "neurons", "site": "mlp_act.1"},
    }
    with pytest.raises(BadSettings, match="not Neurons; take by"):
        search_by_encoder(plan_run(Experiment.of(tables)))


def test_a_way_that_is_not_known_is_refused():
    with pytest.raises(
        BadSettings, match="by must be decoder, encoder or cooccurrence, got 'decoders'"
    ):
        Experiment.of({"neighbours": {"by": "decoders"}})
