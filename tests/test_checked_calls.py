"""Calls inside gloss are checked in tests: their types, and the axes that their arrays share."""

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation

from gloss.records import Estimate, FeatureActivations
from gloss.statistics.intervals import ratio_with_interval, student_interval


def test_an_argument_of_another_type_is_told():
    with pytest.raises(BeartypeCallHintViolation):
        student_interval([1.0, 2.0])


def test_another_number_of_axes_is_told():
    with pytest.raises(BeartypeCallHintViolation):
        student_interval(np.ones((2, 2)))


def test_arrays_that_share_an_axis_are_of_one_length(rng):
    with pytest.raises(BeartypeCallHintViolation):
        ratio_with_interval(np.ones(3), np.ones(4), rng)
    ratio_with_interval(np.ones(3), np.ones(3), rng)
    ratio_with_interval(np.ones(4), np.ones(4), rng)  # a call's axes say nothing of the next's


def test_a_record_of_another_type_is_told():
    with pytest.raises(BeartypeCallHintViolation):
        Estimate("much", 0.0, 1.0)


def test_arrays_of_a_record_are_checked_though_it_loads_without_numpy():
    FeatureActivations(np.zeros(2, np.int64), np.ones(2, np.float32))
    with pytest.raises(BeartypeCallHintViolation):
        FeatureActivations(np.zeros(2, np.int64), np.ones(3, np.float32))
    with pytest.raises(BeartypeCallHintViolation):
        FeatureActivations(np.zeros(2, np.int64), np.ones(2, np.float64))
