"""A run stands for its subject and its dictionary, and RUN@FEATURE for a feature, in every verb
that takes a model, a dictionary or a feature.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from harmed import gloss as typed

import gloss
from gloss.errors import BadInput, BadSettings
from gloss.models.bundled import embedded_folder
from gloss.run.planning import read_run
from gloss.run.sources import (
    NamedDictionary,
    NamedModel,
    feature_and_prompts,
    model_and_dictionary,
    model_of_features,
    run_of_feature,
    split_feature,
)


def done(folder: Path, *words: object) -> str:
    code, said = typed(folder, *map(str, words))
    assert code == 0, said
    return said


def feature(run: Path) -> str:
    return str(read_run(run).features[0].index)


@pytest.fixture(scope="session")
def run(small_run) -> Path:
    return small_run / "out"


def test_steering_a_runs_feature_is_steering_its_dictionary_in_its_model(run, tmp_path):
    index, how = feature(run), ("def main(", "--strength", "40", "--tokens", "3")
    told = done(tmp_path, "steer", f"{run}@{index}", *how)
    assert told == done(tmp_path, "steer", "embedded", "embedded", index, *how)
    assert f"add feature {index} at resid_post.2" in " ".join(told.split())


def test_a_run_is_checked_by_its_name_alone(run, tmp_path):
    (tmp_path / "text.txt").write_text("def f(x):\n    return x\n" * 30)
    how = ("--tokens", "200", "--texts", "text.txt")
    said = [done(tmp_path, "check", *words, *how) for words in ((run,), ("embedded", "embedded"))]
    title, _, table = said[0].partition("\u250f")
    assert table == said[1].partition("\u250f")[2]
    assert "at resid_post.2 of embedded" in " ".join(title.split())


def test_a_run_shares_every_feature_with_its_own_dictionary(run, tmp_path):
    said = done(tmp_path, "compare", run, "embedded").splitlines()
    shares = [line.split("│")[4].split()[0] for line in said if "≥" in line]
    assert shares == ["1.000"] * 3


def test_the_folder_of_a_training_inside_a_run_stands_for_what_was_trained_there(tmp_path):
    folder = tmp_path / "run" / "decompose" / "0123456789ab"
    shutil.copytree(embedded_folder("dictionary"), folder / "dictionary")
    assert NamedDictionary.of(str(folder)).folder == folder
    (tmp_path / "run" / "experiment.json").touch()
    assert NamedDictionary.of(str(folder)).folder == folder / "dictionary"


def test_a_runs_feature_is_asked_about_in_the_runs_own_model(run, tmp_path):
    prompt = "def f(x):"
    how = ("--prompt", prompt, "--folder", "kept")
    model, dictionary = gloss.load_model(), gloss.load_dictionary()
    rows = torch.tensor([[model.start_token, *model.encode(prompt)]])
    codes = dictionary.encode(model.run(rows, [dictionary.reads]).activations[dictionary.reads][0])
    index = int(codes.indices[-1, codes.values[-1].argmax()])  # it fires at the prompt's end
    found = []
    for words in ((), ("--model", run)):
        source = run if not words else "embedded"
        done(tmp_path, "attribute", "--feature", f"{source}@{index}", *words, *how)
    for record in (tmp_path / "kept").glob("auto-*.json"):
        found.append(json.loads(record.read_text()))
    assert len(found) == 2
    assert found[0]["coefficients"] == found[1]["coefficients"]
    assert f"activation of feature {index}" in found[0]["value"]


def test_status_says_where_the_dictionary_lies(run, tmp_path):
    said = done(tmp_path, "status", run).replace("\n", "")
    assert f"the dictionary lies in {NamedDictionary.of('embedded').folder}" in said


def test_a_feature_of_a_run_is_steered_from_python(run):
    index = int(feature(run))
    by_run = gloss.steer(gloss.open(run)[index], "def f(", strength=40.0, new_tokens=3)
    model, dictionary = gloss.load_model(run), gloss.load_dictionary()
    by_parts = gloss.steer(model, dictionary, index, "def f(", strength=40.0, new_tokens=3)
    assert by_run.kl == by_parts.kl
    assert by_run.completions == by_parts.completions
    with pytest.raises(BadSettings, match="steer takes a feature of a run and prompts"):
        gloss.steer("embedded", "embedded")


def test_settings_of_a_run_hold_unless_others_are_given(run):
    own = NamedModel.of(str(run))
    assert own.settings.dtype == "float32"  # as the run recorded it
    assert NamedModel.of(str(run), dtype="bfloat16").settings.dtype == "bfloat16"
    assert own.content == NamedModel.of("embedded", dtype="float32").content
    assert own.content != NamedModel.of(str(run), dtype="bfloat16").content


@pytest.mark.parametrize(
    ("words", "index", "prompts"),
    [
        (["RUN@7"], 7, []),
        (["RUN@7", "8", "9"], 7, ["8", "9"]),  # prompts, which may be digits
        (["RUN", "7", "a"], 7, ["a"]),
        (["RUN", "RUN", "7", "a"], 7, ["a"]),
        (["RUN", "embedded@7", "a@3"], 7, ["a@3"]),
        (["embedded", "embedded", "7", "a", "b"], 7, ["a", "b"]),
        (["embedded", "RUN@7", "a"], 7, ["a"]),
    ],
)
def test_words_name_a_feature_and_what_to_go_on_from(run, words, index, prompts):
    source, rest = feature_and_prompts([word.replace("RUN", str(run)) for word in words])
    assert (source.index, rest) == (index, prompts)
    assert (source.model.run is not None) == words[0].startswith("RUN")


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ([], BadSettings, "no feature to change"),
        (["embedded"], BadSettings, "no feature to change"),
        (["embedded", "embedded", "prompt"], BadSettings, "no feature to change"),
        (["nothing@3", "def f("], BadInput, "nothing holds no run"),
        (["embedded", "embedded", "9" * 5000], BadSettings, "no feature to change"),
    ],
)
def test_words_without_a_feature_are_refused_by_what_to_give(words, kind, said):
    with pytest.raises(kind, match=said):
        feature_and_prompts(words)


def test_what_is_no_run_is_named():
    assert (split_feature("a@b@3"), split_feature("a@"), split_feature("3")) == (
        ("a@b", 3),
        None,
        None,
    )
    assert run_of_feature("embedded@3,4") == ""
    with pytest.raises(BadSettings, match="embedded is no run, so a dictionary is needed"):
        model_and_dictionary("embedded")


def test_features_are_of_the_model_that_is_named_or_of_their_run_or_of_the_embedded_one(run):
    assert model_of_features("mine", f"{run}@3") == "mine"
    assert model_of_features("", "", f"{run}@3,17") == str(run)
    assert model_of_features("", "embedded@3", "") == model_of_features("") == "embedded"
    found = gloss.attribute("def f(", features=f"{run}@3,7", method="exact")
    assert found.question.model == str(run)
