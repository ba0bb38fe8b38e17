"""How many contexts a judge can bear is found of judges whose skill by packing is known."""

import json
import math
import re

import numpy as np
import pytest

from gloss.models.chat_models.prompts import Answer, Prompt, TokenLogprob
from gloss.records import Verdict
from gloss.score.detection import Detection
from gloss.score.judge.packing import (
    ALONE,
    Packing,
    PackingTrial,
    SpentTokens,
    accuracy_difference,
    choose_packing,
    count_spending,
    is_worse_packing,
    try_packings,
)
from gloss.score.judge.questions import QuestionForm
from gloss.statistics.ranking import ranking_placements
from models.servers import read_texts
from score.one_word import evidence, explained


def run_with(judge, rules: int = 4, each: int = 12):
    """Tries a packing by a judge in this process: `judge(which texts hold the word, rng)` gives
    P(yes) of each.
    """
    rng = np.random.default_rng(1)

    def run(packing: Packing) -> PackingTrial:
        spent, said = SpentTokens(), []
        for number in range(rules):
            material = evidence(np.random.default_rng(number), word=5, firing=each, inactive=each)
            scorer = Detection(contexts_per_question=packing.contexts, form=packing.form)
            conversation = count_spending(
                scorer.score(explained(5), material, np.random.default_rng(number)), spent
            )
            prompts = next(conversation)
            while True:
                try:
                    prompts = conversation.send([answer(prompt, judge, rng) for prompt in prompts])
                except StopIteration as over:
                    said += over.value.verdicts
                    break
        return PackingTrial.of(packing, said, spent, np.random.default_rng(0))

    return run


def answer(prompt: Prompt, judge, rng) -> Answer:
    texts = read_texts(prompt.messages[-1].text)
    likely = judge(["w5" in text.split() for text in texts], rng)
    if prompt.messages[-1].text.endswith("Yes or No."):
        return Answer(
            "Yes" if likely[0] > 0.5 else "No",
            logprobs=(token("Yes" if likely[0] > 0.5 else "No", likely[0]),),
            prompt_tokens=90,
        )
    words = {str(n): int(one > 0.5) for n, one in enumerate(likely, start=1)}
    if '"answers"' not in prompt.messages[0].text:
        return Answer(json.dumps(words), prompt_tokens=300 + 40 * len(texts))
    return Answer(
        json.dumps({"answers": list(words.values())}), prompt_tokens=300 + 40 * len(texts)
    )


def token(word: str, likely: float) -> TokenLogprob:
    return TokenLogprob(
        word,
        math.log(max(likely, 1 - likely)),
        (("Yes", math.log(likely)), ("No", math.log(1 - likely))),
    )


def honest(holds, rng):
    return [0.9 if one else 0.1 for one in holds]


def yes_in_lists(holds, rng):
    return honest(holds, rng) if len(holds) == 1 else [0.9] * len(holds)


def five_at_most(holds, rng):
    return honest(holds, rng) if len(holds) <= 5 else [0.9] * len(holds)


def at_random(holds, rng):
    return [float(rng.choice([0.1, 0.9])) for _ in holds]


def yes(holds, rng):
    return [0.9] * len(holds)


@pytest.mark.parametrize(
    "judge, contexts, tells, requests",
    [
        (honest, 25, True, 4),
        (yes_in_lists, 1, True, 96),
        (five_at_most, 5, True, 20),
        (at_random, 25, False, 4),
        (yes, 25, False, 4),
    ],
)
def test_each_judge_gets_what_it_can_bear(judge, contexts, tells, requests):
    trials = list(try_packings(run_with(judge), QuestionForm.NUMBERED))
    best = choose_packing(trials)
    assert (best.packing.contexts, best.tells) == (contexts, tells)
    assert best.spent.requests == requests
    assert sum(trial.spent.requests for trial in trials) <= 144
    assert trials[0].packing == ALONE


def test_a_form_that_a_judge_cannot_bear_gives_way_to_the_other_before_fewer_contexts_are_tried():
    def lost_in_numbers(packing: Packing) -> PackingTrial:
        return run_with(yes if packing.form is QuestionForm.NUMBERED else honest)(packing)

    trials = list(try_packings(lost_in_numbers, QuestionForm.NUMBERED))
    assert [(one.packing.contexts, one.packing.form) for one in trials] == [
        (1, "single"),
        (25, "numbered"),
        (25, "list"),
    ]
    assert choose_packing(trials).packing == Packing(25, QuestionForm.LIST)
    assert next(
        iter(list(try_packings(run_with(honest), QuestionForm.LIST))[1:])
    ).packing == Packing(25, QuestionForm.LIST)


def of(
    answers, likely=None, truth=(True, True, True, True, False, False, False, False)
) -> PackingTrial:
    likely = likely or [None] * len(truth)
    said = [
        Verdict(row, t, a, probability=p)
        for row, (t, a, p) in enumerate(zip(truth, answers, likely, strict=True))
    ]
    return PackingTrial.of(ALONE, said, SpentTokens(), np.random.default_rng(0))


def test_a_judge_tells_where_answers_or_probabilities_do():
    right, likely = [True] * 4 + [False] * 4, [0.9, 0.92, 0.91, 0.93, 0.1, 0.12, 0.11, 0.13]
    assert of(right).tells  # without probabilities
    assert of(right, likely).tells
    assert of([True] * 8, likely).tells
    assert not of([True] * 8).tells
    assert not of([True] * 8, [0.5] * 8).tells
    assert of([True] * 8, [1 - each for each in likely]).tells is False


def test_a_lower_ranking_alone_makes_a_packing_worse():
    """Both say yes to everything, and only one knows better."""
    answers, knows, does_not = (
        [True] * 8,
        [0.9, 0.92, 0.91, 0.93, 0.6, 0.62, 0.61, 0.63],
        [0.61, 0.6, 0.63, 0.62, 0.9, 0.92, 0.91, 0.93],
    )
    assert is_worse_packing(of(answers, does_not), of(answers, knows))
    assert not is_worse_packing(of(answers, knows), of(answers, does_not))
    assert not is_worse_packing(of(answers), of(answers, knows))  # no probabilities, no ranking


def test_the_difference_of_right_answers_is_that_of_pairs():
    alone = of([True, True, True, False, False, False, False, True])
    packed = of([True, True, False, False, False, False, True, True])
    found = accuracy_difference(packed, alone)
    assert (
        found.value
        == pytest.approx(packed.balanced.value - alone.balanced.value)
        == pytest.approx(-0.25)
    )
    assert found.high - found.low == pytest.approx(
        2 * 1.96 * math.sqrt(2 * (3 / 16) / 4) / 2, rel=1e-3
    )


def test_placements_give_the_area_under_the_curve_and_missing_answers_lose(rng):
    firing, inactive = rng.integers(0, 6, 30) / 5, rng.integers(0, 6, 40) / 5
    pairs = [(f > s) + 0.5 * (f == s) for f in firing for s in inactive]
    for side in ranking_placements(firing, inactive):
        assert side.mean() == pytest.approx(np.mean(pairs))
    firing[:3] = np.nan
    assert ranking_placements(firing, inactive)[0][:3].tolist() == [0, 0, 0]


def test_a_packing_is_told_in_words():
    assert str(Packing(25, QuestionForm.NUMBERED)) == "25 contexts a request, numbered"
    assert re.match("one context a request", str(ALONE))
