"""Sets read from the parities of their members."""

import numpy as np
import pytest

from gloss.attribute.solve.parity_codes import ParityCode


def drawn(players: int, sizes: list[int], rng: np.random.Generator) -> np.ndarray:
    sets = np.zeros((len(sizes), players), bool)
    for row, size in zip(sets, sizes, strict=True):
        row[rng.choice(players, size, replace=False)] = True
    return sets


def answers(code: ParityCode, sets: np.ndarray) -> np.ndarray:
    return (sets.astype(int) @ code.parities.T.astype(int)) % 2 == 1


@pytest.mark.parametrize("players", [3, 7, 8, 20, 63, 64, 500])
@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_every_set_of_few_players_is_read(players, most, rng):
    code = ParityCode.of(players, most)
    sets = drawn(players, [int(size) for size in rng.integers(0, min(most, players) + 1, 100)], rng)
    members, exists = code.read(answers(code, sets))
    assert exists.all()
    assert (members == sets).all()


def test_larger_sets_are_hardly_ever_taken_for_small_ones(rng):
    code = ParityCode.of(64, 5)
    _, exists = code.read(answers(code, drawn(64, [8] * 300, rng)))
    assert exists.mean() < 0.02


def test_parities_that_follow_from_others_are_not_asked():
    assert len(ParityCode.of(20, 5).parities) == 20
    assert len(ParityCode.of(64, 5).parities) == 35
