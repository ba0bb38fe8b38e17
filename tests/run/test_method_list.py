"""`gloss methods` lists everything that is installed, a stranger's and a broken one too."""

import json
import os
from dataclasses import fields
from pathlib import Path

import pytest
from small import ran

from gloss.errors import BadSettings, suggestion
from gloss.installed import installed
from gloss.models.formats.dictionary_format import installed_formats
from gloss.records import needs_of
from gloss.run.commands.methods import ORDER, describe_method, method_verbs, print_methods
from gloss.run.experiment import CollectSettings
from gloss.run.methods import build_method
from gloss.run.stage import installed_stages

STRANGER = '''
from dataclasses import dataclass
from typing import ClassVar
from gloss.records import Ability, Needs

@dataclass(frozen=True)
class Shouts:
    """Shouts what it sees. And more.

    At length.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,), effects=True)
    volume: int = 11
    words: tuple[str, ...] = ("a", "b")

class Odd:
    needs = "everything"
'''
POINTS = """[gloss.explain]
shouts = stranger:Shouts
odd = stranger:Odd
absent = nowhere_to_be_found:Absent
broken = broken_stranger:Thing
[gloss.later]
shouts = stranger:Shouts
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Path:
    """A folder of packages that somebody else installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "stranger.py").write_text(STRANGER)
    (folder / "broken_stranger.py").write_text("raise RuntimeError('no [luck] today')")
    about = folder / "stranger-2.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 2.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    return folder


def test_strangers_are_listed_with_what_they_need_and_broken_ones_with_the_reason(
    stranger, tmp_path, monkeypatch
):
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(stranger), before))))
    code, said, err = ran(tmp_path, "methods", "--json")
    assert code == 0, err
    found = {(each["verb"], each["name"]): each for each in json.loads(said)}
    shouts = found["explain", "shouts"]
    assert shouts["package"] == "stranger"
    assert shouts["description"] == "Shouts what it sees."
    assert shouts["needs"] == ["a language model: chat", "interventions: a table [intervene]"]
    assert shouts["settings"] == [
        {"name": "volume", "type": "int", "default": "11"},
        {"name": "words", "type": "tuple[str, ...]", "default": '["a", "b"]'},
    ]
    assert ("later", "shouts") in found  # a group that nobody here has heard of
    for name, reason in (
        ("absent", "nowhere_to_be_found"),
        ("broken", "no [luck] today"),
        ("odd", "needs"),
    ):
        assert reason in found["explain", name]["problem"]
        assert not found["explain", name]["settings"]
    assert not [each for each in found.values() if each["problem"] and each["verb"] != "explain"]
    assert found["explain", "rule"]["description"]


def test_every_method_tells_its_line_and_defaults_that_make_it(capsys):
    for verb in ORDER:
        print_methods(verb)
        said = " ".join(capsys.readouterr().out.split())
        for name in installed(f"gloss.{verb}"):
            found = describe_method(verb, name)
            assert not found.problem
            assert found.description
            files = needs_of(installed(f"gloss.{verb}")[name].load()).files
            built = build_method(verb, {"method": name, **dict.fromkeys(files, "labels.csv")})
            assert [each.name for each in found.settings] == [
                field.name for field in fields(built) if field.init
            ]
            for each in found.settings:
                assert f"{each.name} = {each.default} ".replace("  ", " ") in said
    assert describe_method("explain", "rule").needs == (
        "token attributions, where there is a table [attribute]",
    )
    assert "a language model: chat" in describe_method("score", "detection").needs


def listed(capsys, verb: str) -> str:
    print_methods(verb)
    return " ".join(capsys.readouterr().out.split())


def test_every_stage_and_executor_tells_its_line_and_the_settings_that_make_it(capsys):
    said = listed(capsys, "stage")
    for name, stage in installed_stages().items():
        found = describe_method("stage", name)
        assert found.description
        assert not found.problem
        table = CollectSettings if name == "collect" else stage.settings
        own = fields(table) if table else ()
        assert [each.name for each in found.settings] == [field.name for field in own]
        for each in found.settings:
            assert f"{each.name} = {each.default} ".replace("  ", " ") in said
        assert found.needs == ((f"a table [{name}] in the experiment",) if stage.optional else ())
    assert "kl = [" in said
    assert "processes = 2" in listed(capsys, "executor")


def test_every_format_tells_what_people_call_it_and_what_its_folder_holds(capsys):
    said = listed(capsys, "format")
    lines = [describe_method("format", name).description for name in installed_formats()]
    assert len(lines) == len(set(lines)) > 1
    for (name, one), line in zip(installed_formats().items(), lines, strict=True):
        assert f"{name} {one.title}, " in said
        assert one.files in line
        assert ("written" in line) == (one.write is not None)


def test_the_help_names_everything_that_may_be_asked_for(tmp_path):
    code, said, err = ran(tmp_path, "methods", "--help")
    assert code == 0, err
    for verb in method_verbs():
        assert verb in said.partition("Arguments")[2]
    for kind in ("method", "stage", "executor", "format", "matcher"):
        assert kind in said.partition("Arguments")[0]


def test_of_many_names_the_nearest_are_told_and_of_few_all():
    names = [f"set {number}" for number in range(300)]
    told = suggestion("set 17x", names)
    assert told.startswith("; did you mean 'set 17'? There are 300; nearest to it: set 17, ")
    assert len(told) < 200
    assert suggestion("x", ["b", "a"]) == ". There are: a, b."


def test_a_verb_without_methods_is_refused_with_a_suggestion():
    assert method_verbs()[: len(ORDER)] == list(ORDER)
    with pytest.raises(BadSettings, match="scroe has no methods; did you mean 'score'"):
        print_methods("scroe")
