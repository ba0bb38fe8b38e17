"""Runs beside a run: of a random dictionary and of a random subject, made once and told in the
report.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small import SMALL, start

from gloss.errors import BadInput, BadSettings
from gloss.records import Control, FeatureActivations
from gloss.run.commands.evaluate import Bench, EvaluationRequest, print_evaluation
from gloss.run.commands.evaluated_scores import run_scores
from gloss.run.control_runs import control_folder, started_controls, wanted_controls
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import read_run
from gloss.run.reporting.run_data import RunData, headline_values
from gloss.run.reporting.score_rows import NO_SCORES
from gloss.run.reporting.untrained_controls import peak_tokens, token_entropy
from gloss.run.sources import model_and_dictionary
from gloss.store.contexts import FixedWindows

CONTROLS = """
[controls]
random_dictionary = true
random_subject = true
features = 3
training_tokens = 8192
"""


@pytest.fixture(scope="module")
def controlled(small_run, tmp_path_factory) -> Path:
    """The small run with both controls."""
    folder = tmp_path_factory.mktemp("controlled")
    shutil.copytree(small_run / "out", folder / "out")
    (folder / "experiment.toml").write_text(SMALL + CONTROLS)
    out, err = start(folder, "run", "experiment.toml").communicate(timeout=280)
    assert "Controls without training" in out, err
    return folder / "out"


def test_controls_are_runs_of_their_own_on_the_same_texts(controlled):
    plan = read_run(controlled)
    runs = {name: read_run(folder) for name, folder in started_controls(plan)}
    assert list(runs) == ["random_dictionary", "random_subject"]
    for name, run in runs.items():
        assert len(run.features) == 3
        assert run.dictionary_name == name
        assert (run.corpus.tokens == plan.corpus.tokens).all()
        assert run.experiment.controls.features == 50
        assert wanted_controls(run) == ()
    made_from = {name: run.activations.manifest["made_from"] for name, run in runs.items()}
    assert (
        made_from["random_dictionary"]["subject"]
        == plan.activations.manifest["made_from"]["subject"]
    )
    assert (
        made_from["random_subject"]["subject"] != plan.activations.manifest["made_from"]["subject"]
    )


def test_the_random_dictionary_fires_as_often_feature_by_feature(controlled):
    plan = read_run(controlled)
    random = read_run(control_folder(plan, "random_dictionary"))
    mine, theirs = plan.activations.counts, random.activations.counts
    assert theirs.sum() == pytest.approx(mine.sum(), rel=0.02)
    assert np.corrcoef(mine, theirs)[0, 1] > 0.99


def test_the_random_subjects_dictionary_has_the_same_shape(controlled):
    plan = read_run(controlled)
    random = read_run(control_folder(plan, "random_subject"))
    assert random.activations.width == plan.activations.width
    assert random.activations.manifest["nonzeros"] / len(random.corpus) == pytest.approx(
        16, abs=0.5
    )


def test_controls_that_are_done_are_not_done_again_and_others_are_not_told(controlled, tmp_path):
    before = {
        path: path.stat().st_mtime_ns for path in (controlled / "controls").rglob("*.parquet")
    }
    process = start(controlled.parent, "run", "experiment.toml")
    process.communicate(timeout=280)
    assert process.returncode == 0
    assert {
        path: path.stat().st_mtime_ns for path in (controlled / "controls").rglob("*.parquet")
    } == before
    plan = read_run(controlled)
    tables = plan.experiment.tables()
    tables["controls"]["features"] = 4
    other = OpenedRun(Experiment.of(tables), tuple(plan.keys.items()))
    assert list(started_controls(other)) == []


def test_scores_stand_beside_those_of_the_controls(controlled, tmp_path):
    measures = ({"method": "interpretability"},)
    asked = EvaluationRequest(measures, random_subject=True, folder=tmp_path)
    print_evaluation(*model_and_dictionary(str(controlled)), asked)
    kept = json.loads((tmp_path / "evaluation.json").read_text())
    assert kept["dictionaries"][1:] == ["random dictionary", "on a random subject"]
    plan = read_run(controlled)
    runs = [plan, *(read_run(folder) for _, folder in started_controls(plan))]
    compared = 0
    for run, found in zip(runs, kept["measures"][0]["found"], strict=True):
        rows = {row["name"]: row for row in found["rows"] if row["of"] == "execution of rule"}
        scored = RunData(run).scores.get(("execution", "rule"), NO_SCORES)
        own = headline_values(scored, Control.NONE)
        assert rows["explained"]["n"] == RunData(run).examined
        share = len(own) / RunData(run).examined
        assert rows["explained"]["estimate"]["value"] == pytest.approx(share)
        if len(own) < 2:  # of a control's three features few are explained
            continue
        assert rows["median_f1"]["estimate"]["value"] == pytest.approx(np.median(own))
        assert rows["median_f1"]["n"] == len(own)
        assert rows["explained"]["n"] == rows["median_f1_of_all"]["n"]
        compared += 1
        chance = headline_values(scored, Control.SHUFFLED_EXPLANATION)
        if len(chance) > 1:
            row = rows["median_f1_by_shuffled_explanation"]
            assert row["estimate"]["value"] == pytest.approx(np.median(chance))
    assert compared


def test_what_no_run_has_scored_is_told(small_run):
    """The small run has no control of a random dictionary."""
    named = model_and_dictionary(str(small_run / "out"))
    bench = Bench(*named, EvaluationRequest(), small_run)
    own, random = bench.columns()
    assert run_scores(own.name, own.run).examined > 0
    with pytest.raises(BadInput, match=r"\[controls\] random_dictionary = true"):
        run_scores(random.name, random.run, random.control)
    with pytest.raises(BadInput, match="embedded is no run"):
        run_scores("embedded", None)


def test_weights_are_trained_or_random():
    with pytest.raises(BadSettings, match="weights must be 'trained' or 'random', got 'old'"):
        Experiment.of({"subject": {"weights": "old"}})


def test_peaks_are_one_a_context_the_strongest_first(controlled):
    corpus = read_run(controlled).corpus
    firing = FeatureActivations(
        np.array([1, 2, 40, 41, 70]), np.array([1.0, 2.0, 9.0, 3.0, 4.0], np.float32)
    )
    assert (corpus.offsets[1]) > 96
    assert (
        peak_tokens(corpus, FixedWindows(corpus, 32), firing).tolist()
        == corpus.tokens[[40, 70, 2]].tolist()
    )


def test_entropy_is_0_for_one_token_and_the_logarithm_of_their_number_for_different_ones():
    assert token_entropy(np.zeros(20, np.int64)) == 0
    assert token_entropy(np.arange(20)) == pytest.approx(np.log(20))
    assert token_entropy(np.array([1, 1, 2, 2])) == pytest.approx(np.log(2))
