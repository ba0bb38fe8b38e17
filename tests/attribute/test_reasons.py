"""The few sets of tokens that account for an activation: found where there are such, and not
claimed where there are none.
"""

import math

import numpy as np
import pytest

from gloss.attribute.bases import all_masks
from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.token_attribution import TokenAttributionSettings, fit_conjunctions

TOKENS = tuple("abcdefgh")


def fit_game(function):
    return TokenAttributionSettings().fit_game(FunctionGame(TOKENS, function))


def test_a_conjunction_of_two_tokens_is_one_pair():
    found = fit_game(lambda masks: 3.0 * (masks[:, 4] & masks[:, 7]))
    assert found.values == pytest.approx({(): 0.0, (4, 7): 3.0}, abs=1e-9)
    assert found.share == pytest.approx(1.0)
    assert found.n == 256


def test_a_feature_of_one_token_gives_that_token_alone():
    found = fit_game(lambda masks: 0.5 + 2.0 * masks[:, 7])
    assert found.values == pytest.approx({(): 0.5, (7,): 2.0})


def test_either_of_two_tokens_is_both_less_what_they_share():
    found = fit_game(lambda masks: masks[:, 2] | masks[:, 7])
    assert found.values == pytest.approx({(): 0.0, (2,): 1.0, (7,): 1.0, (2, 7): -1.0}, abs=1e-9)


def test_noise_below_the_least_gain_adds_no_set(rng: np.random.Generator):
    noise = 0.05 * rng.standard_normal(256)
    found = fit_game(lambda masks: 1.0 * masks[:, 7] + noise)
    assert set(found.values) == {(), (7,)}


def test_a_random_function_is_not_accounted_for(rng: np.random.Generator):
    values = rng.standard_normal(256)
    assert fit_game(lambda masks: values).share < 0.5


def test_what_never_changes_has_no_sets_and_no_share():
    found = fit_conjunctions(all_masks(3), np.full(8, 2.5))
    assert found.values == {(): 2.5}
    assert math.isnan(found.share)
