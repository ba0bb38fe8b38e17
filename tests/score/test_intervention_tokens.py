"""Named tokens against tokens that rise: worked by hand."""

import numpy as np
import pytest

from gloss.records import Control, Explanation, Failure, Reason, Score
from gloss.score import Scorer
from gloss.score.intervention_tokens import InterventionTokens, named_tokens
from score.effects import SIZE, effect, material
from score.one_word import FEATURE, VOCABULARY


def explained(*words: int) -> Explanation:
    return Explanation(FEATURE, "raises " + ", ".join(f'`" w{word}"`' for word in words), "test")


def scored(explanation: Explanation, *effects, kl: float = 1.0) -> Score | Failure:
    conversation = InterventionTokens(kl).score(
        explanation, material(*effects), np.random.default_rng(0)
    )
    with pytest.raises(StopIteration) as over:
        next(conversation)
    return over.value.value


def test_it_is_a_scorer():
    assert isinstance(InterventionTokens(), Scorer)


def test_precision_recall_and_f1_count_the_tokens_that_rise_reliably():
    """Of 3, 4, 5 and 6, the first three do; of the named 3, 4, 9 and 10, two are among them."""
    score = scored(explained(3, 4, 9, 10), effect((3, 4, 5, 6)))
    found = {name: estimate.value for name, estimate in score.estimates.items()}
    assert (score.n, score.failed, score.headline) == (4, 0, "token_f1")
    assert found["token_precision"] == 0.5
    assert found["token_recall"] == pytest.approx(2 / 3)
    assert found["token_f1"] == pytest.approx(4 / 7)
    assert found["token_f1_of_guessing"] == pytest.approx(2 * 4 * 3 / SIZE / 7)
    for estimate in score.estimates.values():
        assert estimate.low <= estimate.value <= estimate.high


def test_the_area_counts_pairs_of_a_named_and_another_token():
    """The first and the third of all: every pair is won but one of the second, against the token
    between.
    """
    area = scored(explained(3, 5), effect((3, 4, 5, 6))).estimates["token_auroc_at_1_nats"]
    assert area.value == pytest.approx(1 - 1 / (2 * (SIZE - 2)))
    assert area.low < 0.9  # two tokens prove little


def test_what_the_ranking_leaves_out_ties():
    """Twenty of the tokens are kept at the ends.

    A named one between them wins against those below and ties with the rest.
    """
    area = scored(explained(50), effect((3, 4, 5, 6), kept=20)).estimates["token_auroc_at_1_nats"]
    assert area.value == pytest.approx(0.5)


def test_a_random_direction_stands_beside_it_and_every_divergence_has_its_area():
    random = effect((90, 91, 92), control=Control.RANDOM_DIRECTION)
    score = scored(explained(3, 4), effect((3, 4, 5)), random, effect((7, 8, 9), target=0.1))
    assert score.estimates["token_f1_random_direction"].value == 0
    assert score.estimates["token_auroc_at_1_nats"].value == 1
    assert {
        "token_auroc_random_direction_at_1_nats",
        "token_auroc_at_0.1_nats",
    } <= score.estimates.keys()


def test_explanations_of_other_features_are_at_chance():
    rng = np.random.default_rng(1)
    drawn = [rng.choice(120, 5, replace=False).tolist() for _ in range(100)]
    areas = [
        scored(explained(*words), effect((3, 4, 5, 6))).estimates["token_auroc_at_1_nats"]
        for words in drawn
    ]
    values = np.array([area.value for area in areas])
    # The others, signs and copies, stand last, so that words as such lie above them: chance for
    # words alone is higher than 1/2.
    expected = (120 - 1) / 2 / (SIZE - 5) + (SIZE - 120) / (SIZE - 5)
    assert abs(values.mean() - expected) < 3 * values.std() / 10
    assert (
        np.mean(
            [
                scored(explained(*words), effect((3, 4, 5, 6))).estimates["token_f1"].value
                for words in drawn
            ]
        )
        < 0.1
    )


@pytest.mark.parametrize(
    ("explanation", "kl", "reason"),
    [
        (explained(3), 3.0, Reason.UNREACHABLE),
        (Explanation(FEATURE, "words about the sea", "test"), 1.0, Reason.NOT_APPLICABLE),
    ],
)
def test_what_cannot_be_scored_is_a_failure_with_its_reason(
    explanation: Explanation, kl: float, reason: Reason
):
    assert scored(explanation, effect((3, 4)), kl=kl).reason is reason


@pytest.mark.parametrize(
    ("text", "rule", "tokens"),
    [
        ('`" w3"` or `" ("`', None, [3, *[122 + 4 * n for n in range(10)]]),
        ('`"w3"`', None, []),  # exactly so, and no token is
        ('the word `w3`, then “W4” or "w5"', None, [3, 4, 5]),
        (
            "anything",
            'token in {" w3"} and not after(1, token in {" w9"})'
            ' and before(1, token in {" w7", " w8"})',
            [3, 7, 8],
        ),
    ],
)
def test_the_tokens_that_are_named(text: str, rule: str | None, tokens: list[int]):
    assert named_tokens(Explanation(FEATURE, text, "test", rule), VOCABULARY).tolist() == tokens
