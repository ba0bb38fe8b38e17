"""Forests and their spectra are one function."""

import numpy as np
from known import game_of

from gloss.attribute.bases import Basis, all_masks, evaluate_coefficients
from gloss.attribute.solve.boosted_trees import (
    NO_SPLIT,
    BoostingSettings,
    TreeForest,
    boost_trees,
    forest_spectrum,
)


def predicted(forest: TreeForest, kept: np.ndarray) -> np.ndarray:
    """Each mask led down every tree."""
    total = np.full(len(kept), forest.base)
    for players, leaves in zip(forest.players, forest.leaves, strict=True):
        for row, mask in enumerate(kept):
            node = 0
            while node < len(players):
                node = 2 * node + 1 + int(players[node] != NO_SPLIT and not mask[players[node]])
            total[row] += leaves[node - len(players)]
    return total


def test_the_spectrum_of_a_forest_is_the_forest(rng):
    game = game_of({(0,): 1.0, (1, 2): -2.0, (0, 3, 5): 1.5}, 7)
    kept = rng.random((200, 7)) < 0.5
    forest, _ = boost_trees(
        kept,
        game.values(kept) + 0.1 * rng.normal(size=200),
        np.zeros(200, bool),
        BoostingSettings(depth=4, most_trees=12),
    )
    everywhere = all_masks(7)
    found = forest_spectrum(forest, 7, keep=128)
    assert np.allclose(
        evaluate_coefficients(found, Basis.FOURIER, everywhere), predicted(forest, everywhere)
    )


def test_trees_stop_where_held_out_masks_say_so(rng):
    kept = rng.random((300, 10)) < 0.5
    held_out = np.arange(300) < 100
    noise, _ = boost_trees(kept, rng.normal(size=300), held_out, BoostingSettings())
    signal, error = boost_trees(
        kept, 3.0 * kept[:, 4] + rng.normal(size=300), held_out, BoostingSettings()
    )
    assert len(noise.leaves) < 15
    assert len(signal.leaves) > len(noise.leaves)
    assert error < 1.5


def test_a_leaf_holds_enough_masks(rng):
    kept = rng.random((60, 5)) < 0.5
    forest, _ = boost_trees(
        kept,
        rng.normal(size=60),
        np.zeros(60, bool),
        BoostingSettings(depth=5, most_trees=1, smallest_leaf=25),
    )
    assert np.count_nonzero(forest.players[0] != NO_SPLIT) <= 1
