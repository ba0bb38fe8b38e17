"""Keys: the same for the same inputs, another for any other."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pyarrow as pa
import pytest

from gloss.attribute.question import AttributionQuestion
from gloss.models.pretrained.hub import hub_snapshot
from gloss.run.commands.attribute import question_content_hashes
from gloss.run.experiment import Experiment
from gloss.run.keys import (
    code_hash,
    deep_code_hash,
    fingerprint,
    imported_sources,
    model_hash,
    result_key,
    source_hash,
)
from gloss.run.planning import plan_run
from gloss.run.stages.decompose import DecomposeStage
from gloss.run.stages.explain import ExplainStage
from gloss.run.stages.score import ScoreStage


def test_a_key_changes_with_every_part():
    assert result_key("a", 1) == result_key("a", 1)
    assert len({result_key("a", 1), result_key("a", 2), result_key("b", 1), result_key("a")}) == 4


def test_a_fingerprint_follows_content_and_names_not_places(tmp_path):
    for folder, name, text in (("a", "x", "1"), ("b", "x", "1"), ("c", "x", "2"), ("d", "y", "1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    a, b, c, d = (fingerprint(tmp_path / folder) for folder in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_a_large_file_counts_with_its_middle_and_a_device_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    large = tmp_path / "model" / "weights"
    large.parent.mkdir()
    with large.open("wb") as file:
        file.truncate(70 * 2**20)
    before = fingerprint(large.parent)
    with large.open("r+b") as file:
        file.seek(35 * 2**20)
        file.write(b"\1")
    assert fingerprint(large.parent) != before
    assert fingerprint(Path("/dev/zero")) != fingerprint(Path("/dev/null"))


def test_another_setting_gives_new_keys_to_its_stage_and_those_after_it_alone():
    first = plan_run(Experiment.of({})).keys
    other = plan_run(Experiment.of({"sample": {"method": "top"}})).keys
    after = {"explain.rule", "score.execution", "collisions"}
    assert {stage for stage in first if stage in other and first[stage] != other[stage]} == after
    assert first.keys() ^ other.keys() == {"sample.quantiles", "sample.top"}
    seeded = plan_run(Experiment.of({"score": {"method": "execution", "resamples": 77}})).keys
    assert {stage for stage in first if first[stage] != seeded[stage]} == {"score.execution"}


def test_what_a_model_is_asked_with_enters_the_keys_of_methods_that_ask_alone():
    explain = [{"method": "rule"}, {"method": "max_activating"}]
    first = plan_run(Experiment.of({"explain": explain, "chat": {"model": "m"}})).keys
    other = plan_run(
        Experiment.of({"explain": explain, "chat": {"model": "m", "extra": {"temperature": 1}}})
    ).keys
    assert first["explain.rule"] == other["explain.rule"]
    assert first["explain.max_activating"] != other["explain.max_activating"]


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder with what counts as a model here, in a home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "odd#name"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "model.safetensors", "any.thing"]
)
@pytest.mark.parametrize("name", ["{0}", "~/odd#name"])
def test_every_file_of_a_model_counts_however_its_folder_is_named(model, file, name):
    name = name.format(model)
    before = (
        model_hash(name),
        plan_run(Experiment.of({"subject": {"model": name}})).keys["decompose"],
        question_content_hashes(AttributionQuestion(name, "a")),
    )
    (model / file).write_text("another")
    after = (
        model_hash(name),
        plan_run(Experiment.of({"subject": {"model": name}})).keys["decompose"],
        question_content_hashes(AttributionQuestion(name, "a")),
    )
    assert not set(before[:2]) & set(after[:2])
    assert before[2] != after[2]


def test_what_lies_in_folders_of_a_model_is_not_read_and_does_not_count(model):
    before = model_hash(str(model))
    (model / "runs").mkdir()
    (model / "runs" / "results").write_text("1")
    assert model_hash(str(model)) == before


def test_a_source_of_rows_counts_by_its_file_also_where_a_hash_is_in_its_name(tmp_path):
    for name, source in (("rows.csv", "rows.csv#text"), ("a#b.txt", "a#b.txt")):
        (tmp_path / name).write_text("one")
        before = source_hash(str(tmp_path / source))
        (tmp_path / name).write_text("two")
        assert source_hash(str(tmp_path / source)) != before


def test_a_model_of_the_hub_counts_by_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--some--model"
    for commit in ("a" * 40, "b" * 40):
        (repository / "snapshots" / commit).mkdir(parents=True)
    main = repository / "refs" / "main"
    main.parent.mkdir()
    keys = []
    for commit in ("a" * 40, "b" * 40, "a" * 40):
        main.write_text(commit)
        hub_snapshot.cache_clear()
        assert model_hash("some/model") == commit
        keys.append(plan_run(Experiment.of({"subject": {"model": "some/model"}})).keys["decompose"])
    assert keys[0] == keys[2] != keys[1]
    assert model_hash("some/model", "b" * 40) == "b" * 40
    hub_snapshot.cache_clear()


def test_tables_with_other_columns_are_other_results(monkeypatch):
    before = plan_run(Experiment.of({})).keys
    for stage, renewed in {
        DecomposeStage: list(before),
        ExplainStage: ["explain.rule", "score.execution", "collisions"],
        ScoreStage: ["score.execution"],
    }.items():
        with monkeypatch.context() as patched:
            patched.setattr(stage, "tables", {**stage.tables, "more": pa.schema([])})
            after = plan_run(Experiment.of({})).keys
        assert [name for name in before if before[name] != after[name]] == renewed


def test_the_order_of_settings_in_a_table_is_nothing_that_a_result_depends_on():
    one, other = {"resamples": 7, "method": "execution"}, {"method": "execution", "resamples": 7}
    assert result_key(one) == result_key(other)
    asked = [plan_run(Experiment.of({"score": table})).keys for table in (one, other)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    "file, counts",
    [
        ("toy/method.py", True),
        ("toy/inner/more.py", True),
        ("toy/prompts.yaml", True),
        ("toy/notes.txt", False),
        ("lone.py", False),
    ],
)
def test_a_strangers_method_counts_by_all_sources_and_prompts_of_its_package(
    tmp_path, monkeypatch, file, counts
):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("toy/__init__.py", "toy/inner/__init__.py", file):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("")
    point = EntryPoint("toy", "toy.method:Method", "gloss.score")
    before = code_hash(point)
    (tmp_path / file).write_text("more = 1")
    assert (code_hash(point) != before) == counts


def test_a_method_in_one_module_counts_by_it_and_gloss_own_by_the_version(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "lone_method.py").write_text("")
    point = EntryPoint("lone", "lone_method:Method", "gloss.score")
    before = code_hash(point)
    assert before != code_hash(EntryPoint("lone", "no_such_module:Method", "gloss.score"))
    (tmp_path / "lone_method.py").write_text("more = 1")
    assert code_hash(point) != before
    assert code_hash(EntryPoint("rule", "gloss.explain.rule:Rule", "gloss.explain")) == ""


def test_the_sources_of_a_module_are_what_it_imports_however_far(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "deep/__init__.py": "import deep.unrelated",
        "deep/method.py": "import os\nfrom deep.inner import helper\nfrom deep.law import LAW",
        "deep/inner/__init__.py": "",
        "deep/inner/helper.py": "def later():\n    import deep.late",
        "deep/late.py": "import deep.method",
        "deep/law.py": "LAW = 1",
        "deep/unrelated.py": "raise ValueError('is not run')",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    found = [file.relative_to(tmp_path / "deep") for file in imported_sources("deep.method")]
    assert found[0] == Path("method.py")
    assert {*map(str, found)} == {
        *("method.py", "inner/__init__.py", "inner/helper.py", "late.py", "law.py")
    }


def test_a_method_of_gloss_counts_deeply_by_what_it_imports_and_a_strangers_by_its_package(
    tmp_path, monkeypatch
):
    own = EntryPoint("core", "gloss.evaluate.core:Core", "gloss.evaluate")
    assert deep_code_hash(own) != deep_code_hash(
        EntryPoint("control", "gloss.evaluate.control:Control", "gloss.evaluate")
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "strange_measure.py").write_text("")
    strange = EntryPoint("strange", "strange_measure:Measure", "gloss.evaluate")
    assert deep_code_hash(strange) == code_hash(strange)
