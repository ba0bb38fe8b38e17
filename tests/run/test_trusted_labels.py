"""Labels that can be trusted: their intervals clear those of every control."""

import math

import pytest

from gloss.models.chat_models.prices import Prices
from gloss.records import Aspect, Control
from gloss.run.reporting.trusted_labels import as_far_as_about, cost_of_one, trusted_features


def row(feature: int, control: Control, value: float, width: float = 0.1) -> dict:
    return {"feature": feature, "control": control, "low": value - width, "high": value + width}


@pytest.mark.parametrize(
    ("own", "random", "shuffled", "trusted"),
    [
        (0.8, 0.1, 0.2, True),
        (0.8, 0.1, 0.65, False),  # one control comes as far
        (0.3, 0.05, 0.09, True),
        (0.29, 0.05, 0.1, False),
        (math.nan, 0.1, 0.1, False),
        (0.8, math.nan, 0.1, False),
    ],
)
def test_a_label_is_trusted_where_it_clears_every_control(own, random, shuffled, trusted):
    rows = [
        row(7, Control.NONE, own),
        row(7, Control.RANDOM_EXPLANATION, random),
        row(7, Control.SHUFFLED_EXPLANATION, shuffled),
    ]
    assert trusted_features(rows) == {7: trusted}


@pytest.mark.parametrize(
    ("spent", "trusted", "share", "told"),
    [
        ((400, 8000, 2000), 100, 1.0, "4.0 requests, 100 tokens, 0.0018 money"),
        ((400, 8000, 2000), 10, 0.1, "4.0 requests, 100 tokens, 0.0018 money"),  # of a tenth
        ((0, 0, 0), 5, 1.0, "nothing asked"),
        ((400, 8000, 2000), 0, 1.0, "none is"),
        ((0, 0, 0), 0, 1.0, "none is"),
    ],
)
def test_one_costs_the_same_however_many_have_controls(spent, trusted, share, told):
    names = ("requests", "prompt_tokens", "answer_tokens")
    counted, prices = dict(zip(names, spent, strict=True)), Prices(10.0, 50.0)
    assert cost_of_one(counted, trusted, share, prices) == told
    if trusted and spent[0]:
        assert cost_of_one(counted, trusted, share) == told.replace("0.0018", "unknown")


def test_a_feature_without_a_control_is_left_out():
    rows = [row(1, Control.NONE, 0.9), row(2, Control.NONE, 0.9)]
    rows.append(row(2, Control.RANDOM_EXPLANATION, 0.1))
    assert trusted_features(rows) == {2: True}


def test_a_rule_is_not_trusted_for_what_follows_where_it_holds():
    """Of a route's labels some are rules of what a feature reads, some name what it says."""
    verdicts, rules = {1: True, 2: True, 3: False}, {1}
    assert as_far_as_about(verdicts, (Aspect.OUTPUT,), rules) == {2: True, 3: False}
    assert as_far_as_about(verdicts, (Aspect.INPUT,), rules) == verdicts
    assert as_far_as_about(verdicts, (Aspect.INPUT, Aspect.OUTPUT), rules) == verdicts
