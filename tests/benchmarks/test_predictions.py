"""The benchmark of predictions: every method has its row, peers answer from a process of their own,
and what beats `auto` is in bold.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.attribute import __main__ as benchmark
from benchmarks.attribute.peers import Peers, Refused
from benchmarks.attribute.predictions import Case, KnownRows, Row, own_methods, rows_of, tables
from benchmarks.attribute.real_games import digit_game
from gloss.attribute.game import FunctionGame


def quadratic(masks: np.ndarray) -> np.ndarray:
    """Ten players, two of which act together, and two that stand in for each other."""
    x = masks.astype(float)
    return 3 * x[:, 0] * x[:, 1] - 2 * x[:, 2] * x[:, 3] + 2 * x[:, 2] + 2 * x[:, 3] + x[:, 4] - 1


@pytest.fixture
def game() -> FunctionGame:
    return FunctionGame(tuple(map(str, range(10))), quadratic)


def rows(game: FunctionGame, known: Path, *methods: str) -> dict[str, Row]:
    cases = iter([Case("planted", "one", game, 256)])
    found = rows_of(cases, methods, (None, ()), KnownRows(known), 3)
    return {row.method: row for row in found}


def test_every_method_has_a_row_with_no_more_masks_than_its_budget(game, tmp_path):
    found = rows(game, tmp_path / "rows.jsonl", *own_methods(256))
    assert list(found) == list(own_methods(256))
    assert all(row.masks <= 256 and not row.refused for row in found.values())
    for exact in ("auto", "lasso, order 2", "faithful", "banzhaf, order 2"):
        assert min(found[exact].half, found[exact].near) > 0.999
    assert found["lasso, order 1"].half < 0.95


def test_known_rows_are_not_measured_again(game, tmp_path):
    before = rows(game, tmp_path / "rows.jsonl", "lasso, order 1", "occlusion")

    def refuse(masks: np.ndarray) -> np.ndarray:
        raise AssertionError("nothing is asked again")

    silent = FunctionGame(game.players, refuse)
    assert rows(silent, tmp_path / "rows.jsonl", "lasso, order 1", "occlusion") == before


def test_a_row_that_was_torn_by_a_kill_is_measured_again(game, tmp_path):
    path = tmp_path / "rows.jsonl"
    before = rows(game, path, "lasso, order 1", "occlusion")
    path.write_text(path.read_text()[:-20])
    again = rows(game, path, "lasso, order 1", "occlusion")
    assert again["occlusion"][:7] == before["occlusion"][:7]
    assert [json.loads(line)[3] for line in path.read_text().splitlines()][-1] == "occlusion"


def test_what_beats_auto_by_more_than_a_standard_error_is_in_bold():
    found = [
        Row(0, "words", str(game), method, 64, half, near, 64, 0.1)
        for game in range(3)
        for method, half, near in (
            ("auto", 0.5, 0.5 + game / 100),
            ("better half", 0.6 + game / 100, 0.3),
            ("as good", 0.5 + (game - 1) / 100, 0.5 + game / 100),
        )
    ]
    found.append(Row(0, "words", "0", "unable", 64, refused="too many players"))
    lines = list(tables(found))
    half, near = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    assert "words (3; 64)" in half[1]
    assert half[4].startswith("| better half | **0.610 (-0.110 ± 0.006)** |")
    assert "**" not in half[5] + "".join(near)
    assert "| unable | refused |" in half[6]
    assert "| as good | 0.495 of 2 (" in list(tables(found[:-2]))[5]


def test_a_removed_block_of_a_digit_is_as_bright_as_on_average():
    image, dim = np.arange(4) / 4, np.full(4, 0.5)

    def probabilities(seen: np.ndarray) -> np.ndarray:
        return np.stack([1 - seen.mean(axis=1), seen.mean(axis=1)], axis=1)

    made = digit_game(probabilities, image, dim, np.array([0, 0, 1, 1]))
    masks = np.array([[True, True], [True, False], [False, False]])
    seen = [image.mean(), (0.125 + 0.5) / 2, 0.5]
    assert made.values(masks) == pytest.approx([np.log((1 - each) / each) for each in seen])


def test_peers_are_asked_through_a_process_and_ask_for_values(game):
    pytest.importorskip("shapiq", reason="shapiq is not installed; pip install gloss-lm[interop]")
    masks = np.random.default_rng(0).random((50, 10)) < 0.5
    with Peers(Path(sys.executable)) as peers:
        found = peers.predict("RegressionFBII, order 2", game, (200, 1), masks)
        assert found.numbers == pytest.approx(quadratic(masks), abs=1e-6)
        assert 100 < found.masks <= 200
        values = peers.estimate("BV", "RegressionFBII, order 2", game, (200, 1), [(0,), (5,)])
        assert values.numbers == pytest.approx([1.5, 0.0], abs=1e-6)
        with pytest.raises(Refused, match="KeyError"):
            peers.predict("nothing", game, (200, 1), masks)


def test_the_small_benchmark_prints_tables_and_its_seed(monkeypatch, capsys, tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    monkeypatch.setattr(benchmark, "SPARSE", ("auto", "lasso, order 1"))
    small = ["--small", "--each", "2", "--seed", "4", "--kept", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["attribute", "kinds", "indices", *small])
    benchmark.main()
    told = capsys.readouterr().out
    assert "seed 4; shapiq left out" in told
    assert "| masks near the whole | flat, 20 players (1; 672) | hier, 20 players" in told
    assert "| Banzhaf values | gloss, process |" in told
    assert "| Shapley values, gloss, process |" in told
