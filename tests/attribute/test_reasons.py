"""The few sets of tokens that account for an activation: found where there are such, and not claimed where there are none."""

import math

import numpy as np
import pytest

from gloss.attribute.game import Function
from gloss.attribute.reasons import Reasoning, accounted
from gloss.attribute.transforms import all_masks

TOKENS = tuple("abcdefgh")


def account(function):
    return Reasoning().account(Function(TOKENS, function))


def test_a_conjunction_of_two_tokens_is_one_pair():
    found = account(lambda masks: 3.0 * (masks[:, 4] & masks[:, 7]))
    assert found.values == pytest.approx({(): 0.0, (4, 7): 3.0}, abs=1e-9)
    assert found.share == pytest.approx(1.0)
    assert found.n == 256


def test_a_feature_of_one_token_gives_that_token_alone():
    found = account(lambda masks: 0.5 + 2.0 * masks[:, 7])
    assert found.values == pytest.approx({(): 0.5, (7,): 2.0})


def test_either_of_two_tokens_is_both_less_what_they_share():
    found = account(lambda masks: masks[:, 2] | masks[:, 7])
    assert found.values == pytest.approx({(): 0.0, (2,): 1.0, (7,): 1.0, (2, 7): -1.0}, abs=1e-9)


def test_noise_below_the_least_gain_adds_no_set(rng: np.random.Generator):
    noise = 0.05 * rng.standard_normal(256)
    found = account(lambda masks: 1.0 * masks[:, 7] + noise)
    assert set(found.values) == {(), (7,)}


def test_a_random_function_is_not_accounted_for(rng: np.random.Generator):
    values = rng.standard_normal(256)
    assert account(lambda masks: values).share < 0.5


def test_what_never_changes_has_no_sets_and_no_share():
    found = accounted(all_masks(3), np.full(8, 2.5))
    assert found.values == {(): 2.5}
    assert math.isnan(found.share)
