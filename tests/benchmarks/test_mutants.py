"""The tool that puts small faults into code, on modules of its own."""

import json
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from benchmarks.known_mutants import KNOWN
from benchmarks.mutants import PLACES, ROOT, Mutant, known_mutants, mutants_of, outcome

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


@pytest.mark.parametrize("place", PLACES)
def test_the_code_still_holds_what_known_mutants_change_and_the_tests_are_there(place):
    assert [one.change for one in known_mutants(place)] == [
        f"{old} -> {new}" for _, old, new in KNOWN[place]
    ]
    assert [test for test in PLACES[place][1] if not (ROOT / test).exists()] == []


COUNTING = """
def count_down(number):
    steps = 0
    while number > 0:
        number -= 1
        steps += 1
    return steps

def unread():
    return "nobody looks at this"

def ready():
    return True

def never():
    return 0
"""
TESTS = """
import pytest
from counted.counting import count_down, ready, unread

@pytest.fixture(scope="module")
def steps():
    return count_down(3)

def test_there_are_steps(steps):
    assert steps

def test_steps(steps):
    assert steps == 3

def test_more():
    unread()

def test_ready():
    if not ready():
        pytest.exit("no more", 4)
"""
MUTANTS = {
    "steps += 1": "steps += 2",
    "number -= 1": "number -= 0",
    '"nobody looks at this"': '"nor at this"',
    "return True": "return False",
    "return 0": "return 1",
}
TOOL = """
import json
import sys
from pathlib import Path
from benchmarks import mutants

known, tests = json.loads(sys.argv.pop())
mutants.ROOT, mutants.SOURCE = Path.cwd(), Path("counted").resolve()
mutants.PLACES = {"toy": (("counting.py",), tests)}
mutants.KNOWN["toy"] = [("counting.py", old, new) for old, new in known]
mutants.CPU_SECONDS = 1
mutants.main()
"""


@pytest.fixture
def measure(tmp_path):
    """Runs the tool on a module of a few lines: its exit status, and what it prints."""
    (tmp_path / "counted").mkdir()
    (tmp_path / "counted" / "counting.py").write_text(COUNTING)
    (tmp_path / "test_counting.py").write_text(TESTS)

    def run(*changed: str, tests: str = "test_counting.py") -> tuple[int, str]:
        asked = json.dumps(([(old, MUTANTS[old]) for old in changed], [tests]))
        done = subprocess.run(
            [sys.executable, "-c", TOOL, "toy", "--most", "0", asked],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
            capture_output=True,
            text=True,
            timeout=200,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_each_mutant_gets_the_verdict_that_its_tests_earn(measure):
    status, printed = measure(*MUTANTS)
    assert [line.split(" counted/")[0] for line in printed.splitlines()[:4]] == [
        "stuck:",
        "survived:",
        "broken:",
        "unreached:",
    ]
    assert "5 mutants, 1 broken, 1 killed, 1 stuck, 1 survived, 1 unreached; 0.200" in printed
    assert status == 1
    assert "1 mutants are broken" in printed
    assert "2 known mutants are not killed" in printed


def test_what_is_killed_or_stuck_is_no_error(measure):
    status, printed = measure("steps += 1", "number -= 1")
    assert status == 0, printed


@pytest.mark.parametrize("failing", ["True", "times > 1"])
def test_tests_that_fail_without_a_change_end_the_command(measure, tmp_path, failing):
    """Also those that only fail again in the same process."""
    (tmp_path / "test_counting.py").write_text(
        f"""{TESTS}
import sys

def test_last():
    times = sys.__dict__["times"] = sys.__dict__.get("times", 0) + count_down(1)
    assert not {failing}
"""
    )
    status, printed = measure("steps += 1")
    assert status == 1
    assert "without any change" in printed
    assert "1 killed" not in printed


def test_tests_that_are_not_there_are_an_error_in_one_sentence(measure):
    status, printed = measure("steps += 1", tests="test_gone.py")
    assert (status, printed) == (
        1,
        "there is no test_gone.py; mend toy in benchmarks/mutants.py\n",
    )
