"""Bases hold the same function; conversions are exact."""

from itertools import permutations

import numpy as np
import pytest
from known import sets_up_to

from gloss.attribute.bases import (
    Basis,
    all_masks,
    changes_by_player,
    conjunction_coefficients,
    convert_basis,
    evaluate_coefficients,
    walsh_hadamard_coefficients,
)
from gloss.errors import BadInput


def random_sets(
    rng: np.random.Generator, players: int, count: int, order: int
) -> dict[tuple[int, ...], float]:
    sizes = rng.integers(0, order + 1, count)
    return {
        tuple(sorted(rng.choice(players, size, replace=False).tolist())): float(rng.normal())
        for size in sizes
    }


@pytest.mark.parametrize(("given", "wanted"), list(permutations(Basis, 2)))
@pytest.mark.parametrize("players", [6, 12])
def test_every_basis_gives_the_same_values(
    given: Basis, wanted: Basis, players: int, rng: np.random.Generator
):
    coefficients = random_sets(rng, players, 200, players)
    masks = all_masks(players)
    there = convert_basis(coefficients, given, wanted)
    assert evaluate_coefficients(there, wanted, masks) == pytest.approx(
        evaluate_coefficients(coefficients, given, masks), abs=1e-9
    )
    back = convert_basis(there, wanted, given)
    assert {one: back.get(one, 0.0) for one in coefficients} == pytest.approx(
        coefficients, abs=1e-9
    )


@pytest.mark.parametrize(("given", "wanted"), list(permutations(Basis, 2)))
def test_sets_among_a_thousand_players_cost_their_subsets_alone(
    given: Basis, wanted: Basis, rng: np.random.Generator
):
    coefficients = random_sets(rng, 1000, 50, 5)
    masks = rng.random((100, 1000)) < 0.5
    there = convert_basis(coefficients, given, wanted)
    assert evaluate_coefficients(there, wanted, masks) == pytest.approx(
        evaluate_coefficients(coefficients, given, masks), abs=1e-9
    )
    assert len(there) <= 50 * 32


@pytest.mark.parametrize("basis", Basis)
def test_changes_are_differences_of_values(basis: Basis, rng: np.random.Generator):
    coefficients = random_sets(rng, 9, 60, 5)
    for mask in (np.ones(9, bool), np.zeros(9, bool), rng.random(9) < 0.5):
        flipped = mask ^ np.eye(9, dtype=bool)
        here = evaluate_coefficients(coefficients, basis, mask[None])
        wanted = evaluate_coefficients(coefficients, basis, flipped) - here
        assert changes_by_player(coefficients, basis, mask) == pytest.approx(wanted, abs=1e-12)


def test_values_of_many_masks_are_worked_out_in_parts(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
):
    coefficients, masks = random_sets(rng, 12, 40, 4), all_masks(12)
    whole = evaluate_coefficients(coefficients, Basis.MOBIUS, masks)
    monkeypatch.setattr("gloss.attribute.bases.MOST_TERMS", 1000)
    assert (evaluate_coefficients(coefficients, Basis.MOBIUS, masks) == whole).all()


def test_by_hand():
    assert convert_basis({(0, 3): 4.0}, Basis.MOBIUS, Basis.FOURIER) == {
        (): 1.0,
        (0,): 1.0,
        (3,): 1.0,
        (0, 3): 1.0,
    }
    assert convert_basis({(0, 1): 1.0}, Basis.FOURIER, Basis.MOBIUS) == {
        (): 1.0,
        (0,): -2.0,
        (1,): -2.0,
        (0, 1): 4.0,
    }


def test_a_conjunction_of_kept_and_removed_players_is_a_few_parities():
    masks = all_masks(4)
    truth = 3.0 * (masks[:, 0] & masks[:, 2] & ~masks[:, 1])
    assert evaluate_coefficients(
        conjunction_coefficients((0, 2), (1,), 3.0), Basis.FOURIER, masks
    ) == pytest.approx(truth)


def test_all_values_give_all_coefficients(rng: np.random.Generator):
    values = rng.normal(size=2**8)
    found = walsh_hadamard_coefficients(values, 8)
    assert len(found) == 2**8
    assert evaluate_coefficients(found, Basis.FOURIER, all_masks(8)) == pytest.approx(values)
    assert list(found) == sorted(sets_up_to(8, 8), key=lambda one: (len(one), one))


def test_sets_too_large_to_convert_are_refused_in_a_sentence():
    with pytest.raises(BadInput, match="sets of up to 40 players"):
        convert_basis({tuple(range(40)): 1.0}, Basis.MOBIUS, Basis.FOURIER)
