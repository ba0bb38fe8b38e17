"""Detection against judges of known skill, who read the real prompts over HTTP."""

import json
import math

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.chat import Chat
from gloss.models.prompts import Answer
from gloss.records import Failure, Reason, Score
from gloss.score import Scorer
from gloss.score.detection import Detection
from gloss.score.verdicts import parse
from models.servers import serve
from score.one_word import evidence, explained


def judged(rng, scorer=None, word=5, of=5, **server) -> Score:
    """The score of an explanation that names `word`, for a feature that fires on the word `of`."""
    with serve(**server) as endpoint:
        talk = (scorer or Detection()).score(explained(word), evidence(rng, word=of), rng)
        [score] = Chat("judge", endpoint.base_url).hold([talk], rng)
    return score


def test_it_is_a_scorer():
    assert isinstance(Detection(), Scorer)


def test_a_judge_who_follows_a_right_explanation_gets_everything_right(rng):
    score = judged(rng, answer="perfect")
    assert (score.n, score.failed) == (100, 0)
    for name in ("balanced_accuracy", "precision", "recall", "f1", "f1_at_base_rate", "true_negative_rate_same_token"):
        assert score.estimates[name].value == 1
        assert 0.2 < score.estimates[name].low < 1  # 50 of 50 is not certainty


def test_the_explanation_of_another_feature_scores_at_chance(rng):
    balanced = judged(rng, answer="perfect", word=60).estimates["balanced_accuracy"]
    assert balanced.low <= 0.5 <= balanced.high


@pytest.mark.parametrize("answer", ["random", "yes", "no"])
def test_a_judge_who_does_not_read_scores_at_chance(rng, answer):
    balanced = judged(rng, answer=answer).estimates["balanced_accuracy"]
    assert balanced.low <= 0.5 <= balanced.high


def test_a_judge_who_errs_in_a_tenth_of_the_items_scores_nine_tenths(rng):
    balanced = judged(rng, answer="perfect", wrong=0.1).estimates["balanced_accuracy"]
    assert balanced.low <= 0.9 <= balanced.high


def test_saying_yes_to_all_is_seen_at_the_base_rate(rng):
    score = judged(rng, answer="yes")
    assert score.estimates["f1"].value == pytest.approx(2 / 3)
    assert score.estimates["precision_at_base_rate"].value == pytest.approx(0.01)
    assert score.estimates["f1_at_base_rate"].value == pytest.approx(2 * 0.01 / 1.01)


def test_saying_no_to_all_claims_nothing(rng):
    score = judged(rng, answer="no")
    assert score.estimates["f1"].value == 0
    assert math.isnan(score.estimates["precision"].value)
    assert score.estimates["true_negative_rate"].value == 1


def test_failed_answers_stay_in_the_denominator(rng):
    score = judged(rng, answer="perfect", malformed=1.0)
    assert (score.n, score.failed) == (100, 100)
    assert {verdict.reason for verdict in score.verdicts} == {Reason.UNPARSABLE}
    assert score.estimates["balanced_accuracy"].value == 0
    assert score.estimates["f1"].value == 0


def test_failed_answers_cost_what_they_are_worth(rng):
    talk = Detection(contexts_per_question=10).score(explained(5), evidence(rng), rng)
    prompts = next(talk)
    answers = [Answer(None, Reason.REQUEST_ERROR, "down")] * 5 + [Answer(json.dumps([1] * 10))] * 5
    with pytest.raises(StopIteration) as over:
        talk.send(answers)
    score = over.value.value
    assert len(prompts) == 10
    assert (score.n, score.failed) == (100, 50)
    right = sum(verdict.truth for verdict in score.verdicts if verdict.answer)
    assert score.estimates["balanced_accuracy"].value == pytest.approx(right / 100)
    assert sum(verdict.reason is Reason.REQUEST_ERROR for verdict in score.verdicts) == 50


def test_every_held_out_context_is_asked_about_once(rng):
    score = judged(rng, answer="random")
    asked = sorted((verdict.context, verdict.truth) for verdict in score.verdicts)
    material = evidence(np.random.default_rng(0)).examples
    wanted = [(int(start), True) for start in material.held_out.starts]
    wanted += [(int(start), False) for start in material.silent_held_out.starts]
    assert asked == sorted(wanted)


def test_questions_are_few_share_their_beginning_and_are_of_equal_size(rng):
    prompts = next(Detection(contexts_per_question=30).score(explained(5), evidence(rng), rng))
    assert len(prompts) == 4
    assert [prompt.messages[-1].text.count("\n") for prompt in prompts] == [26] * 4
    assert len({prompt.messages[:-1] for prompt in prompts}) == 1
    assert all(prompt.messages[-1].text.startswith('Explanation: "the word `w5`"\nContexts:\n1: ') for prompt in prompts)


def test_the_order_of_items_does_not_tell(rng):
    prompts = next(Detection(contexts_per_question=100).score(explained(5), evidence(rng), rng))
    fires = ["w5" in line.replace('"', " ").split() for line in prompts[0].messages[-1].text.splitlines()[2:]]
    assert 15 < sum(fires[:50]) < 35


def test_a_side_without_contexts_is_a_failure(rng):
    for sides in ({"firing": 0}, {"silent": 0}):
        with pytest.raises(StopIteration) as over:
            next(Detection().score(explained(5), evidence(rng, **sides), rng))
        assert isinstance(over.value.value, Failure)
        assert over.value.value.reason is Reason.TOO_FEW_EXAMPLES


def test_a_setting_that_cannot_be_is_refused():
    with pytest.raises(BadSettings, match="contexts_per_question=0, wants at least 1"):
        Detection(contexts_per_question=0)


@pytest.mark.parametrize(
    "text",
    [
        '{"answers": [1, 0, 1]}',
        "[1,0,1]",
        '```json\n{"answers": [true, false, true]}\n```',
        'Examples [1] and [3] fit, so:\n["1", "0", "1"]',
        "<think>perhaps [0, 0, 0]</think> [1, 0, 1]",
        '{"answers": ["yes", "no", "Yes"]}',
        "[1, 0, 1] as asked [sic]",
    ],
)
def test_answers_are_read_however_they_are_dressed(text):
    assert parse(text, 3) == [True, False, True]


@pytest.mark.parametrize(
    "text", ["", "[1, 0]", "[1, 0, 1, 1]", "[1, 0, 2]", "[1, 0", "yes no yes", "[1, null, 0]", "[[1], 0, 1]"]
)
def test_answers_that_leave_doubt_are_not_read(text):
    assert parse(text, 3) is None
