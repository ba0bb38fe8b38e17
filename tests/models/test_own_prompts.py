"""A prompt of one's own in place of a method's: what it may hold, and what is said where it cannot
be asked with.
"""

import re
from pathlib import Path

import pytest

from gloss.errors import BadSettings
from gloss.explain.max_activating import MaxActivating
from gloss.models.chat_models.prompts import prompt_file, prompt_source
from gloss.run.methods import build_method, installed_methods, is_packing_open

MINE = """
- role: user
  text: |
    {% for example in examples %}
    * {{ example.text }}
    {% endfor %}
    In one line, [interpretation]: and what the marked words share.
"""


def written(folder: Path, text: str) -> str:
    path = folder / "my.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def test_a_users_turns_are_asked_in_place_of_the_methods(tmp_path):
    own = prompt_file("gloss.explain", "max_activating", written(tmp_path, MINE))
    [message] = own.fill(examples=[{"text": "by<< noon>>"}, {"text": "at<< dusk>>"}])
    assert (message.role, message.text.splitlines()[0]) == ("user", "* by<< noon>>")
    assert own.sha256 != prompt_file("gloss.explain", "max_activating").sha256


@pytest.mark.parametrize("verb", ["explain", "score"])
def test_every_method_that_has_a_prompt_takes_ones_own_and_begins_with_what_it_has(verb, tmp_path):
    for name, point in installed_methods(verb).items():
        package = point.module.rpartition(".")[0]
        if not point.value.startswith("gloss."):
            continue
        try:
            usual = prompt_source(package, name)
        except FileNotFoundError:
            continue
        path = written(tmp_path, usual)
        assert build_method(verb, {"method": name, "prompt": path}).prompt == path
        assert prompt_file(package, name, path).holes == prompt_file(package, name).holes


@pytest.mark.parametrize(
    "text, said",
    [
        ("- role: [", "is not YAML"),
        ("just words", "must be a list of turns"),
        ("[]", "must be a list of turns"),
        ("- role: user", "must be a list of turns"),
        ("- {role: nurse, text: hello}", "must be a list of turns"),
        ("- {role: user, text: hello, mood: good}", "must be a list of turns"),
        (
            "- {role: user, text: '{{ exmples }}'}",
            "has the hole 'exmples'.*did you mean 'examples'",
        ),
        ("- {role: user, text: '{% for %}'}", "has a hole that cannot be read"),
        ("- {role: user, text: hello}", "asks about no feature"),
        ("- {role: assistant, text: '{{ examples }}'}", "asks about no feature"),
    ],
)
def test_a_file_that_cannot_be_asked_with_is_refused_in_one_sentence(text, said, tmp_path):
    with pytest.raises(BadSettings, match=said) as refused:
        prompt_file("gloss.explain", "max_activating", written(tmp_path, text))
    assert "\n" not in str(refused.value)
    assert "my.yaml" in str(refused.value)


def test_a_plain_prompt_has_a_beginning_and_an_end(tmp_path):
    path = written(tmp_path, "- {role: plain, text: '{{ explanation }}'}")
    with pytest.raises(BadSettings, match="has one turn"):
        prompt_file("gloss.score", "surprisal", path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        BadSettings, match=re.escape(f"{tmp_path}/none.yaml cannot be read: No such")
    ):
        prompt_file("gloss.explain", "max_activating", f"{tmp_path}/none.yaml")


@pytest.mark.parametrize(
    "hole", ["{{ examples.first.deep }}", "{{ examples.__class__.__mro__ }}", "{{ 1 / examples }}"]
)
def test_what_a_hole_cannot_do_is_said_and_nothing_is_run(hole, tmp_path):
    own = prompt_file(
        "gloss.explain", "max_activating", written(tmp_path, f"- {{role: user, text: '{hole}'}}")
    )
    with pytest.raises(BadSettings, match="cannot be filled"):
        own.fill(examples=[{"text": "x"}])


def test_how_many_contexts_a_judge_bears_in_ones_own_words_is_not_measured():
    assert is_packing_open({"method": "detection"})
    assert not is_packing_open({"method": "detection", "prompt": "my.yaml"})


def test_the_setting_is_a_path():
    with pytest.raises(BadSettings, match="prompt must be text"):
        build_method("explain", {"method": "max_activating", "prompt": 3})
    assert MaxActivating().prompt == ""
