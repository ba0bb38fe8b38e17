import math

import pytest

from gloss.pages.number_format import (
    format_decimal,
    format_interval,
    format_nats,
    format_one_in,
    format_percent,
    format_strength,
    format_whole,
    short_name,
)
from gloss.records import Estimate


@pytest.mark.parametrize(
    "value, text",
    [(0.84, ".84"), (0.0, ".00"), (1.0, "1.00"), (-0.12, "−.12"), (-0.001, ".00"), (math.nan, "–")],
)
def test_scores_are_written_without_their_leading_zero(value, text):
    assert format_decimal(value) == text


def test_an_interval_is_written_in_brackets():
    assert format_interval(Estimate(0.84, 0.8, 0.88)) == "(.80–.88)"


def test_an_estimate_that_was_not_made_has_no_interval():
    assert format_interval(Estimate.missing()) == ""


def test_one_nat_is_no_plural():
    assert [format_nats(value) for value in (0.33, 1.0, 3.0)] == ["0.33 nats", "1 nat", "3 nats"]


@pytest.mark.parametrize(
    "share, text",
    [
        (0.0, "0"),
        (1.0, "100"),
        (0.82, "82"),
        (0.0043, "0.43"),
        (0.0161, "1.6"),
        (0.000012, "0.0012"),
        (0.9999, "99.9"),
        (4e-5, "0.004"),
    ],
)
def test_shares_keep_two_figures_and_never_become_all_or_nothing(share, text):
    assert format_percent(share) == f"{text}\u202f%"


def test_a_share_of_nothing_known_is_a_dash():
    assert format_percent(math.nan) == "–"


def test_a_share_is_also_a_distance():
    assert (format_one_in(0.0043), format_one_in(0.9), format_one_in(0.0)) == ("1 in 233", "", "")


def test_counts_have_their_thousands_apart():
    assert format_whole(131072) == "131,072"


@pytest.mark.parametrize(
    "value, text",
    [(12.7341, "12.7"), (999.7, "1,000"), (-0.5, "−0.5"), (4321.0, "4,321"), (math.inf, "–")],
)
def test_activations_keep_three_figures(value, text):
    assert format_strength(value) == text


@pytest.mark.parametrize(
    "name, text",
    [
        ("/models/tiny-4m/", "tiny-4m"),
        ("org/model", "model"),
        ("C:\\models\\tiny", "tiny"),
        ("model", "model"),
    ],
)
def test_a_path_goes_by_its_last_part(name, text):
    assert short_name(name) == text
