"""What is said against judges of known kinds, and that nothing is said against an honest one."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from gloss.models.chat_models.prompts import Answer
from gloss.records import Control, FeatureId, Score
from gloss.score.detection import Detection
from gloss.score.judge.doubts import (
    doubts_about_judge,
    explanation_gain,
    sum_tallies,
    tallied_answers,
    tally_scores,
)
from models.servers import read_texts
from score.one_word import evidence, explained


def scores(judge, features: int = 4, seed: int = 0) -> list[Score]:
    """Scores of features that fire on one word each, by their own explanation and by another's,
    from a judge in this process.
    """
    rng, found = np.random.default_rng(seed), []
    for feature in range(features):
        for control, word in (
            (Control.NONE, feature + 5),
            (Control.RANDOM_EXPLANATION, 60),
            (Control.SHUFFLED_EXPLANATION, 61),
        ):
            material = evidence(
                np.random.default_rng(feature), word=feature + 5, firing=20, inactive=20
            )
            conversation = Detection().score(
                explained(word), material, np.random.default_rng(feature)
            )
            prompts = next(conversation)
            while True:
                said = [
                    judge(word, read_texts(prompt.messages[-1].text), rng) for prompt in prompts
                ]
                try:
                    prompts = conversation.send([Answer(text) for text in said])
                except StopIteration as over:
                    found.append(
                        replace(over.value, control=control, feature=FeatureId("planted", feature))
                    )
                    break
    return found


def written(said) -> str:
    return json.dumps({str(n): int(one) for n, one in enumerate(said, start=1)})


JUDGES = {
    "honest": lambda word, texts, rng: written(f"w{word}" in text.split() for text in texts),
    "tired": lambda word, texts, rng: written(
        (f"w{word}" in text.split()) ^ (rng.random() < 0.3) for text in texts
    ),
    "yes": lambda word, texts, rng: written(True for _ in texts),
    "no": lambda word, texts, rng: written(False for _ in texts),
    "nearly always yes": lambda word, texts, rng: written(rng.random() < 0.99 for _ in texts),
    "random": lambda word, texts, rng: written(rng.random() < 0.5 for _ in texts),
    "mute": lambda word, texts, rng: "I had rather not say.",
    "one answer a request": lambda word, texts, rng: written([rng.random() < 0.5] * len(texts)),
}


@pytest.mark.parametrize(
    "judge, wanted",
    [
        ("honest", None),
        ("tired", None),
        ("yes", "said yes to all 480 contexts"),
        ("no", "said no to all 480 contexts"),
        ("nearly always yes", r"said yes to 9\d\.\d % of 480 contexts"),
        (
            "random",
            (
                "cannot tell explanations from other features': balanced accuracy on the same"
                " contexts differs by"
            ),
        ),
        ("one answer a request", "cannot tell explanations from other features'"),
        ("mute", "gave no answer that could be read to 480 of 480 contexts"),
    ],
)
def test_each_judge_is_named_for_what_it_is(judge, wanted):
    found = list(doubts_about_judge(tally_scores(scores(JUDGES[judge]))))
    if wanted is None:
        assert found == []
    else:
        assert len(found) == 1
        assert re.match(wanted, found[0]), found


def test_a_random_judge_is_seldom_taken_for_an_honest_one():
    missed = sum(
        not list(doubts_about_judge(tally_scores(scores(JUDGES["random"], features=2, seed=seed))))
        for seed in range(20)
    )
    assert missed <= 2  # 1 in 40 by chance


def test_the_gain_is_that_of_balanced_accuracy_on_the_same_contexts():
    given = scores(JUDGES["tired"])
    own = [
        score.estimates["balanced_accuracy"].value
        for score in given
        if score.control is Control.NONE
    ]
    others = [
        score.estimates["balanced_accuracy"].value
        for score in given
        if score.control is not Control.NONE
    ]
    assert explanation_gain(tally_scores(given), "test").value == pytest.approx(
        np.mean(own) - np.mean(others)
    )
    assert explanation_gain(tally_scores(given), "test").low > 0


def test_tallies_of_shards_add_up_and_survive_json():
    given = scores(JUDGES["tired"])
    parts = [
        tally_scores([score for score in given if score.feature.index % 2 == side])
        for side in (0, 1)
    ]
    assert sum_tallies(json.loads(json.dumps(parts))) == tally_scores(given)
    assert tallied_answers(tally_scores(given)).items == 480
    assert tallied_answers(tally_scores(given), own=True).items == 160
    assert tallied_answers(tally_scores(given), truth=True, own=True).items == 80


def test_an_explainer_with_a_name_of_two_words_is_told_by_it():
    given = [replace(score, explained_by="rule again") for score in scores(JUDGES["random"])]
    assert "for rule again; either" in next(doubts_about_judge(tally_scores(given)))


def test_a_judge_that_tells_elsewhere_may_say_no_to_bad_explanations_and_is_not_blamed():
    [doubt] = doubts_about_judge(tally_scores(scores(JUDGES["no"])), tells=True)
    assert "said no to all" not in doubt
    assert doubt.endswith("so the explanations say nothing that it could use")
    assert next(doubts_about_judge(tally_scores(scores(JUDGES["yes"])), tells=True)).startswith(
        "said yes to all"
    )


def test_nothing_is_said_of_a_judge_that_was_not_asked():
    assert list(doubts_about_judge({})) == []
