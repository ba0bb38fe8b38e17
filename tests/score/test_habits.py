"""Judges with habits are found out, and judges without are not suspected."""

import numpy as np
import pytest

from gloss.models.planted.judges import clean, copying, leaning, tiring, verdicts
from gloss.records import Reason, Verdict
from gloss.score.habits import HABITS, habits, noticed


def measured(judge, rng, scores: int = 40, **settings):
    return habits(verdicts(judge, rng, **settings, covered=rng.uniform(0, 1)) for _ in range(scores))


@pytest.mark.parametrize(("judge", "habit", "known"), [(leaning, "yes_by_place", -0.3), (copying, "copying", 0.1)])
def test_a_habit_is_measured_and_noticed(judge, habit, known, rng):
    found = measured(judge, rng, scores=100)
    assert found[habit].low <= known <= found[habit].high
    assert [name for name in HABITS if noticed(found[name])] == [habit]


def test_errors_that_grow_along_a_request_are_noticed(rng):
    found = habits(verdicts(tiring, rng, covered=1.0) for _ in range(40))
    assert noticed(found["errors_by_place"])
    assert found["errors_by_place"].value == pytest.approx(0.21, abs=0.05)


def test_a_clean_judge_is_seldom_suspected(rng):
    suspected = np.zeros(len(HABITS))
    for _ in range(300):
        found = measured(clean, rng, scores=2)
        suspected += [noticed(found[name]) for name in HABITS]
    assert (suspected / 300 <= 0.05).all()


def test_features_that_a_judge_says_yes_to_as_a_whole_are_no_copying(rng):
    """Each explanation fits all contexts or none: answers within a request are alike, and not because of each other."""
    found = habits(verdicts(lambda *_, yes=yes: yes, rng) for yes in (0.05, 0.95) * 30)
    assert not noticed(found["copying"])


def test_few_scores_are_not_biased(rng):
    """What is left of answers adds up to 0 in each score, which alone would look like avoiding one's last answer."""
    values = [habits([verdicts(clean, rng, items=12, size=6)])["copying"].value for _ in range(2000)]
    assert np.nanmean(values) == pytest.approx(0, abs=0.03)


def test_missing_answers_and_single_questions_say_nothing(rng):
    lost = [Verdict(place, bool(place % 2), None, Reason.UNPARSABLE, question=0, place=place) for place in range(9)]
    alone = [Verdict(row, bool(row % 2), True, question=row, place=0) for row in range(9)]
    for found in (habits([]), habits([lost]), habits([alone])):
        assert all(np.isnan(found[name].value) for name in HABITS)
        assert not any(noticed(found[name]) for name in HABITS)
