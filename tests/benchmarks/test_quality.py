"""The experiments with a known answer, each in a version that takes seconds."""

from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["rules", "sanity", "samplers"])
def test_every_row_passes(name, rng):
    rows = import_module(f"benchmarks.quality.{name}").run(rng, small=True)
    assert rows
    assert [row for row in rows if not row.passed] == []
