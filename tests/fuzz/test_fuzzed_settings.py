"""Whatever a file of settings holds, reading it gives an experiment or a dictionary, or raises a
GlossError with one sentence.
"""

import json
import shutil
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from amount import tries
from hypothesis import given
from hypothesis import strategies as st

from gloss.errors import GlossError
from gloss.models.chat_models.client import Chat
from gloss.models.formats import load_dictionary
from gloss.models.local_chat import LocalChat
from gloss.rules import parse_rule
from gloss.run.experiment import Experiment
from gloss.run.methods import installed_methods
from gloss.run.stage import installed_stages
from gloss.sample.examples import SamplingSettings

FIXTURES = Path(__file__).parents[1] / "models" / "formats" / "fixtures"
MANY, FEWER = tries(2000), tries(600)

NUMBERS = st.one_of(
    st.sampled_from(
        [
            0,
            -1,
            1,
            2,
            7,
            2**31,
            2**63,
            10**40,
            0.0,
            -0.5,
            0.5,
            1e300,
            float("nan"),
            float("inf"),
            float("-inf"),
        ]
    ),
    st.integers(),
    st.floats(),
)
NAMES = [
    "..",
    "a/b",
    "",
    "x" * 300,
    "a\0b",
    "~",
    "/",
    "rule",
    "embedded",
    "resid_post.1",
    "none",
    "auto",
    "cuda",
    "\N{SNOWMAN}",
]
TEXTS = st.one_of(st.sampled_from(NAMES), st.text(max_size=20))
VALUES = st.recursive(
    st.one_of(NUMBERS, TEXTS, st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=4,
)

# Each table and method with the settings that it has, so that most draws come past the names to the
# values.
OF_TABLES = (
    {
        each.name: [field.name for field in fields(each.type)]
        for each in fields(Experiment)
        if is_dataclass(each.type)
    }
    | {
        name: [field.name for field in fields(stage.settings)]
        for name, stage in installed_stages().items()
        if stage.settings
    }
    | {
        "chat": (
            [field.name for kind in (Chat, LocalChat) for field in fields(kind)]
            + ["backend", "weights"]
        ),
        "contexts": [field.name for field in fields(SamplingSettings)],
        "decompose": ["dictionary", "site", "name", "dtype"],
        "nonsense": ["x"],
    }
)
VERBS = ("decompose", "sample", "explain", "score")
OF_METHODS = {
    (verb, name): ["name", *(field.name for field in fields(point.load()))]
    for verb in VERBS
    for name, point in installed_methods(verb).items()
}


def filled(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(
        st.one_of(st.sampled_from(names), st.sampled_from(names), TEXTS), VALUES, max_size=3
    )


@cache  # a strategy is looked through when it is first drawn from
def one_table(name: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), filled(OF_TABLES[name]))


@cache
def used(method: tuple[str, str]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    verb, name = method
    named = {"method": name} | ({"site": "resid_post.1"} if verb == "decompose" else {})
    return st.tuples(st.just(verb), filled(OF_METHODS[method]).map(lambda rest: rest | named))


TABLE = st.sampled_from(sorted(OF_TABLES)).flatmap(one_table)
METHOD = st.sampled_from(sorted(OF_METHODS)).flatmap(used)
STRAY = st.tuples(st.sampled_from(sorted(OF_TABLES)), VALUES)
SEVERAL = st.lists(METHOD, min_size=1, max_size=3).map(
    lambda many: (many[0][0], [table for verb, table in many if verb == many[0][0]])
)


def told_in_one_sentence(problem: GlossError) -> None:
    assert str(problem).strip()
    assert "Traceback" not in str(problem)
    assert len(str(problem)) < 3000


@MANY
@given(st.lists(st.one_of(TABLE, METHOD, SEVERAL, STRAY), max_size=3).map(dict))
def test_tables_make_an_experiment_or_are_refused(tables: dict[str, Any]) -> None:
    try:
        experiment = Experiment.of(tables)
    except GlossError as problem:
        told_in_one_sentence(problem)
    else:
        assert Experiment.of(experiment.tables()) == experiment or "nan" in repr(experiment)


@FEWER
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    )
)
def test_bytes_are_an_experiment_file_or_are_refused(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_bytes(content)
    try:
        Experiment.read(path)
    except GlossError as problem:
        told_in_one_sentence(problem)


@cache
def changes_of(kind: str) -> tuple[Any, ...]:
    """What the configuration of a dictionary states; what else it may, what it may lack, and what
    its part about the training may state.
    """
    stated: dict[str, Any] = json.loads((FIXTURES / kind / "cfg.json").read_text())
    inner = stated.get("metadata") or stated.get("gloss") or {}
    names = st.sampled_from(
        [
            *stated,
            *inner,
            "activation_fn_str",
            "hook_head_index",
            "num_latents",
            "skip_connection",
            "signed",
        ]
    )
    return (
        stated,
        st.dictionaries(names, st.one_of(VALUES, st.none()), max_size=3),
        st.sets(names, max_size=2),
        st.dictionaries(names, VALUES, max_size=2),
    )


@pytest.mark.parametrize(
    "kind", ["sae_lens/topk", "sae_lens/jumprelu", "sparsify/topk/layers.1.mlp"]
)
@FEWER
@given(data=st.data())
def test_a_changed_configuration_is_a_dictionary_or_is_refused(
    tmp_path_factory, kind: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / kind
    if not folder.exists():
        shutil.copytree(FIXTURES / kind, folder)
    stated, several, dropping, inside = changes_of(kind)
    changes, dropped = data.draw(several), data.draw(dropping)
    changed = {name: value for name, value in (stated | changes).items() if name not in dropped}
    if isinstance(changed.get("metadata"), dict) and data.draw(st.booleans()):
        changed["metadata"] = changed["metadata"] | data.draw(inside)
    (folder / "cfg.json").write_text(json.dumps(changed))
    try:
        load_dictionary(folder)
    except GlossError as problem:
        told_in_one_sentence(problem)


WORDS = [
    "token",
    "is",
    "in",
    "matches",
    "/",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    '"',
    "and",
    "or",
    "not",
    "within",
    "after",
    "0",
    "-1",
]
PIECES = st.lists(
    st.one_of(st.sampled_from([*WORDS, "9" * 50]), st.text(max_size=4)), max_size=12
).map(" ".join)


@MANY
@given(st.one_of(st.text(max_size=40), PIECES))
def test_a_text_is_a_rule_or_is_refused(text: str) -> None:
    try:
        rule = parse_rule(text)
    except GlossError as problem:
        told_in_one_sentence(problem)
    else:
        assert parse_rule(str(rule)) == rule
