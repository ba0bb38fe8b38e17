import numpy as np
import pytest

from gloss.sample.samplers import Quantiles


def counts(windows: int, number: int, quantiles: int, rng: np.random.Generator) -> np.ndarray:
    choice = Quantiles(quantiles).choose(np.arange(windows).astype(np.float32), number, rng)
    return np.bincount(choice.quantiles, minlength=quantiles)


def test_each_quantile_gives_equally_many(rng):
    assert counts(1000, 40, 10, rng).tolist() == [4] * 10


@pytest.mark.parametrize("number", [41, 45, 49, 7])
def test_what_does_not_divide_is_spread_and_not_dropped(number, rng):
    found = counts(1003, number, 10, rng)
    assert found.sum() == number
    assert found.max() - found.min() == 1


def test_the_windows_that_do_not_divide_are_used(rng):
    """Of 19 windows in 10 slices a slice of one each would leave nine windows unseen."""
    seen = {
        row
        for _ in range(200)
        for row in Quantiles(10).choose(np.arange(19).astype(np.float32), 10, rng).rows.tolist()
    }
    assert seen == set(range(19))


def test_an_exhausted_quantile_hands_its_share_on(rng):
    """Slices of 15 windows hold one or two; 14 wanted is more than one each can give evenly."""
    found = counts(15, 14, 10, rng)
    assert found.sum() == 14
    assert found.max() == 2


def test_quantile_0_holds_the_strongest(rng):
    maxima = np.arange(100).astype(np.float32)
    choice = Quantiles().choose(maxima, 20, rng)
    assert maxima[choice.rows[choice.quantiles == 0]].min() >= 90
    assert maxima[choice.rows[choice.quantiles == 9]].max() < 10


def test_every_window_of_a_slice_is_as_likely(rng):
    rows = np.concatenate(
        [Quantiles(2).choose(np.arange(20).astype(np.float32), 4, rng).rows for _ in range(1000)]
    )
    assert np.abs(np.bincount(rows, minlength=20) - 200).max() < 60
