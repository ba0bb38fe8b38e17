"""Explanations that predict their features are told from those that predict as others' do."""

import numpy as np
import pytest

from gloss.evaluate.interpretability import Interpretability
from gloss.evaluate.measure import RunScores, ScoredBy
from gloss.records import Evaluation

OF = "execution of rule"


def measured(own: np.ndarray, others: np.ndarray, examined: int) -> Evaluation:
    values = {"none": own, "shuffled_explanation": others}
    scores = RunScores(examined, {OF: ScoredBy("f1", values)})
    return Interpretability().measure_scores(scores, np.random.default_rng(0))


def test_explanations_that_predict_stand_above_those_of_others(rng) -> None:
    found = measured(rng.uniform(0.6, 0.9, 40), rng.uniform(0, 0.1, 40), 50)
    rows = {row.name: row for row in found.rows}
    assert rows["median_f1"].estimate.low > rows["median_f1_by_shuffled_explanation"].estimate.high
    assert rows["explained"].estimate.value == pytest.approx(0.8)
    assert rows["median_f1_of_all"].n == 50
    assert found.value("median_f1_of_all", OF) < found.value("median_f1", OF)
    aims = Interpretability.aims
    assert (aims.of("median_f1"), aims.of("median_f1_of_all"), aims.of("explained")) == (1, 1, 1)
    assert aims.of("median_f1_by_shuffled_explanation") == 0


def test_explanations_that_are_chance_do_not_and_what_was_not_explained_counts_as_0(rng) -> None:
    chance = rng.uniform(0, 0.1, 80)
    found = measured(chance[:40], chance[40:], 100)
    rows = {row.name: row for row in found.rows}
    assert rows["median_f1"].estimate.low < rows["median_f1_by_shuffled_explanation"].estimate.high
    assert found.value("median_f1_of_all", OF) == 0
    nothing = measured(np.zeros(0), np.zeros(0), 10)
    assert nothing.value("explained", OF) == 0
    assert np.isnan(nothing.value("median_f1", OF))
