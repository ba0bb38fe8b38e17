"""Explanations that name one of several siblings, or all of them: what a judge finds is known."""

import re
from dataclasses import replace

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer
from gloss.records import Failure, Neighbour, Reason
from gloss.score import Scorer
from gloss.score.discrimination import Discrimination
from models.servers import serve
from score.families import FEATURES, families, family_words, finished, own_words


@pytest.fixture(scope="module")
def material():
    return families(np.random.default_rng(5))


def test_it_is_a_scorer():
    assert isinstance(Discrimination(), Scorer)


def test_an_explanation_that_names_the_feature_alone_finds_it_always(material, rng):
    for index in (0, 6, 15):
        score = finished(Discrimination().score(own_words(index), material[index], rng), rng)
        assert (score.n, score.failed) == (10, 0)
        assert (
            score.estimates["accuracy"].value == score.estimates["accuracy_above_chance"].value == 1
        )


def test_a_parents_label_finds_one_in_k(material, rng):
    score = finished(Discrimination(k=4, trials=200).score(family_words(6), material[6], rng), rng)
    assert score.estimates["chance"].value == 0.25
    assert score.estimates["accuracy"].low <= 0.25 <= score.estimates["accuracy"].high


def test_a_parents_label_leaves_the_siblings_where_strangers_stand_too(material, rng):
    score = finished(Discrimination(k=5, trials=200).score(family_words(6), material[6], rng), rng)
    assert score.estimates["accuracy"].low <= 0.25 <= score.estimates["accuracy"].high
    assert score.estimates["chance"].value == 0.2


def test_a_stranger_is_told_to_be_one(material, rng):
    score = finished(Discrimination(k=2).score(own_words(7), material[6], rng), rng)
    assert score.estimates["accuracy"].low <= 0.5 <= score.estimates["accuracy"].high
    sibling = replace(material[6], neighbours=material[6].neighbours[2:3])
    wrong = finished(
        Discrimination(k=2).score(own_words(sibling.neighbours[0].feature.index), sibling, rng), rng
    )
    assert wrong.estimates["accuracy"].value == 0


def test_judges_over_http_find_it_or_guess(material, rng):
    asked = [Discrimination(trials=40).score(own_words(3), material[3], rng)]
    with serve(answer="named") as server:
        [right] = Chat("judge", server.base_url).run(asked, rng)
    with serve(answer="pick at random") as server:
        # in order, so that the guesses are repeatable
        chat = Chat("judge", server.base_url, max_concurrent_requests=1)
        [guessed] = chat.run([Discrimination(trials=40).score(own_words(3), material[3], rng)], rng)
    assert right.estimates["accuracy"].value == 1
    assert guessed.estimates["accuracy"].low <= 0.2 <= guessed.estimates["accuracy"].high


def test_a_judge_who_errs_at_a_known_rate_is_measured(material, rng):
    score = finished(
        Discrimination(trials=300).score(own_words(3), material[3], rng), rng, wrong=0.5
    )
    assert score.estimates["accuracy"].low <= 0.5 + 0.5 / 5 <= score.estimates["accuracy"].high


def test_failed_answers_count_as_wrong(material, rng):
    conversation = Discrimination().score(own_words(0), material[0], rng)
    with pytest.raises(StopIteration) as over:
        conversation.send([Answer(None, Reason.REFUSED, "no") for _ in next(conversation)])
    assert (over.value.value.failed, over.value.value.estimates["accuracy"].value) == (10, 0)


def test_siblings_are_shown_where_the_feature_is_inactive(material, rng):
    for prompt in next(Discrimination().score(own_words(2), material[2], rng)):
        for line in re.findall(r"(?m)^\d+: \[.*$", prompt.messages[-1].text):
            marked = {word for run in re.findall("<<(.*?)>>", line) for word in run.split()}
            assert marked == {"w2x"} or "w2x" not in line


def test_a_sibling_that_fires_only_where_the_feature_does_is_passed_over(material, rng):
    within = Neighbour(FEATURES[1], 0.99, material[0].activations)
    only = replace(material[0], neighbours=(within,))
    conversation = Discrimination().score(own_words(0), only, rng)
    failed = finished(conversation, rng)
    assert isinstance(failed, Failure)
    assert failed.reason is Reason.TOO_FEW_EXAMPLES
    more = replace(material[0], neighbours=(within, *material[0].neighbours[:2]))
    assert finished(Discrimination().score(own_words(0), more, rng), rng).estimates[
        "chance"
    ].value == pytest.approx(1 / 3)


def test_a_setting_that_cannot_be_is_refused():
    with pytest.raises(BadSettings, match="k=1"):
        Discrimination(k=1)
