import numpy as np
import pytest

from gloss.sample.samplers import Mix


def test_a_fifth_is_from_the_top_and_the_rest_of_every_strength(rng):
    maxima = np.arange(1000).astype(np.float32)[::-1].copy()
    choice = Mix().choose(maxima, 40, rng)
    assert choice.rows[:8].tolist() == list(range(8))
    rest = choice.rows[8:]
    slices = np.searchsorted(np.arange(11) * 992 // 10, rest - 8, side="right") - 1
    assert sorted(set(np.bincount(slices, minlength=10).tolist())) == [3, 4]


def test_all_from_the_top_is_top(rng):
    assert Mix(top_share=1.0).choose(
        np.arange(50).astype(np.float32), 10, rng
    ).rows.tolist() == list(range(49, 39, -1))


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_beyond_0_to_1_is_refused(share):
    with pytest.raises(ValueError, match=f"from 0 to 1, got {share}"):
        Mix(top_share=share)
