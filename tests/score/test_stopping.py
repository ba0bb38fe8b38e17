"""Asking in rounds and stopping early: what is spared, and that intervals still hold the truth."""

import json

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import Answer
from gloss.records import Reason, Verdict
from gloss.score.detection import Detection
from gloss.score.judge.questions import accuracy_half_width, count_next_questions
from score.one_word import evidence, explained


def judged(rng, rate: float, **settings):
    """The score of a judge who is right in this share of items, and how many rounds it was asked
    in.
    """
    material = evidence(rng, firing=200, inactive=200)
    fires = {
        material.corpus.vocabulary.text(row.tolist()) for row in material.examples.held_out.tokens
    }
    conversation = Detection(**settings).score(explained(5), material, rng)
    prompts, rounds = next(conversation), 0
    while True:
        rounds += 1
        answers = []
        for prompt in prompts:
            texts = [
                json.loads(line.partition(": ")[2])
                for line in prompt.messages[-1].text.splitlines()[2:]
            ]
            answers.append(
                Answer(
                    json.dumps([int((text in fires) == (rng.random() < rate)) for text in texts])
                )
            )
        try:
            prompts = conversation.send(answers)
        except StopIteration as over:
            return over.value, rounds


def test_an_easy_feature_is_asked_about_a_few_contexts(rng):
    score, rounds = judged(rng, 1.0, precision=0.05)
    assert (score.n, score.spared, rounds) == (50, 14, 1)
    assert score.estimates["balanced_accuracy"].value == 1


def test_a_hard_feature_is_asked_about_nearly_all(rng):
    score, _ = judged(rng, 0.5, precision=0.05)
    assert score.n > 360


@pytest.mark.parametrize("rate", [0.6, 0.8, 0.95])
def test_the_interval_is_as_narrow_as_was_asked_for(rng, rate):
    score, rounds = judged(rng, rate, precision=0.06)
    found = score.estimates["balanced_accuracy"]
    assert (found.high - found.low) / 2 < 0.064
    assert rounds <= 8


def test_without_a_precision_everything_is_asked_in_one_round(rng):
    score, rounds = judged(rng, 1.0)
    assert (score.n, score.spared, rounds) == (400, 0, 1)


def test_places_and_questions_are_counted_through_all_rounds(rng):
    score, _ = judged(rng, 0.8, precision=0.05)
    seen = [(verdict.question, verdict.position) for verdict in score.verdicts]
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen)
    assert max(question for question, _ in seen) + 1 + score.spared == 16


@pytest.mark.parametrize("rate", [0.55, 0.75, 0.9, 0.98])
def test_stopping_early_keeps_the_coverage(rng, rate):
    held = [abs(sampled(rng, rate) - rate) <= 0.053 for _ in range(400)]
    assert np.mean(held) > 0.92


def sampled(rng, rate: float) -> float:
    """The balanced accuracy at which the rule ends, for a judge right in this share of items."""
    verdicts, asked, left = [], 0, 20
    while number := count_next_questions(verdicts, asked, left, 20, 0.05):
        truths = np.arange(20 * number) % 2 == 0
        verdicts += [Verdict(0, bool(t), bool(t == (rng.random() < rate))) for t in truths]
        asked, left = asked + number, left - number
    return float(np.mean([verdict.answer == verdict.truth for verdict in verdicts]))


def test_missing_answers_are_wrong_and_end_the_asking_too():
    lost = [
        Verdict(0, truth, None, Reason.UNPARSABLE) for truth in (True, False) for _ in range(40)
    ]
    assert accuracy_half_width(lost) < 0.05
    assert accuracy_half_width([]) > 0.4


def test_a_precision_that_cannot_be_is_refused():
    with pytest.raises(BadSettings, match=r"precision=0\.5, wants 0 to below"):
        Detection(precision=0.5)
