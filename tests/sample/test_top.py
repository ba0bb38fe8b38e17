import numpy as np

from gloss.sample.samplers import Top


def test_the_strongest_are_chosen(rng):
    choice = Top().choose(np.array([1, 5, 3, 9, 2], np.float32), 3, rng)
    assert choice.rows.tolist() == [3, 1, 2]


def test_among_equals_the_first_are_chosen(rng):
    assert Top().choose(np.ones(5, np.float32), 2, rng).rows.tolist() == [0, 1]


def test_the_weak_half_is_never_seen(rng):
    assert Top().choose(np.arange(1000).astype(np.float32), 100, rng).quantiles.max() == 0
