"""Keys: the same for the same inputs, another for any other."""

from pathlib import Path

from gloss.run.experiment import Experiment
from gloss.run.keys import fingerprint, key
from gloss.run.plan import Plan


def test_a_key_changes_with_every_part():
    assert key("a", 1) == key("a", 1)
    assert len({key("a", 1), key("a", 2), key("b", 1), key("a")}) == 4


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
    first = Plan(Experiment.of({})).keys
    other = Plan(Experiment.of({"sample": {"method": "top"}})).keys
    after = {"sample", "explain.rule", "score.execution", "collisions"}
    assert {stage for stage in first if first[stage] != other[stage]} == after
    seeded = Plan(Experiment.of({"score": {"method": "execution", "resamples": 77}})).keys
    assert {stage for stage in first if first[stage] != seeded[stage]} == {"score.execution"}


def test_what_a_model_is_asked_with_enters_the_keys_of_methods_that_ask_alone():
    explain = [{"method": "rule"}, {"method": "max_activating"}]
    first = Plan(Experiment.of({"explain": explain, "chat": {"model": "m"}})).keys
    other = Plan(Experiment.of({"explain": explain, "chat": {"model": "m", "extra": {"temperature": 1}}})).keys
    assert first["explain.rule"] == other["explain.rule"]
    assert first["explain.max_activating"] != other["explain.max_activating"]
