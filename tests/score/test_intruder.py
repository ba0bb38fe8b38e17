"""The intruder against judges of known skill, over HTTP and by hand."""

import json
import re

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer
from gloss.records import Explanation, Failure, Reason, Score
from gloss.score import Scorer
from gloss.score.intruder import Intruder
from gloss.score.judge.multiple_choice import parse_picks
from models.servers import serve
from score.one_word import FEATURE, evidence

NOBODY = Explanation(FEATURE, "", "none")


def judged(rng, scorer=None, **server) -> Score:
    with serve(**server) as endpoint:
        chat = Chat(
            "judge", endpoint.base_url, max_concurrent_requests=1, most_unreadable=1.0
        )  # in order, so that a judge who guesses is repeatable
        [score] = chat.run([(scorer or Intruder()).score(NOBODY, evidence(rng), rng)], rng)
    return score


def answered(conversation, answer) -> Score | Failure:
    """What the conversation returns when `answer(candidates, rng)` picks, by hand."""
    prompts = next(conversation)
    with pytest.raises(StopIteration) as over:
        conversation.send(
            [
                Answer(json.dumps([answer(texts) + 1 for texts in sets_of(prompt)]))
                for prompt in prompts
            ]
        )
    return over.value.value


def sets_of(prompt) -> list[list[str]]:
    parts = re.split(r"(?m)^Set \d+:$", prompt.messages[-1].text)[1:]
    return [[json.loads(text) for text in re.findall(r'(?m)^\d+: (".*")$', part)] for part in parts]


def pattern(text: str) -> tuple:
    """The marks alone: how many words stand before each, and how many it holds."""
    return tuple(len(part.split()) for part in re.split(r"<<|>>", text))


def test_it_is_a_scorer():
    assert isinstance(Intruder(), Scorer)


def test_a_judge_who_reads_the_marked_words_finds_every_intruder(rng):
    score = judged(rng, answer="odd one out")
    assert (score.n, score.failed) == (50, 0)
    assert score.estimates["accuracy"].value == 1
    assert 0.9 < score.estimates["accuracy"].low < 1
    assert score.estimates["accuracy_above_chance"].value == 1


@pytest.mark.parametrize("k", [3, 5])
def test_a_judge_who_guesses_finds_one_in_k(k, rng):
    score = judged(rng, Intruder(k=k), answer="pick at random")
    accuracy = score.estimates["accuracy"]
    assert score.estimates["chance"].value == pytest.approx(1 / k)
    assert accuracy.low <= 1 / k <= accuracy.high
    assert (
        score.estimates["accuracy_above_chance"].low
        <= 0
        <= score.estimates["accuracy_above_chance"].high
    )


def test_intervals_of_judges_who_guess_hold_chance_as_often_as_they_say(rng):
    material, held = evidence(rng), 0
    for _ in range(60):
        accuracy = answered(
            Intruder().score(NOBODY, material, rng), lambda texts: int(rng.integers(len(texts)))
        ).estimates["accuracy"]
        held += accuracy.low <= 0.2 <= accuracy.high
    assert held >= 52


def test_marks_alone_tell_nothing(rng):
    """A reader who picks the rarest pattern of marks, however it is learned, is right as often as
    one who guesses.
    """
    found = []
    for _ in range(8):
        patterns = [
            pattern(text)
            for p in next(Intruder().score(NOBODY, evidence(rng), rng))
            for s in sets_of(p)
            for text in s
        ]
        common = {one: patterns.count(one) for one in patterns}
        score = answered(
            Intruder().score(NOBODY, evidence(rng), rng),
            lambda texts, known=common: int(
                np.argmin([known.get(pattern(text), 0) + rng.random() for text in texts])
            ),
        )
        found.append(score.estimates["accuracy"].value)
    assert abs(np.mean(found) - 0.2) < 0.06  # 400 sets: a standard error of .02


def test_members_of_a_set_are_distinct_and_one_alone_lacks_the_word(rng):
    for prompt in next(Intruder().score(NOBODY, evidence(rng), rng)):
        for texts in sets_of(prompt):
            assert len(set(texts)) == 5
            assert sum("w5" not in re.sub("<<|>>", " ", text).split() for text in texts) == 1


def test_members_of_a_set_fire_about_equally_strongly(rng):
    material = evidence(rng)
    maxima = material.examples.held_out.maxima
    for members, position in Intruder().sets(material, rng):
        inside = [maxima[item.row] for number, item in enumerate(members) if number != position]
        assert np.ptp(np.searchsorted(np.sort(maxima), inside)) <= 4


def test_the_explanation_is_not_shown(rng):
    told = Explanation(FEATURE, "a secret", "test")
    assert all(
        "secret" not in m.text
        for p in next(Intruder().score(told, evidence(rng), rng))
        for m in p.messages
    )


def test_failed_answers_count_as_wrong(rng):
    score = judged(rng, answer="odd one out", malformed=1.0)
    assert (score.n, score.failed) == (50, 50)
    assert score.estimates["accuracy"].value == 0
    assert {verdict.reason for verdict in score.verdicts} == {Reason.UNPARSABLE}


def test_too_few_contexts_for_a_set_are_a_failure(rng):
    for sides in ({"firing": 4}, {"inactive": 0}):
        with pytest.raises(StopIteration) as over:
            next(Intruder().score(NOBODY, evidence(rng, **sides), rng))
        assert over.value.value.reason is Reason.TOO_FEW_EXAMPLES


def test_a_setting_that_cannot_be_is_refused():
    with pytest.raises(BadSettings, match="k=1"):
        Intruder(k=1)


@pytest.mark.parametrize(
    "text",
    [
        '{"answers": [2, 1]}',
        '["2", "1"]',
        "<think>[1, 1]</think> so\n```json\n[2,1]\n```",
        '{"1": 2, "2": 1}',
        "Set 1: 2\nSet 2: 1",
        "2, 1",
    ],
)
def test_picks_are_read_however_they_are_dressed(text):
    assert parse_picks(text, [3, 3]) == {0: 1, 1: 0}


@pytest.mark.parametrize(
    "text", ["", "[2]", "[2, 4]", "[0, 1]", "[2, 1, 1]", "[2, null]", "2, 1, 1", "[1.5, 2]"]
)
def test_picks_that_leave_doubt_are_not_read(text):
    assert parse_picks(text, [3, 3]) == {}


def test_sets_that_an_answer_leaves_out_are_asked_once_more_and_no_others(rng):
    conversation = Intruder(trials=20).score(NOBODY, evidence(rng), rng)
    first = next(conversation)
    second = conversation.send(
        [Answer(json.dumps({str(n): 1 for n in range(1, 11) if n != 4})) for _ in first]
    )
    assert len(first) == len(second) == 2
    assert [prompt.messages[-1].text.count("Set ") for prompt in second] == [1, 1]
    assert (
        re.findall(r"(?s)Set 4:\n(.*?)\nSet", first[0].messages[-1].text)[0]
        in second[0].messages[-1].text
    )
    # by number, which is harder to miscount than a list
    assert ['"answers"' in prompts[0].schema for prompts in (first, second)] == [True, False]
    with pytest.raises(StopIteration) as over:
        conversation.send([Answer("1"), Answer("none")])
    score = over.value.value
    assert (score.n, score.failed) == (20, 1)
    assert all(verdict.truth for verdict in score.verdicts)  # each set has its intruder
