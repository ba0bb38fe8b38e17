"""The table of facts, and the runner that gathers them."""

import sys

import numpy as np
import pytest

from benchmarks.quality import __main__ as runner
from benchmarks.quality.rows import Row, markdown
from gloss.records import Estimate


def ran(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """The exit status and what was printed."""
    monkeypatch.setattr(sys, "argv", ["quality", *arguments])
    return runner.main(), capsys.readouterr().out


def test_a_row_keeps_its_interval_and_a_count_has_none():
    assert Row.of("e", "k", Estimate(0.5, 0.4, 0.6), True).interval == "0.400 to 0.600"
    assert Row.exact("e", "k", 1.0, True).interval == ""


def test_a_row_that_fails_stands_out_and_fails_the_whole(monkeypatch, capsys):
    found = {
        "rules": Row.exact("1", "1", 1.0, True),
        "sanity": Row.exact("2", "1 | 2", 0.001, False),
    }
    monkeypatch.setattr(runner, "measured", lambda name, seed, small: [found[name]])
    assert ran(monkeypatch, capsys, "--only", "rules")[0] == 0
    status, told = ran(monkeypatch, capsys, "--only", "rules", "--only", "sanity", "--markdown")
    assert status == 1
    assert "NO" in told
    assert "| 2 | 1 &#124; 2 | 1.00e-03 |  | **no** |" in told


def test_an_experiment_that_is_missing_does_not_pass(monkeypatch):
    monkeypatch.setitem(runner.EXPERIMENTS, "nowhere", "99: nothing")
    [row] = runner.measured("nowhere", 0, small=True)
    assert not row.passed
    assert row.known == "benchmarks/quality/nowhere.py is there"
    assert np.isnan(row.measured)


def test_an_experiment_that_nobody_knows_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        ran(monkeypatch, capsys, "--only", "nothing")
    assert "modular_addition" in capsys.readouterr().err


def test_the_table_of_the_docs_has_a_line_for_every_row():
    assert (
        markdown([Row.exact("e", "k", 2.0, True)]).splitlines()[-1] == "| e | k | 2.000 |  | yes |"
    )
