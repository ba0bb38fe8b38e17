import numpy as np

from gloss.sample.samplers import Random


def test_every_window_is_as_likely_as_any_other(rng):
    maxima = np.arange(20).astype(np.float32)
    counts = np.bincount(
        np.concatenate([Random().choose(maxima, 5, rng).rows for _ in range(1000)]), minlength=20
    )
    assert np.abs(counts - 250).max() < 65  # 4.7 standard deviations


def test_rare_strong_windows_are_mostly_missed(rng):
    maxima = np.append(np.ones(9990), np.full(10, 100)).astype(np.float32)
    strongest = [maxima[Random().choose(maxima, 40, rng).rows].max() for _ in range(100)]
    assert np.mean(np.array(strongest) == 100) < 0.15
