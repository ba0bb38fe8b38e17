"""A run in which the embedded subject reads texts that a process on loopback wrote."""

import shutil

import numpy as np
from small import SMALL, start

from gloss.run.pipeline import plan_of
from gloss.store.results import read
from models.servers import serve

WRITTEN = """
[explain]
method = "max_activating"

[score]
method = "generation"
texts = 8

[chat]
model = "m"
base_url = "{url}"
"""


def test_explanations_make_their_own_feature_fire_and_shuffled_ones_do_not(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "out")
    with serve(answer="reader") as server:
        (tmp_path / "experiment.toml").write_text(SMALL + WRITTEN.format(url=server.base_url))
        for verb in ("cost", "run"):
            process = start(tmp_path, verb, "experiment.toml")
            _, err = process.communicate(timeout=200)
            assert process.returncode == 0, err
            assert bool(server.requests()) == (verb == "run")
    plan = plan_of(tmp_path / "out")
    scores = read(plan.places("score"), "scores")
    above = {
        control: [
            {e["metric"]: e["value"] for e in row["estimates"]}["firing_above_contrast"]
            for row in scores
            if row["control"] == control
        ]
        for control in ("none", "shuffled_explanation")
    }
    assert max(above["none"]) > 0.7
    assert np.mean(above["none"]) > np.mean(above["shuffled_explanation"]) + 0.1
    assert {row["n"] for row in scores} == {8}
