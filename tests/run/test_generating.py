"""A run in which the embedded subject reads texts that a process on loopback wrote."""

import shutil

import numpy as np
from small import SMALL, start

from gloss.run.planning import read_run
from gloss.store.results import read_rows
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

# few words by themselves make a feature of a last layer fire
MORE = SMALL.replace("features = 12", "features = 80")


def test_explanations_make_their_own_feature_fire_and_shuffled_ones_do_not(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "out")
    with serve(answer="reader") as server:
        (tmp_path / "experiment.toml").write_text(MORE + WRITTEN.format(url=server.base_url))
        for verb in ("cost", "run"):
            only = ["--requests"] * (verb == "cost")
            process = start(tmp_path, verb, *only, "experiment.toml")
            _, err = process.communicate(timeout=200)
            assert process.returncode == 0, err
            assert bool(server.requests()) == (verb == "run")
    plan = read_run(tmp_path / "out")
    scores = read_rows(plan.places("score"), "scores")
    above = {
        control: {
            row["feature"]: {e["metric"]: e["value"] for e in row["estimates"]}[
                "firing_above_contrast"
            ]
            for row in scores
            if row["control"] == control
        }
        for control in ("none", "shuffled_explanation")
    }
    assert max(above["none"].values()) > 0.7
    both = above["none"].keys() & above["shuffled_explanation"].keys()
    differences = np.array(
        [above["none"][feature] - above["shuffled_explanation"][feature] for feature in both]
    )
    assert differences.mean() > 2 * differences.std(ddof=1) / np.sqrt(len(both))
    assert {row["n"] for row in scores} == {8}
