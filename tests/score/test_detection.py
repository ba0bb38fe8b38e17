"""Detection against judges of known skill, who read the real prompts over HTTP."""

import json
import math

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer
from gloss.records import Failure, Reason, Score
from gloss.score import Scorer
from gloss.score.detection import Detection
from models.servers import read_texts, serve
from score.one_word import evidence, explained


def judged(rng, scorer=None, word=5, of=5, **server) -> Score:
    """The score of an explanation that names `word`, for a feature that fires on the word `of`."""
    with serve(**server) as endpoint:
        conversation = (scorer or Detection()).score(explained(word), evidence(rng, word=of), rng)
        [score] = Chat("judge", endpoint.base_url).run([conversation], rng)
    return score


def test_it_is_a_scorer():
    assert isinstance(Detection(), Scorer)


def test_a_judge_who_follows_a_right_explanation_gets_everything_right(rng):
    score = judged(rng, answer="perfect")
    assert (score.n, score.failed) == (100, 0)
    for name in (
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "f1_at_base_rate",
        "true_negative_rate_same_token",
    ):
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
    conversation = Detection(contexts_per_question=10).score(explained(5), evidence(rng), rng)
    prompts = next(conversation)
    answers = [Answer(None, Reason.REQUEST_ERROR, "down")] * 5 + [Answer(json.dumps([1] * 10))] * 5
    with pytest.raises(StopIteration) as over:
        conversation.send(answers)
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
    wanted += [(int(start), False) for start in material.inactive_held_out.starts]
    assert asked == sorted(wanted)


def test_questions_are_few_share_their_beginning_and_are_of_equal_size(rng):
    prompts = next(Detection(contexts_per_question=30).score(explained(5), evidence(rng), rng))
    assert len(prompts) == 4
    assert [prompt.messages[-1].text.count("\n") for prompt in prompts] == [26] * 4
    assert len({prompt.messages[:-1] for prompt in prompts}) == 1
    assert all(
        prompt.messages[-1].text.startswith('Explanation: "the word `w5`"\nContexts:\n1: ')
        for prompt in prompts
    )


def test_the_order_of_items_does_not_tell(rng):
    prompts = next(Detection(contexts_per_question=100).score(explained(5), evidence(rng), rng))
    fires = [
        "w5" in line.replace('"', " ").split()
        for line in prompts[0].messages[-1].text.splitlines()[2:]
    ]
    assert 15 < sum(fires[:50]) < 35


def test_a_side_without_contexts_is_a_failure(rng):
    for sides in ({"firing": 0}, {"inactive": 0}):
        with pytest.raises(StopIteration) as over:
            next(Detection().score(explained(5), evidence(rng, **sides), rng))
        assert isinstance(over.value.value, Failure)
        assert over.value.value.reason is Reason.TOO_FEW_EXAMPLES


def test_a_setting_that_cannot_be_is_refused():
    with pytest.raises(
        BadSettings, match="contexts_per_question=-1, wants at least 1, or 0 to have it measured"
    ):
        Detection(contexts_per_question=-1)
    with pytest.raises(BadSettings, match="form='table', wants auto, numbered, list, single"):
        Detection(form="table")
    with pytest.raises(
        BadSettings, match="a single question holds one context; set contexts_per_question = 1"
    ):
        Detection(form="single", contexts_per_question=5)


@pytest.mark.parametrize("form", ["numbered", "list", "single"])
def test_every_form_is_judged_alike(rng, form):
    score = judged(
        rng,
        Detection(form=form, contexts_per_question=1 if form == "single" else 10),
        answer="perfect",
        wrong=0.1,
    )
    assert (score.n, score.failed) == (100, 0)
    assert 0.8 < score.estimates["balanced_accuracy"].value < 1


def test_each_form_asks_for_its_own_answer_and_shows_it(rng):
    wanted = {"numbered": '{"1": 0, "2": 1, "3": 1, "4": 0}', "list": '{"answers": [0, 1, 1, 0]}'}
    for form, shown in wanted.items():
        prompt = next(
            Detection(form=form, contexts_per_question=10).score(explained(5), evidence(rng), rng)
        )[0]
        assert prompt.messages[2].text == shown
        assert {message.role for message in prompt.messages} == {"system", "user", "assistant"}
        fields = json.loads(prompt.schema)["properties"]
        assert list(fields) == (
            ["answers"] if form == "list" else [str(number) for number in range(1, 11)]
        )
    [prompt, *others] = next(
        Detection(contexts_per_question=1).score(explained(5), evidence(rng), rng)
    )
    assert len(others) == 99
    assert [message.role for message in prompt.messages] == ["system", "user"]
    assert prompt.messages[-1].text.endswith("Answer Yes or No.")
    assert prompt.schema is None


def asked(conversation, *replies):
    """The score, and the rounds that it asked, where every round is answered by a function of its
    contexts.
    """
    rounds = [next(conversation)]
    for reply in replies:
        try:
            rounds.append(
                conversation.send(
                    [Answer(reply(read_texts(prompt.messages[-1].text))) for prompt in rounds[-1]]
                )
            )
        except StopIteration as over:
            return over.value, rounds
    raise AssertionError("it goes on asking")


def told(texts, left_out=()):
    return json.dumps(
        {
            str(n): int("w5" in text.split())
            for n, text in enumerate(texts, start=1)
            if n not in left_out
        }
    )


def test_contexts_that_an_answer_leaves_out_are_asked_about_once_more_and_no_others(rng):
    conversation = Detection(contexts_per_question=25).score(explained(5), evidence(rng), rng)
    score, (first, second) = asked(conversation, lambda texts: told(texts, (3, 17)), told)
    assert (score.n, score.failed, score.estimates["balanced_accuracy"].value) == (100, 0, 1)
    missing = [read_texts(prompt.messages[-1].text)[place] for prompt in first for place in (2, 16)]
    assert [text for prompt in second for text in read_texts(prompt.messages[-1].text)] == missing
    assert (
        second[0]
        .messages[-1]
        .text.endswith("Answer for each of these 2 contexts, by its number, with 1 or 0.")
    )
    assert len({verdict.question for verdict in score.verdicts}) == 8


def test_a_list_of_the_wrong_length_is_asked_about_once_more_by_number(rng):
    conversation = Detection(contexts_per_question=25, form="list").score(
        explained(5), evidence(rng), rng
    )
    score, (first, second) = asked(
        conversation, lambda texts: json.dumps({"answers": [1] * (len(texts) - 1)}), told
    )
    assert (score.n, score.failed, score.estimates["balanced_accuracy"].value) == (100, 0, 1)
    assert [read_texts(one.messages[-1].text) for one in first] == [
        read_texts(one.messages[-1].text) for one in second
    ]
    assert "numbered" not in first[0].schema
    assert list(json.loads(second[0].schema)["properties"])[:2] == ["1", "2"]


def test_what_is_left_out_twice_is_missing(rng):
    conversation = Detection(contexts_per_question=25).score(explained(5), evidence(rng), rng)
    score, _ = asked(conversation, lambda texts: told(texts, (3,)), lambda texts: "I cannot tell.")
    assert (score.n, score.failed) == (100, 4)
    assert {verdict.reason for verdict in score.verdicts if verdict.answer is None} == {
        Reason.UNPARSABLE
    }
