"""Runs of labels and ratings that were made elsewhere, and `gloss import`."""

import json
import shutil

import pytest
from small import SMALL, ran

import gloss
from gloss.errors import BadSettings
from gloss.run.planning import plan_run, read_run
from gloss.store.results import read_rows

GIVEN = """
[[explain]]
method = "given"
path = "labels.csv"

[[score]]
method = "execution"

[[score]]
method = "given"
path = "ratings.csv"
"""


@pytest.fixture
def labelled(small_run, tmp_path):
    """A folder with labels of six features of the small run, of which the third is no rule, and
    ratings of two.
    """
    shutil.copytree(small_run / "out", tmp_path / "out")
    rows = read_rows(read_run(tmp_path / "out").places("explain"), "explanations")[:6]
    lines = ["feature,text,rule"]
    for number, row in enumerate(rows):
        rule = row["rule"].replace('"', '""')
        lines.append(f'{row["feature"]},"words {number}",' + (f'"{rule}"' if number != 2 else ""))
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    first, second = (row["feature"] for row in rows[:2])
    (tmp_path / "ratings.csv").write_text(f"feature,value\n{first},4\n{first},2\n{second},5\n,3\n")
    features = [row["feature"] for row in rows]
    text = SMALL.replace("features = 12", f"features = {features}") + GIVEN
    (tmp_path / "experiment.toml").write_text(text)
    return tmp_path, rows


def test_labels_of_a_file_are_explained_scored_and_rated(labelled):
    folder, rows = labelled
    status, _, err = ran(folder, "run", "experiment.toml")
    assert status == 0, err
    run = read_run(folder / "out")
    assert [feature.index for feature in run.features] == sorted(row["feature"] for row in rows)
    said = {row["feature"]: row for row in read_rows(run.places("explain"), "explanations")}
    assert said[rows[0]["feature"]]["rule"] == rows[0]["rule"]
    assert said[rows[0]["feature"]]["text"] == "words 0"
    assert said[rows[2]["feature"]]["rule"] is None
    scores = read_rows(run.places("score"), "scores")
    executed = {row["feature"] for row in scores if row["method"] == "execution"}
    assert rows[0]["feature"] in executed
    assert rows[2]["feature"] not in {
        row["feature"]
        for row in scores
        if row["method"] == "execution" and row["control"] == "none"
    }
    rated = {row["feature"]: row for row in scores if row["method"] == "given"}
    assert {index: (row["value"], row["n"], row["control"]) for index, row in rated.items()} == {
        rows[0]["feature"]: (3.0, 2, "none"),
        rows[1]["feature"]: (5.0, 1, "none"),
    }
    assert rated[rows[0]["feature"]]["low"] < 3 < rated[rows[0]["feature"]]["high"]
    assert rated[rows[1]["feature"]]["low"] != rated[rows[1]["feature"]]["low"]  # one rater


def test_another_label_explains_anew_and_nothing_else_is_done_again(labelled, monkeypatch):
    folder, _ = labelled
    monkeypatch.chdir(folder)
    asked = gloss.Experiment.read(folder / "experiment.toml")
    before = plan_run(asked).keys
    labels = folder / "labels.csv"
    labels.write_text(labels.read_text() + "\n9,one more,")
    after = plan_run(asked).keys
    changed = {step for step in before if before[step] != after[step]}
    assert changed >= {"explain.given", "score.execution", "score.given"}
    assert not changed & {"decompose", "collect", "sample"}


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"explain": {"method": "given"}}, "reads a file; name it, as in path = "),
        ({"run": {"features": []}}, "lists no feature"),
        ({"run": {"features": [1, -2]}}, "features is -2; give 0 or more"),
        ({"run": {"features": [1.5]}}, "features must be a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(tables, said):
    with pytest.raises(BadSettings, match=said):
        gloss.Experiment.of(tables)


def test_a_file_without_labels_and_a_feature_beyond_the_dictionary_end_a_run_before_it_begins(
    labelled,
):
    folder, _ = labelled
    text = (folder / "experiment.toml").read_text()
    (folder / "experiment.toml").write_text(text.replace("labels.csv", "nothing.csv"))
    status, _, err = ran(folder, "run", "experiment.toml")
    assert (status, err.count("\n")) == (2, 1)
    assert "nothing.csv is not there" in err
    (folder / "experiment.toml").write_text(text.replace("features = [", "features = [99999, "))
    status, _, err = ran(folder, "run", "experiment.toml")
    assert status == 2
    assert "[run].features lists 99999" in err


def test_import_says_what_it_read_and_writes_it_in_another_layout(tmp_path):
    delphi = tmp_path / "explanations"
    delphi.mkdir()
    for index in range(3):
        (delphi / f"layers.5_latent{index}.txt").write_text(json.dumps(f"words [{index}]"))
    (delphi / "layers.5_latent9.txt").write_text('""')
    status, out, err = ran(tmp_path, "import", "explanations", "--out", "l.parquet")
    assert status == 0, err
    assert "files: 4 of delphi" in out
    assert "labels: 3 of 3 features" in out
    assert "1 row passed over: 1 no text" in out
    assert "words [0]" in out
    status, out, err = ran(
        tmp_path, "import", "l.parquet", "--as", "neuronpedia", "--out", "n.jsonl"
    )
    assert status == 0, err
    rows = [json.loads(line) for line in (tmp_path / "n.jsonl").read_text().splitlines()]
    assert [(row["layer"], row["index"]) for row in rows] == [
        ("layers.5", str(i)) for i in range(3)
    ]
    status, _, err = ran(tmp_path, "import", "l.parquet", "--layer", "layers.6")
    assert status == 2
    assert "did you mean 'layers.5'" in err
