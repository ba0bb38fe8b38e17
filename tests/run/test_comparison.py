"""Several runs: dictionaries are compared over seeds, and not without."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from small import edit, start

from gloss.errors import BadSettings, Mismatch
from gloss.pages.report_sections import Grid
from gloss.records import Estimate
from gloss.run.reporting.run_comparison import compare_runs
from gloss.store.sealed_json import read_sealed_json, seal_json


@pytest.fixture
def twin(small_run, tmp_path):
    """Makes a run that differs from the small one by its seed, by what its dictionary is called,
    and by its scores.
    """

    def make(seed: int, dictionary: str = "embedded", value: float = 0.5, **tables) -> Path:
        folder = tmp_path / f"{dictionary}-{seed}-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(small_run / "out", folder)
        written = read_sealed_json(folder / "experiment.json")
        written["experiment"]["run"]["seed"] = seed
        written["experiment"]["decompose"] = {"dictionary": dictionary}
        for name, table in tables.items():
            written["experiment"][name] |= table
        (folder / "experiment.json").write_bytes(seal_json(written))
        rewrite(folder.glob("score/*/scores/*.parquet"), value=value)
        # as if every feature that was tried had been explained
        rewrite(folder.glob("*/*/failures/*.parquet"), stage="sample")
        return folder

    return make


def rewrite(paths: Iterable[Path], **column) -> None:
    for path in paths:
        edit(path, lambda row: row | column)


def numbers(folders: list[Path]) -> dict[str, Estimate]:
    grid = compare_runs(folders).blocks[0]
    assert isinstance(grid, Grid)
    return {str(row[0]): row[2] for row in grid.rows if isinstance(row[2], Estimate)}


def test_two_dictionaries_with_two_seeds_each_have_a_difference_with_its_interval(twin):
    runs = [twin(0, "a", 0.8), twin(1, "a", 0.82), twin(0, "b", 0.5), twin(1, "b", 0.52)]
    found = numbers(runs)
    assert found["a"].value == pytest.approx(0.81)
    assert found["a"].high - found["a"].value == pytest.approx(12.706 * 0.01, rel=1e-3)
    assert found["a − b"].value == pytest.approx(0.3)
    # by Welch: two degrees of freedom
    assert found["a − b"].high - 0.3 == pytest.approx(4.3027 * 0.01 * 2**0.5, rel=1e-3)


def test_a_difference_within_the_spread_over_seeds_is_none(twin):
    found = numbers([twin(0, "a", 0.8), twin(1, "a", 0.4), twin(0, "b", 0.7), twin(1, "b", 0.3)])
    difference = found["a − b; no difference is shown"]
    assert difference.low < 0 < difference.high


def test_one_seed_is_refused_with_what_to_run(twin):
    message = (
        "b has one run, with seed 0, and no comparison is printed without an interval over seeds;"
        " run its experiment again"
    )
    with pytest.raises(BadSettings, match=message):
        compare_runs([twin(0, "a"), twin(1, "a"), twin(0, "b")])


def test_the_same_seed_twice_is_no_second_seed(twin):
    with pytest.raises(BadSettings, match="two runs of a have the same seed"):
        compare_runs([twin(3, "a"), twin(3, "a")])


def test_runs_that_differ_in_more_are_refused(twin):
    with pytest.raises(
        Mismatch,
        match=r"differ in \[collect\]; compare dictionaries between runs that are otherwise alike",
    ):
        compare_runs([twin(0, "a"), twin(1, "b", collect={"max_tokens": 7})])


def test_the_command_refuses_in_one_sentence(twin, tmp_path):
    process = start(tmp_path, "report", str(twin(0)), str(twin(0, "another")))
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert err.startswith("gloss: embedded has one run, with seed 0, and no comparison is printed")
