"""What each metric can see, against Oikarinen et al.

(2025), table 2, and against metrics worked out here.
"""

import numpy as np
import pytest

from gloss.score.metric_sanity import SANITY, sanity_of_metric

PUBLISHED = {
    "recall": (True, False),
    "precision": (False, True),
    "f1": (True, True),
    "iou": (True, True),
    "accuracy": (False, False),
    "balanced_accuracy": (True, False),
    "auroc": (True, False),
    "pearson": (True, True),
    "spearman": (False, False),
    "cosine": (True, True),
    "auprc": (True, True),
}
FALLS = 0.001  # by less than this, a metric has not fallen


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_table_agrees_with_the_published_one(name):
    found = SANITY[name]
    assert (found.missing, found.extra) == PUBLISHED[name]


def rates(true_positive: float, false_positive: float, share: float) -> dict[str, float]:
    """Metrics of a label that claims these shares of firing and of inactive contexts, where `share`
    of contexts fires.
    """
    claimed = share * true_positive + (1 - share) * false_positive
    precision = share * true_positive / claimed
    return {
        "recall": true_positive,
        "precision": precision,
        "f1": 2 * precision * true_positive / (precision + true_positive),
        "balanced_accuracy": (true_positive + 1 - false_positive) / 2,
    }


@pytest.mark.parametrize("name", ["recall", "precision", "f1", "balanced_accuracy"])
def test_closed_forms_at_a_rare_rate_fall_where_the_table_says_so(name):
    share = 1e-3
    whole = rates(1.0, 0.0, share)[name]
    missing = rates(0.5, 0.0, share)[name]
    extra = rates(1.0, share / (1 - share), share)[name]
    assert (whole - missing > FALLS, whole - extra > FALLS) == (
        SANITY[name].missing,
        SANITY[name].extra,
    )


def test_a_metric_of_contexts_as_they_were_sampled_cannot_see_random_extra_claims():
    share = 1e-4
    as_sampled = rates(1.0, share / (1 - share), 0.5)["f1"]
    assert 1 - as_sampled < FALLS
    sampled, at_true_rate = (
        sanity_of_metric("f1", {"f1", "f1_at_base_rate"}),
        sanity_of_metric("f1_at_base_rate", {"f1", "f1_at_base_rate"}),
    )
    assert sampled is not None
    assert not sampled.extra
    assert at_true_rate is not None
    assert at_true_rate.sound
    assert sanity_of_metric("f1", {"f1", "precision"}) == at_true_rate


def test_pearsons_correlation_sees_both(rng):
    truth = (rng.random(200_000) < 1e-3).astype(float)
    half = truth * (rng.random(len(truth)) < 0.5)
    doubled = np.maximum(truth, rng.random(len(truth)) < 1e-3)
    for label in (half, doubled):
        assert np.corrcoef(truth, label)[0, 1] < 1 - FALLS


def test_a_corrected_metric_sees_what_the_plain_one_does_and_a_choices_has_no_test():
    assert sanity_of_metric("balanced_accuracy_corrected", ()) == SANITY["balanced_accuracy"]
    assert sanity_of_metric("accuracy_above_chance", ()) is None
