"""Judges with a position bias are found out, and judges without are not suspected."""

import numpy as np
import pytest

from gloss.models.planted.judges import (
    clean_judge,
    copying_judge,
    leaning_judge,
    planted_verdicts,
    tiring_judge,
)
from gloss.records import Reason, Verdict
from gloss.score.judge.position_bias import BIASES, is_noticeable, measure_position_bias


def measured(judge, rng, scores: int = 40, **settings):
    return measure_position_bias(
        planted_verdicts(judge, rng, **settings, covered=rng.uniform(0, 1)) for _ in range(scores)
    )


@pytest.mark.parametrize(
    ("judge", "bias", "known"),
    [(leaning_judge, "yes_by_position", -0.3), (copying_judge, "copying", 0.1)],
)
def test_a_bias_is_measured_and_noticed(judge, bias, known, rng):
    found = measured(judge, rng, scores=100)
    assert found[bias].low <= known <= found[bias].high
    assert [name for name in BIASES if is_noticeable(found[name])] == [bias]


def test_errors_that_grow_along_a_request_are_noticed(rng):
    found = measure_position_bias(
        planted_verdicts(tiring_judge, rng, covered=1.0) for _ in range(40)
    )
    assert is_noticeable(found["errors_by_position"])
    assert found["errors_by_position"].value == pytest.approx(0.21, abs=0.05)


def test_a_clean_judge_is_seldom_suspected(rng):
    suspected = np.zeros(len(BIASES))
    for _ in range(300):
        found = measured(clean_judge, rng, scores=2)
        suspected += [is_noticeable(found[name]) for name in BIASES]
    assert (suspected / 300 <= 0.05).all()


def test_features_that_a_judge_says_yes_to_as_a_whole_are_no_copying(rng):
    """Each explanation fits all contexts or none: answers within a request are alike, and not
    because of each other.
    """
    found = measure_position_bias(
        planted_verdicts(lambda *_, yes=yes: yes, rng) for yes in (0.05, 0.95) * 30
    )
    assert not is_noticeable(found["copying"])


def test_few_scores_are_not_biased(rng):
    """What is left of answers adds up to 0 in each score, which alone would look like avoiding
    one's last answer.
    """
    values = [
        measure_position_bias([planted_verdicts(clean_judge, rng, items=12, size=6)])[
            "copying"
        ].value
        for _ in range(2000)
    ]
    assert np.nanmean(values) == pytest.approx(0, abs=0.03)


def test_missing_answers_and_single_questions_say_nothing(rng):
    lost = [
        Verdict(
            position, bool(position % 2), None, Reason.UNPARSABLE, question=0, position=position
        )
        for position in range(9)
    ]
    alone = [Verdict(row, bool(row % 2), True, question=row, position=0) for row in range(9)]
    for found in (
        measure_position_bias([]),
        measure_position_bias([lost]),
        measure_position_bias([alone]),
    ):
        assert all(np.isnan(found[name].value) for name in BIASES)
        assert not any(is_noticeable(found[name]) for name in BIASES)
