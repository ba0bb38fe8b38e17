"""The benchmark of indices: errors are those of its definition, and what wins is in bold."""

import numpy as np
import pytest

from benchmarks.attribute.indices import (
    IndexRow,
    coverage_table,
    exact,
    index_table,
    own_rows,
    relative_error,
)
from benchmarks.attribute.whole_games import WholeGame
from gloss.attribute.bases import all_masks


@pytest.fixture
def pair() -> WholeGame:
    """Two of eight players act only together, and a third alone."""
    masks = all_masks(8)
    return WholeGame("planted", "pair", 2.0 * (masks[:, 0] & masks[:, 1]) + masks[:, 2])


def test_exact_indices_share_a_pair_in_halves(pair: WholeGame):
    known = exact(pair)
    assert known["SV"] == pytest.approx([1, 1, 1, 0, 0, 0, 0, 0])
    assert known["BV"] == pytest.approx(known["SV"])
    for index in ("SII", "BII"):
        assert known[index][0] == pytest.approx(2)
        assert known[index][1:] == pytest.approx(0)


def test_an_estimate_of_nothing_has_error_one():
    known = np.array([1.0, -2.0])
    assert relative_error(np.zeros(2), known) == 1
    assert relative_error(known, known) == 0


def test_every_method_of_gloss_pays_for_no_more_than_its_budget(pair: WholeGame):
    rows = list(own_rows("pair", pair, 64, 3))
    assert {row.index for row in rows} == {"SV", "BV", "SII", "BII"}
    assert all(row.masks <= 64 for row in rows)
    assert all(row.error < 0.05 for row in rows if "process" in row.method)
    assert all(0 <= row.held <= 1 for row in rows)


def test_the_least_error_of_each_budget_is_in_bold():
    rows = [
        IndexRow(game, "SV", method, 64, error, 64, 0.1)
        for game, spread in (("a", 0.0), ("b", 0.01))
        for method, error in (("one", 0.1 + spread), ("other", 0.2))
    ]
    _, _, first, second = index_table(rows)
    assert "**0.11 ± 0.005; 64, 0.1 s**" in first
    assert "**" not in second


def test_coverage_is_the_mean_share_of_gloss_own_intervals():
    rows = [IndexRow(str(at), "SV", "gloss", 64, 0.1, 64, 0.1, at / 2) for at in range(3)]
    peer = IndexRow("a", "SV", "shapiq", 64, 0.1, 64, 0.1)
    *_, line = coverage_table([*rows, peer])
    assert line == "| Shapley values, gloss | 0.500 |"
