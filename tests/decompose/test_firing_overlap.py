"""What became of a feature: planted copies, splits, absorptions and parts are told apart, and what
fires by itself is none of them.
"""

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from gloss.decompose.coactivation import moved_in_time
from gloss.decompose.firing_overlap import Fate, divided

TOKENS = 2000


def side(*features: np.ndarray) -> csc_matrix:
    return csc_matrix(np.stack(features, axis=1).astype(np.float32))


def fires(rng: np.random.Generator, share: float = 0.05) -> np.ndarray:
    return (rng.random(TOKENS) < share) * rng.uniform(0.5, 2, TOKENS)


def shares_of(feature: np.ndarray, *ends: float) -> list[np.ndarray]:
    """The feature cut at these shares of the tokens at which it fires, in the order of the text."""
    tokens = np.flatnonzero(feature)
    cuts = [0, *(round(end * len(tokens)) for end in ends), len(tokens)]
    found = []
    for begin, end in pairwise(cuts):
        part = np.zeros(TOKENS)
        part[tokens[begin:end]] = feature[tokens[begin:end]]
        found.append(part)
    return found


def test_each_fate_is_told_by_what_was_planted(rng):
    kept, halved, eaten, alone = (fires(rng) for _ in range(4))
    thirds, (main, first, second) = shares_of(halved, 1 / 3, 2 / 3), shares_of(eaten, 0.6, 0.8)
    wide = fires(rng) + 0.9 * alone
    noise = 0.01 * fires(rng, 0.2)  # traces of activation elsewhere
    left = side(kept, halved, eaten, alone, fires(rng))
    right = side(wide, first, *thirds, main, kept + noise, second, fires(rng))
    found = list(divided(left, right))
    assert [each.fate for each in found] == [
        Fate.ONE,
        Fate.SPLIT,
        Fate.ABSORBED,
        Fate.PART,
        Fate.NONE,
    ]
    assert found[0].others.tolist() == [6]
    assert set(found[1].others.tolist()) == {2, 3, 4}
    assert found[2].others[0] == 5
    assert set(found[2].others.tolist()) == {1, 5, 7}
    assert found[3].others.tolist() == [0]
    assert found[1].covered == pytest.approx(1)
    back = list(divided(right, left))
    assert [back[third].fate for third in (2, 3, 4)] == [Fate.PART] * 3
    assert all(back[third].others.tolist() == [1] for third in (2, 3, 4))


def test_parts_that_fire_at_the_same_tokens_do_not_split_a_feature(rng):
    """Two copies of one half of it leave the other half uncovered."""
    whole = fires(rng)
    half, _ = shares_of(whole, 0.48)
    [found] = divided(side(whole), side(half, 0.9 * half))
    assert found.fate is Fate.NONE


def test_features_that_fire_by_themselves_are_neither_split_nor_absorbed(rng):
    left, right = (side(*(fires(rng) for _ in range(40))) for _ in range(2))
    assert all(each.fate is Fate.NONE for each in divided(left, right))
    moved = moved_in_time(left, rng)
    assert all(each.fate is Fate.NONE for each in divided(left, moved))
    assert all(each.fate is Fate.ONE for each in divided(left, left))


def test_a_feature_that_never_fires_has_none(rng):
    silent = side(np.zeros(TOKENS), fires(rng))
    assert [each.fate for each in divided(silent, silent)] == [Fate.NONE, Fate.ONE]
