"""The drop of an explanation's surprisal, under a reader whose surprisal is known."""

import re

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import Answer, PromptToken
from gloss.records import Completion, Control, Explanation, Failure, Reason, Score
from gloss.score import Scorer
from gloss.score.intervention_surprisal import InterventionSurprisal
from score.effects import effect, material
from score.one_word import FEATURE

PAIRS = (
    Completion("so", " calm", " harbour"),
    Completion("as", " harbour", " harbour ships"),
    Completion("in", " a", " b"),
)
OTHERS = (Completion("so", " calm", " windy"), Completion("as", " harbour", " windy"))
OWN = Explanation(FEATURE, "harbour ships", "test")


def reader(text: str) -> Answer:
    """A word of the explanation costs 1 nat where the passage holds it, else 3."""
    passage = re.findall("Passage: (.*)", text)[-1]
    found = re.finditer(r"\w+|\W", text)
    words = (
        PromptToken(m.start(), m.end(), m[0], -1.0 if m[0] in re.findall(r"\w+", passage) else -3.0)
        for m in found
    )
    return Answer("", prompt_logprobs=tuple(words))


def scored(*effects, lost: tuple[int, ...] = (), **settings) -> Score | Failure:
    conversation = InterventionSurprisal(**settings).score(
        OWN, material(*effects), np.random.default_rng(0)
    )
    try:
        prompts = next(conversation)
        answers = [reader(prompt.plain or "") for prompt in prompts]
        for number in lost:
            answers[number] = Answer(None, Reason.REQUEST_ERROR)
        conversation.send(answers)
    except StopIteration as over:
        return over.value
    raise AssertionError("it asks once")


def test_it_is_a_scorer():
    assert isinstance(InterventionSurprisal(), Scorer)


def test_the_drop_is_a_mean_over_completions_in_nats_with_its_standard_error():
    """2 for the harbour in the first, 2 for the ships in the second, 0 in the third."""
    score = scored(effect((3, 4), completions=PAIRS))
    assert (score.n, score.failed, score.headline) == (3, 0, "nats")
    assert score.estimates["nats"].value == pytest.approx(4 / 3)
    assert score.estimates["standard_error"].value == pytest.approx(
        np.std([2, 2, 0], ddof=1) / 3**0.5
    )


def test_a_random_direction_is_held_beside_it_at_the_same_divergence():
    random = effect((5, 6), control=Control.RANDOM_DIRECTION, completions=OTHERS)
    score = scored(
        effect((3, 4), completions=PAIRS), random, effect((3, 4), target=0.1, completions=OTHERS)
    )
    assert score.estimates["nats_at_1_nats"].value == pytest.approx(4 / 3)
    assert score.estimates["nats_random_direction_at_1_nats"].value == pytest.approx(-1)
    assert score.estimates["nats_at_0.1_nats"].value == pytest.approx(-1)


def test_a_lost_answer_stays_in_the_denominator_with_its_reason():
    score = scored(effect((3, 4), completions=PAIRS), lost=(0,))
    assert (score.n, score.failed) == (3, 1)
    assert score.estimates["nats"].value == pytest.approx(2 / 3)
    assert [verdict.reason for verdict in score.verdicts] == [Reason.REQUEST_ERROR]


def test_a_feature_of_which_every_answer_is_lost_has_no_score():
    failure = scored(effect((3, 4), completions=PAIRS), lost=(0, 2, 5))
    assert (failure.reason, failure.detail) == (
        Reason.REQUEST_ERROR,
        "none of 3 completions got an answer that can be read",
    )


def test_only_the_explanation_is_counted_and_the_passages_end_what_stands_before():
    [edited, clean] = InterventionSurprisal(worked_examples=0).passages(PAIRS[0])
    assert edited.endswith('Passage: "so harbour"\nMore of: ')
    assert clean.endswith('Passage: "so calm"\nMore of: ')


def test_without_completions_or_without_the_divergence_it_says_so():
    assert (
        scored(effect((3, 4))).detail
        == "the effects hold no completions; set completions in [intervene]"
    )
    assert scored(effect((3, 4), completions=PAIRS), kl=0.5).reason is Reason.UNREACHABLE


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(BadSettings, match="worked_examples=4"):
        InterventionSurprisal(worked_examples=4)
