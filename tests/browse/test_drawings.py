import math

from gloss.pages.charts import falls_below_zero, whisker
from gloss.records import Estimate


def test_a_score_lies_on_a_scale_from_0_to_1():
    found = whisker(Estimate(0.25, -0.1, 1.2))
    assert (found.value, found.low, found.high) == (25.0, 0.0, 100.0)
    assert (found.start, found.length) == (0.0, 25.0)


def test_a_negative_score_has_a_bar_to_the_left_of_the_middle():
    estimate = Estimate(-0.3, -0.5, 0.1)
    assert falls_below_zero(estimate)
    found = whisker(estimate, signed=True)
    assert (found.value, found.low, found.high) == (35.0, 25.0, 55.0)
    assert (found.start, found.length) == (35.0, 15.0)


def test_what_is_written_as_zero_is_not_negative():
    assert not falls_below_zero(Estimate(-0.004, -0.01, 0.0))


def test_a_score_that_could_not_be_made_is_not_drawn():
    assert whisker(Estimate.missing()) is None
    assert not falls_below_zero(Estimate(math.nan, math.nan, math.nan))
