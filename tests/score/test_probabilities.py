"""Probabilities that a judge's tokens tell, however a tokenizer cuts them, and what scores make of
them.
"""

import json
import math
from statistics import NormalDist

import numpy as np
import pytest

from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.packed_answers import pack_answer
from gloss.models.chat_models.prompts import Answer, TokenLogprob
from gloss.score.detection import Detection
from gloss.score.fuzzing import Fuzzing
from gloss.score.judge.questions import JudgedItem, condense_judgement, question_verdicts
from score.one_word import evidence, explained
from score.test_detection import judged

ITEMS = [JudgedItem(context, bool(context % 2), "") for context in range(3)]


def said(*tokens: tuple[str, dict[str, float]]) -> list:
    """The probabilities of three verdicts, from the tokens of an answer and what else they might
    have been.
    """
    logprobs = tuple(
        TokenLogprob(
            token,
            math.log(others.get(token, 1.0)),
            tuple((other, math.log(p)) for other, p in others.items()),
        )
        for token, others in tokens
    )
    answer = Answer("".join(token for token, _ in tokens).strip(), logprobs=logprobs)
    found = [verdict.probability for verdict in question_verdicts(ITEMS, answer)]
    with Ledger(None) as ledger:
        ledger.keep("k", "m", kept := condense_judgement(answer, len(ITEMS)))
        assert ledger.get("k") == kept == condense_judgement(kept, len(ITEMS))
    assert len(kept.logprobs or ()) <= len(ITEMS)
    again = [verdict.probability for verdict in question_verdicts(ITEMS, kept)]
    assert [p and round(p, 4) for p in again] == [p and round(p, 4) for p in found]
    return found


@pytest.mark.parametrize(
    "tokens",
    [
        [
            ("[", {}),
            ("1", {"1": 0.6, "0": 0.2}),
            (",", {}),
            ("0", {"0": 0.9, "1": 0.1}),
            (",", {}),
            ("0", {"0": 0.5}),
            ("]", {}),
        ],
        [
            (" [", {}),
            ("1", {"1": 0.6, "0": 0.2, "]": 0.2}),
            (", 0", {", 0": 0.9, ", 1": 0.1}),
            (", 0", {", 0": 0.5}),
            ("]", {}),
        ],
        [
            ("[1", {"[1": 0.6, "[0": 0.2}),
            (",", {}),
            (" 0", {" 0": 0.9, " 1": 0.1}),
            (",", {}),
            (" 0", {" 0": 0.5}),
            ("]", {}),
        ],
        [
            ("so: [", {}),
            ("tr", {"tr": 0.6, "fal": 0.2}),
            ("ue,", {}),
            ("false", {"false": 0.9, "true": 0.1}),
            (", ", {}),
            ("false", {"false": 0.5}),
            ("]", {}),
        ],
        [
            ('["', {}),
            ("yes", {"yes": 0.6, "no": 0.2}),
            ('", "', {}),
            ("no", {"no": 0.9, "Yes": 0.1}),
            ('", "', {}),
            ("no", {"no": 0.5}),
            ('"]', {}),
        ],
    ],
)
def test_each_answer_gets_the_probability_of_the_token_that_says_it(tokens):
    assert said(*tokens) == pytest.approx([0.75, 0.1, 0.0])


@pytest.mark.parametrize(
    "tokens",
    [
        # two answers in one token
        [("[", {}), ("1,0", {"1,0": 0.6, "0,0": 0.2}), (",0", {",0": 0.5}), ("]", {})],
        [("[", {}), ("1", {"]": 0.6, "1": 0.0001}), (",0,0]", {})],
    ],
)
def test_what_cannot_be_told_for_every_item_is_told_for_none(tokens):
    assert said(*tokens) == [None] * 3


def test_an_answer_about_25_contexts_takes_less_than_a_third_of_a_kilobyte(rng):
    def token(text, *others):
        return TokenLogprob(
            text, -float(rng.random()), tuple((o, -9 * rng.random()) for o in others)
        )

    tokens = [token('{"', "{", "```", "The")]
    for number in range(1, 26):
        bit, other = rng.permutation(["0", "1"])
        tokens += [
            token(str(number), "0", "a"),
            token('": ', '":'),
            token(bit, bit, other, "true", "?"),
        ]
        tokens.append(token(', "' if number < 25 else "}", ",", "\n"))
    answer = Answer("".join(one.token for one in tokens), logprobs=tuple(tokens))
    kept = condense_judgement(answer, 25)
    assert len(pack_answer(kept)) < 1000 / 3 < len(pack_answer(answer)) / 8
    items = [JudgedItem(number, True, "") for number in range(25)]
    whole, read = (
        [verdict.probability for verdict in question_verdicts(items, one)] for one in (answer, kept)
    )
    assert read == pytest.approx(whole, rel=2e-4)


def test_without_log_probabilities_there_are_hard_answers_alone(rng):
    assert [verdict.probability for verdict in question_verdicts(ITEMS, Answer("[1, 0, 1]"))] == [
        None
    ] * 3
    score = judged(rng, answer="graded", separation=2, refuses_logprobs=True)
    assert score.failed == 0
    assert {verdict.probability for verdict in score.verdicts} == {None}
    assert "auroc" not in score.estimates


@pytest.mark.parametrize("scorer", [Detection(), Fuzzing()])
def test_a_server_that_gives_log_probabilities_gives_the_area_that_its_judge_has(rng, scorer):
    """Log-odds of firing and inactive contexts are normal and two standard deviations apart."""
    score = judged(rng, scorer, answer="graded", separation=2)
    wanted = NormalDist().cdf(2 / 2**0.5)
    area = score.estimates["auroc"]
    assert area.low <= wanted <= area.high
    assert score.estimates["auprc_at_base_rate"].value < score.estimates["auprc"].value
    assert all((verdict.probability > 0.5) == verdict.answer for verdict in score.verdicts)


def test_probabilities_tell_more_than_hard_answers(rng):
    found = judged(rng, answer="graded", separation=1).estimates
    for name in ("auroc", "balanced_accuracy"):
        assert found[name].low < found[name].value < found[name].high
    assert found["auroc"].value > found["balanced_accuracy"].value


def test_an_endpoint_that_is_not_asked_for_alternatives_gives_none(rng):
    score = judged(rng, Detection(alternatives=0), answer="graded", separation=2)
    assert {verdict.probability for verdict in score.verdicts} == {None}


def test_failed_questions_lose_every_pair(rng):
    conversation = Detection(contexts_per_question=50).score(*material(rng))
    prompts = next(conversation)
    one = TokenLogprob("1", math.log(0.9), (("1", math.log(0.9)), ("0", math.log(0.1))))
    tokens = (
        TokenLogprob("[", 0.0),
        *[one, TokenLogprob(",", 0.0)] * 49,
        one,
        TokenLogprob("]", 0.0),
    )
    good = Answer(json.dumps([1] * 50, separators=(",", ":")), logprobs=tokens)
    assert len(conversation.send([good, Answer("never", logprobs=())])) == 1
    with pytest.raises(StopIteration) as over:
        conversation.send([Answer("never", logprobs=())])
    score = over.value.value
    assert len(prompts) == 2
    firing = np.array([verdict.answer is not None for verdict in score.verdicts if verdict.truth])
    inactive = np.array(
        [verdict.answer is not None for verdict in score.verdicts if not verdict.truth]
    )
    assert score.estimates["auroc"].value == pytest.approx(firing.mean() * inactive.mean() / 2)


def material(rng):
    return explained(5), evidence(rng), rng
