"""The tool that puts small faults into code, on a module of its own."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from benchmarks.known_mutants import KNOWN
from benchmarks.mutants import PLACES, Mutant, mutants_of, outcome

MODULE = """
from functools import cached_property

class Scale:
    factor = 2

    @cached_property
    def doubled(self):
        return [self.factor * each for each in (1, 2)]

def middle(values, low=0):
    kept = sorted(value for value in values if value > low)
    return kept[len(kept) // 2] if kept else None
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "scales_to_change.py"
    path.write_text(MODULE)
    spec = spec_from_file_location("scales_to_change", path)
    loaded = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    yield loaded
    del sys.modules[spec.name]


def mutant(module, change: str) -> Mutant:
    [found] = [one for one in mutants_of(Path(module.__file__)) if change in one.change]
    return found


@pytest.mark.parametrize(
    "change, given, expected",
    [
        ("value > low -> value >= low", [0, 0, 5], 0),
        ("len(kept) // 2 -> len(kept) / 2", [1, 2, 3], TypeError),
        ("2 -> 3", [1, 2, 3, 4, 5, 6, 7], 3),
        ("if not kept else None", [1, 2, 3], None),
    ],
)
def test_a_mutant_changes_what_the_function_does_and_nothing_else(module, change, given, expected):
    before = module.middle([3, 1, 2])
    assert before == 2
    one = next(
        one
        for one in mutants_of(Path(module.__file__))
        if one.function == "middle" and one.change.endswith(change)
    )
    original = module.middle.__code__
    assert one.put_in()
    if expected is TypeError:
        with pytest.raises(TypeError):
            module.middle(given)
    else:
        assert module.middle(given) == expected
    module.middle.__code__ = original
    assert module.middle([3, 1, 2]) == before


def test_cached_properties_and_what_stands_inside_a_function_are_changed_too(module):
    one = mutant(module, "self.factor * each -> self.factor / each")
    assert one.function == "Scale.doubled"
    assert one.put_in()
    assert module.Scale().doubled == [2, 1]


def test_what_no_test_reaches_is_not_called_killed(module):
    assert outcome(mutant(module, "value > low -> value >= low"), {}) == "unreached"


def test_known_mutants_are_of_places_that_are_measured():
    assert set(KNOWN) == set(PLACES)
