"""What each stage's key depends on: every setting, file, prompt and version that the stage reads,
and nothing that it does not read.

The tables below say who reads what; a setting that they do not name fails a test here.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import MISSING, fields
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import gloss
from gloss.attribute.methods.token_attribution import TokenAttributionSettings
from gloss.errors import BadSettings
from gloss.intervene.settings import InterventionSettings
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import prompt_source
from gloss.models.local_chat import LocalChat
from gloss.run.experiment import Experiment
from gloss.run.plan import RESOLVED
from gloss.run.planning import plan_run
from gloss.sample.examples import SamplingSettings
from gloss.store.sealed_json import seal_json

EXPLAINERS = (
    "active",
    "best_of",
    "contrastive",
    "given",
    "input_output",
    "max_activating",
    "repair",
    "route",
    "rule",
    "token_change",
    "vocabulary_projection",
)
SCORES = (
    "detection",
    "discrimination",
    "embedding",
    "example_embedding",
    "execution",
    "fuzzing",
    "generation",
    "generation_by_rule",
    "given",
    "intervention",
    "intervention_tokens",
    "intruder",
    "next_token",
    "simulation",
    "simulation_by_token",
    "simulation_json",
    "surprisal",
)
JUDGES = ("detection", "fuzzing")  # whose errors are measured, and whose packing is open

SAMPLED = ("sample", "sample.quantiles")
# what speaks of what the subject says, and what tests that
OF_BOTH = ("input_output", "route")
OF_OUTPUTS = (*OF_BOTH, "token_change", "vocabulary_projection")
TESTS_OUTPUTS = ("given", "intervention", "intervention_tokens", "next_token")
# which score features themselves
OF_FEATURES = ("example_embedding", "intruder")


def scored(score: str) -> tuple[str, ...]:
    """The steps of the explainers whose explanations a score is given."""
    outputs = OF_OUTPUTS if score in TESTS_OUTPUTS else OF_BOTH
    inputs = [name for name in EXPLAINERS if name not in OF_OUTPUTS]
    wanted = {*outputs, *(inputs if score not in TESTS_OUTPUTS or score == "given" else ())}
    named = [] if score in OF_FEATURES else [name for name in EXPLAINERS if name in wanted]
    return (*SAMPLED, *(f"explain.{name}" for name in named))


# The stages whose results each stage reads.
BEFORE = {
    "decompose": (),
    "collect": ("decompose",),
    "directions": ("collect",),
    "neighbours": ("collect",),
    "embeddings": (),
    "sample": ("collect", "directions", "neighbours", "embeddings"),
    "sample.quantiles": ("collect",),
    "intervene": SAMPLED,
    "attribute": SAMPLED,
    **{f"packing.{name}": ("collect",) for name in JUDGES},
    **{f"judge.{name}": ("collect", f"packing.{name}") for name in JUDGES},
    **{f"explain.{name}": SAMPLED for name in EXPLAINERS},
    "explain.active": (*SAMPLED, "packing.detection"),
    "explain.best_of": (*SAMPLED, "packing.detection"),
    "explain.repair": (*SAMPLED, "packing.detection"),
    "explain.input_output": (*SAMPLED, "intervene"),
    "explain.token_change": (*SAMPLED, "intervene"),
    "explain.rule": (*SAMPLED, "attribute"),
    "explain.route": (*SAMPLED, "attribute", "packing.detection"),
    **{f"score.{name}": scored(name) for name in SCORES},
    "collisions": tuple(f"explain.{each}" for each in EXPLAINERS),
}
for judge in JUDGES:
    BEFORE[f"score.{judge}"] += (f"judge.{judge}", f"packing.{judge}")
for reader in ("intervention", "intervention_tokens"):
    BEFORE[f"score.{reader}"] += ("intervene",)

FIRST = ("decompose", "embeddings")
TEXT = ("collect", "embeddings")
DRAWS_FEATURES = ("directions", "neighbours", *SAMPLED)
JUDGED = tuple(f"judge.{name}" for name in JUDGES)
PACKED = tuple(f"packing.{name}" for name in JUDGES)
ASKING = (
    *PACKED,
    *JUDGED,
    *(f"explain.{name}" for name in ("active", "best_of", "contrastive", "input_output")),
    *(f"explain.{name}" for name in ("max_activating", "repair", "route")),
    *(
        f"score.{name}"
        for name in SCORES
        if name
        not in (
            "embedding",
            "example_embedding",
            "execution",
            "generation_by_rule",
            "given",
            "intervention_tokens",
            "next_token",
        )
    ),
    "collisions",
)
NOBODY = ()
# who is asked by a method that by itself asks nobody
ASKED = {
    "active": {"explainer": "max_activating", "scorer": "detection"},
    "route": {"words": "max_activating", "words_scorer": "detection"},
}

# The stages that read each setting of each table, besides those that read what these make.
READERS = {
    "run": {
        "folder": NOBODY,
        "processes": NOBODY,
        "executor": NOBODY,
        "seed": FIRST,
        "features": DRAWS_FEATURES,
        "minimum_activations": DRAWS_FEATURES,
        "features_per_shard": DRAWS_FEATURES,
    },
    "subject": dict.fromkeys(
        (
            "model",
            "revision",
            "device",
            "device_map",
            "dtype",
            "adapter",
            "start_token",
            "weights",
            "other",
        ),
        FIRST,
    ),
    "collect": dict.fromkeys(
        ("texts", "column", "split", "context_length", "max_tokens", "leave_out", "massive"), TEXT
    )
    | {"merge": TEXT}
    | dict.fromkeys(("batch_tokens", "shard_tokens"), ("collect",))
    # how much is kept of a corpus that is mined, which the one here is not
    | {"store": TEXT, "kept": NOBODY, "strongest": NOBODY, "background": NOBODY},
    "neighbours": dict.fromkeys(("by", "most_activations", "recall"), ("neighbours",))
    | {"search": ("directions", "neighbours")},
    "embeddings": dict.fromkeys(("model", "base_url", "most_windows"), ("embeddings",)),
    "contexts": {
        **{field.name: SAMPLED for field in fields(SamplingSettings)},
        "context_length": (*SAMPLED, "embeddings", *PACKED, *JUDGED),
        "held_out_sample": ("sample",),
    },
    "intervene": {field.name: ("intervene",) for field in fields(InterventionSettings)},
    "attribute": {field.name: ("attribute",) for field in fields(TokenAttributionSettings)},
    "collisions": dict.fromkeys(("by", "nearest", "trials", "contexts_each"), ("collisions",))
    | {"chat": NOBODY},
    "judge": {"calibration_items": JUDGED, "rules": JUDGED, "packing": PACKED},
    "browse": {"wrong": NOBODY, "packed_above": NOBODY},
    "controls": dict.fromkeys(
        ("random_dictionary", "random_subject", "features", "training_tokens"), NOBODY
    ),
}
# Who reads the settings of [chat], for each backend.
CHAT_READERS = {
    "endpoint": {
        **{field.name: NOBODY for field in fields(Chat)},
        "weights": NOBODY,
        **dict.fromkeys(
            ("model", "base_url", "serve", "extra", "answer_tokens", "thinking_tokens"), ASKING
        ),
    },
    "transformers": {
        **{field.name: NOBODY for field in fields(LocalChat)},
        **dict.fromkeys(("model", "revision", "dtype", "answer_tokens", "thinking_tokens"), ASKING),
    },
}
# Another value, where one more, half of it or its opposite would not do.
OTHER = {
    "run.folder": "runs/another",
    "run.executor": "serial",
    "subject.model": "embedded",
    "subject.device": "cpu",
    "subject.device_map": "auto",
    "subject.dtype": "float32",
    "subject.adapter": "",
    "subject.other": "embedded",
    "subject.start_token": "none",
    "subject.weights": "random",
    "collect.texts": ["stdlib"],
    "collect.leave_out": "none",
    "collect.merge": ["merged", "merged"],
    "collect.store": "mined",
    "neighbours.by": "encoder",
    "neighbours.search": "approximate",
    "embeddings.base_url": "http://localhost:9/v1",
    "contexts.placement": "centred",
    "contexts.negatives": "random",
    "contexts.held_out_sample": "top",
    "intervene.kl": [0.3],
    "intervene.reach": "last",
    "collisions.by": "rules",
    "collisions.chat": "",
    "chat.model": "embedded",
    "chat.base_url": "http://localhost:9/v1",
    "chat.api_key_env": "ANOTHER_KEY",
    "chat.serve": "vllm serve m --port {port}",
    "chat.batch": "files",
    "chat.extra": {"temperature": 1},
    "chat.prices": {"prompt_per_million": 1.0, "completion_per_million": 2.0},
    "chat.device": "cpu",
    "chat.dtype": "float32",
    "chat.weights": "embedded",
    "chat.thinking_tokens": 7,
    "score.base_url": "http://localhost:9/v1",
    "score.form": "single",
    "score.highest": 9,
    "score.worked_examples": 2,
    "score.alternatives": 3,
    "explain.explainer": "rule",
    "explain.scorer": "fuzzing",
    "explain.rule": "vocabulary_projection",
    "explain.rule_scorer": "next_token",
    "explain.output": "rule",
    "explain.output_scorer": "execution",
    "explain.words": "contrastive",
    "explain.words_scorer": "fuzzing",
    "decompose.selection_dtype": "bfloat16",
}
# Folders and files that an experiment names, and who reads each.
INPUTS = {
    "subject": FIRST,
    "adapter": FIRST,
    "texts": TEXT,
    "dictionary": ("decompose",),
    "embedder": ("embeddings",),
    "scorer": ("score.embedding", "score.example_embedding"),
    "chat": ASKING,
    "labels": ("explain.given",),
    "ratings": ("score.given",),
}
CHOOSING = ("explain.active", "explain.best_of", "explain.repair", "explain.route")
# Prompts that are read under another name than their method's, or by others, too.
ALSO_ASKS = {
    "max_activating": CHOOSING,
    "detection": (*CHOOSING, "packing.detection", "judge.detection"),
    "fuzzing": ("packing.fuzzing", "judge.fuzzing"),
    "discrimination": ("collisions",),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Everything that an experiment may name, as small files: keys are made of what they hold."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in INPUTS:
        (folder / name).mkdir()
        (folder / name / "content").write_text(name)
    (folder / "merged").mkdir()
    (folder / "merged" / RESOLVED).write_bytes(seal_json({"keys": {"collect": "a"}}))
    return folder


def every_method(inputs: Path, backend: str = "transformers") -> dict:
    """The tables of an experiment in which every stage and every method stands."""
    embeds = {"model": str(inputs / "scorer")}
    return {
        "subject": {"model": str(inputs / "subject"), "adapter": str(inputs / "adapter")},
        "collect": {"texts": [str(inputs / "texts")]},
        "decompose": {"dictionary": str(inputs / "dictionary")},
        "neighbours": {"by": "cooccurrence"},
        "embeddings": {"model": str(inputs / "embedder")},
        "contexts": {"negatives": "similar"},
        "intervene": {},
        "attribute": {},
        "explain": [
            {"method": name}
            | ASKED.get(name, {})
            | ({"path": str(inputs / "labels")} if name == "given" else {})
            for name in EXPLAINERS
        ],
        "score": [
            {"method": name}
            | (embeds if name.endswith("embedding") else {})
            | ({"path": str(inputs / "ratings")} if name == "given" else {})
            for name in SCORES
        ],
        "collisions": {"by": "judge"},
        "judge": {"calibration_items": 50},
        "chat": {"backend": backend, "model": str(inputs / "chat")},
    }


def keys(tables: dict) -> dict[str, str]:
    return dict(plan_run(Experiment.of(tables)).keys)


def with_setting(tables: dict, table: str, name: str, value: object) -> dict:
    return tables | {table: tables.get(table, {}) | {name: value}}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The stages of both that have another key; a stage that is no longer there reads nothing."""
    return {stage for stage in before if stage in after and before[stage] != after[stage]}


def followers(readers: tuple[str, ...]) -> set[str]:
    """These stages, and all that read what they make, over any number of stages."""
    found: set[str] = set(readers)
    while more := {stage for stage, reads in BEFORE.items() if found & set(reads)} - found:
        found |= more
    return found


def another(where: str, value: object) -> object:
    """A value that a setting may have and that is not this one."""
    if where in OTHER:
        return OTHER[where]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.01
    if isinstance(value, str):
        return value + "x"
    raise AssertionError(f"say another value of {where} in OTHER; it is {value!r}")


def default(field) -> object:
    return field.default_factory() if field.default is MISSING else field.default


def settings_and_values(tables: dict) -> dict[str, dict[str, object]]:
    """Every setting of every table but the methods', with the value that it has here."""
    resolved = Experiment.of(tables).tables()
    kinds = {
        "contexts": SamplingSettings,
        "intervene": InterventionSettings,
        "attribute": TokenAttributionSettings,
    }
    found: dict[str, dict[str, object]] = {}
    for table in READERS:
        defaults = {f.name: default(f) for f in fields(kinds[table])} if table in kinds else {}
        found[table] = defaults | resolved[table]
    return found


def test_the_tables_name_every_stage_and_every_method(inputs):
    tables = every_method(inputs)
    assert set(keys(tables)) == set(BEFORE)
    for verb, names in (("explain", EXPLAINERS), ("score", SCORES)):
        ours = {
            point.name
            for point in entry_points(group=f"gloss.{verb}")
            if point.value.startswith("gloss.")
        }
        assert ours == set(names)


def test_every_setting_changes_the_keys_of_the_stages_that_read_it_and_of_those_after(
    inputs, monkeypatch
):
    monkeypatch.chdir(inputs)  # where a run lies that has collected
    tables = every_method(inputs)
    before = keys(tables)
    for table, settings in settings_and_values(tables).items():
        assert set(settings) == set(READERS[table]), f"say who reads each setting of [{table}]"
        for name, value in settings.items():
            other = with_setting(tables, table, name, another(f"{table}.{name}", value))
            if (table, name) == ("embeddings", "base_url"):
                other["embeddings"] |= {"model": "by-name"}
            after = keys(other)
            expected = followers(READERS[table][name]) & set(after)
            assert changed(before, after) == expected, f"[{table}].{name}"


@pytest.mark.parametrize("backend", CHAT_READERS)
def test_what_answers_is_read_by_the_stages_that_ask_alone(inputs, backend):
    tables = every_method(inputs, backend)
    before = keys(tables)
    kind = {"endpoint": Chat, "transformers": LocalChat}[backend]
    values = {field.name: default(field) for field in fields(kind)}
    for name, readers in CHAT_READERS[backend].items():
        value = another(f"chat.{name}", values.get(name))
        other = with_setting(tables, "chat", name, value)
        if name == "max_cost":  # wants prices, which nobody reads either
            other = with_setting(other, "chat", "prices", OTHER["chat.prices"])
        assert changed(before, keys(other)) == followers(readers), f"[chat].{name}"


def method_settings(verb: str, name: str) -> dict[str, object]:
    """The settings of a method, with their defaults."""
    [point] = entry_points(group=f"gloss.{verb}", name=name)
    return {field.name: default(field) for field in fields(point.load()) if field.init}


def own_prompt(inputs: Path, verb: str, name: str) -> str:
    """A prompt file of one's own, which begins as the method's does."""
    path = inputs / f"{name}.yaml"
    path.write_text(prompt_source(f"gloss.{verb}", name) + "# mine\n")
    return str(path)


@pytest.mark.parametrize("verb, name", [("explain", "contrastive"), ("score", "fuzzing")])
def test_a_prompt_of_ones_own_counts_by_its_content(inputs, verb, name):
    tables = every_method(inputs)
    path = Path(own_prompt(inputs, verb, name))
    own = [one | ({"prompt": str(path)} if one["method"] == name else {}) for one in tables[verb]]
    before = keys(tables | {verb: own})
    path.write_text(path.read_text() + "# changed\n")
    after = keys(tables | {verb: own})
    judges = [f"judge.{name}"] if name in JUDGES else []
    assert changed(before, after) == followers((f"{verb}.{name}", *judges))
    path.unlink()
    with pytest.raises(BadSettings, match="cannot be read"):
        keys(tables | {verb: own})


@pytest.mark.parametrize("verb, names", [("explain", EXPLAINERS), ("score", SCORES)])
def test_every_setting_of_a_method_changes_its_own_key_and_those_after(inputs, verb, names):
    tables = every_method(inputs)
    before = keys(tables)
    for number, name in enumerate(names):
        for setting, value in method_settings(verb, name).items():
            other = list(tables[verb])
            other[number] |= {}
            if setting == "prompt":
                value = own_prompt(inputs, verb, name)
            else:
                value = another(f"{verb}.{setting}", other[number].get(setting, value))
            other[number] = other[number] | {setting: value}
            after = keys(tables | {verb: other})
            own = [f"{verb}.{name}", *([f"judge.{name}"] if f"judge.{name}" in before else [])]
            assert changed(before, after) == followers(tuple(own)), f"{verb} {name}: {setting}"
            # what is said is not measured
            assert set(before) - set(after) <= {f"packing.{name}"}


@pytest.mark.parametrize("verb", ["explain", "score"])
def test_the_length_of_a_methods_answers_changes_its_own_key_and_those_after(inputs, verb):
    tables = every_method(inputs)
    before = keys(tables)
    for number, settings in enumerate(tables[verb]):
        name = settings["method"]
        for room in ("answer_tokens", "thinking_tokens"):
            other = list(tables[verb])
            other[number] = settings | {room: 99}
            try:
                after = keys(tables | {verb: other})
            except BadSettings:
                assert f"{verb}.{name}" not in ASKING
                continue
            own = [f"{verb}.{name}", *([f"judge.{name}"] if f"judge.{name}" in before else [])]
            assert changed(before, after) == followers(tuple(own)), f"{verb} {name}: {room}"


def test_every_setting_of_a_sampler_changes_the_contexts_and_what_is_made_of_them(inputs):
    tables = every_method(inputs)
    for point in entry_points(group="gloss.sample"):
        if not point.value.startswith("gloss."):
            continue
        before = keys(tables | {"sample": {"method": point.name, "name": "quantiles"}})
        for setting, value in method_settings("sample", point.name).items():
            other = {
                "method": point.name,
                "name": "quantiles",
                setting: another(f"sample.{setting}", value),
            }
            after = keys(tables | {"sample": other})
            assert changed(before, after) == followers(("sample.quantiles",)), (
                f"{point.name}: {setting}"
            )


def test_a_dictionary_that_is_trained_is_read_off_the_texts_and_the_trainers_settings(
    inputs, monkeypatch
):
    monkeypatch.chdir(inputs)
    trained = {"method": "topk", "site": "resid_post.1"}
    tables = every_method(inputs) | {"decompose": trained}
    before = keys(tables)
    values = method_settings("decompose", "topk") | {"site": "resid_post.1", "name": ""}
    for setting, value in values.items():
        value = another(f"decompose.{setting}", value)
        after = keys(with_setting(tables, "decompose", setting, value))
        assert changed(before, after) == followers(("decompose",)), setting
    for setting, value in settings_and_values(tables)["collect"].items():
        value = another(f"collect.{setting}", value)
        after = keys(with_setting(tables, "collect", setting, value))
        # what is kept of it is none of its business, nor how much is read at a time
        read = READERS["collect"][setting]
        readers = ("decompose", *read) if read == TEXT and setting != "store" else read
        assert changed(before, after) == followers(readers), setting
    (inputs / "texts" / "content").write_text("other texts")
    assert changed(before, keys(tables)) == followers(("decompose", *TEXT))


@pytest.mark.parametrize(
    "setting, value", [("site", "resid_post.1"), ("name", "mine"), ("dtype", "bfloat16")]
)
def test_a_dictionary_that_exists_counts_with_its_site_its_name_and_its_type(
    inputs, setting, value
):
    tables = every_method(inputs)
    after = keys(with_setting(tables, "decompose", setting, value))
    assert changed(keys(tables), after) == followers(("decompose",))


def test_how_many_neurons_are_kept_counts_and_other_dictionaries_keep_none(inputs):
    tables = every_method(inputs)
    neurons = {"dictionary": "neurons", "site": "mlp_act.1"}
    found = [keys(tables | {"decompose": neurons | {"keep": keep}}) for keep in (8, 32)]
    assert changed(*found) == followers(("decompose",))
    with pytest.raises(BadSettings, match="keep must be a whole number"):
        keys(tables | {"decompose": neurons | {"keep": 1.5}})
    with pytest.raises(BadSettings, match="has no setting 'keep'"):
        keys(with_setting(tables, "decompose", "keep", 8))


@pytest.mark.parametrize("name", INPUTS)
def test_every_file_that_is_read_counts_by_its_content(inputs, name):
    tables = every_method(inputs)
    before = keys(tables)
    (inputs / name / "content").write_text(f"another {name}")
    assert changed(before, keys(tables)) == followers(INPUTS[name])


def test_what_embeds_for_a_part_of_a_method_counts_by_its_content(inputs, tmp_path):
    (tmp_path / "content").write_text("weights")
    scorer = {"method": "embedding", "model": str(tmp_path)}
    chooses = {"method": "best_of", "explainer": "rule", "scorer": scorer}
    tables = every_method(inputs)
    row = tables["explain"].index({"method": "best_of"})
    tables["explain"][row] = chooses
    before = keys(tables)
    (tmp_path / "content").write_text("other weights")
    assert changed(before, keys(tables)) == followers(("explain.best_of",))


def test_a_change_that_is_taken_back_gives_the_keys_of_before(inputs):
    tables = every_method(inputs)
    before = keys(tables)
    content = (inputs / "texts" / "content").read_text()
    (inputs / "texts" / "content").write_text("something else")
    assert changed(before, keys(tables))
    (inputs / "texts" / "content").write_text(content)
    assert keys(tables) == before
    assert keys(with_setting(tables, "run", "seed", 0)) == before


@pytest.mark.parametrize("named", [False, True])
def test_another_version_of_gloss_shares_no_key(inputs, monkeypatch, named):
    tables = every_method(inputs) if named else {}
    before = keys(tables)
    assert keys(tables) == before
    monkeypatch.setattr("gloss.run.keys.__version__", "9.8.7")
    assert changed(before, keys(tables)) == set(before)


def test_texts_of_pythons_library_are_others_in_another_python(inputs, monkeypatch):
    tables = with_setting(every_method(inputs), "collect", "texts", ["stdlib"])
    before = keys(tables)
    monkeypatch.setattr(sys, "version_info", (3, 99, 0, "final", 0))
    assert changed(before, keys(tables)) == followers(TEXT)


PRINT_KEYS = """
import json, sys
from pathlib import Path
import gloss
from gloss.run.experiment import Experiment
from gloss.run.planning import plan_run

def keys():
    return dict(plan_run(Experiment.of(tables)).keys)

tables = json.loads(sys.argv[1])
found = {"": keys()}
for prompt in sorted(Path(gloss.__file__).parent.glob("*/prompts/*.yaml")):
    text = prompt.read_text("utf-8")
    prompt.write_text(text.replace("e", "E", 1), "utf-8")
    found[str(prompt.relative_to(Path(gloss.__file__).parent))] = keys()
    prompt.write_text(text, "utf-8")
found["again"] = keys()
print(json.dumps(found))
"""


def test_the_text_of_a_prompt_counts_for_the_stages_that_ask_with_it(inputs, tmp_path):
    """In a copy of the package, whose prompts are changed one after the other."""
    source = Path(gloss.__file__).parent
    shutil.copytree(
        source, tmp_path / "gloss", ignore=shutil.ignore_patterns("__pycache__", "embedded")
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PRINT_KEYS, json.dumps(every_method(inputs))],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    before = found.pop("")
    assert found.pop("again") == before
    assert set(found) == {
        str(prompt.relative_to(source)) for prompt in source.glob("*/prompts/*.yaml")
    }
    for prompt, after in found.items():
        verb, _, file = prompt.split("/")
        name = file.removesuffix(".yaml")
        readers = (f"{verb}.{name}", *ALSO_ASKS.get(name, ()))
        assert changed(before, after) == followers(readers), prompt
