"""Bits, at the edges of what numbers can say."""

import numpy as np

from gloss.explain.rule_search.description_length import DescriptionLength, entropy_bits


def test_half_of_them_cost_a_bit_each() -> None:
    assert entropy_bits(np.array([4.0]), np.array([8.0])).tolist() == [8.0]


def test_what_is_left_of_rounded_sums_costs_next_to_nothing() -> None:
    bits = entropy_bits(np.array([1e-9, 1e300, 0.0, -1e-12]), np.array([0.0, 1e-300, 0.0, 1e-12]))
    assert np.isfinite(bits).all()
    assert np.allclose(bits, 0.0)


def test_a_rule_that_covers_all_saves_all() -> None:
    description = DescriptionLength(firing=0.1 + 0.2, inactive=1e6 / 3)
    assert np.isclose(description.saved(np.array([0.3]), np.array([0.0])), description.bits)
