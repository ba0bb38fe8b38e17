"""Judges with known error rates: their scores corrected come out at the truth, and intervals hold it as often as they say."""

import json
import re

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.chat import Chat
from gloss.models.planted import plant
from gloss.models.prompts import Answer
from gloss.rules import parse
from gloss.score.correction import Anchoring, Anchors, corrected
from gloss.score.verdicts import Counts
from models.servers import serve

JUDGES = [(0.9, 0.1), (0.8, 0.2), (0.7, 0.3)]


def asked(rng, number: int, rate: float) -> Counts:
    yes = int(rng.binomial(number, rate))
    return Counts(yes, number - yes, 0)


@pytest.mark.parametrize(("sensitivity", "false_positive"), JUDGES)
def test_corrected_scores_are_true_on_average_and_their_intervals_cover(sensitivity, false_positive, rng):
    """The explanation covers .965 of the firing contexts and .035 of the silent ones: its balanced accuracy is .965."""
    held, values, seen = 0, [], []
    for _ in range(400):
        firing, silent = (asked(rng, 100, sensitivity * t + false_positive * (1 - t)) for t in (0.965, 0.035))
        anchors = Anchors(asked(rng, 200, sensitivity), asked(rng, 200, false_positive))
        found = corrected(firing, silent, anchors, 0.01, rng)["balanced_accuracy_corrected"]
        held += found.low <= 0.965 <= found.high
        values.append(found.value)
        seen.append((firing.yes + silent.no) / 200)
    error = np.std(values) / 400**0.5
    assert abs(np.mean(values) - 0.965) < 0.01 + 2 * error
    assert 0.92 <= held / 400 <= 0.98  # .95 give or take two and a half standard errors
    assert np.mean(seen) < 0.88  # what the judge shows


def test_the_formula_is_that_of_rogan_and_gladen(rng):
    anchors = Anchors(Counts(160, 40, 0), Counts(40, 160, 0))  # s = .8, f = .2
    found = corrected(Counts(68, 32, 0), Counts(26, 74, 0), anchors, 0.5, rng)
    assert found["true_positive_rate_corrected"].value == pytest.approx((0.68 - 0.2) / 0.6)
    assert found["true_negative_rate_corrected"].value == pytest.approx(1 - (0.26 - 0.2) / 0.6)
    assert found["precision_at_base_rate_corrected"].value == pytest.approx(0.8 / 0.9)
    assert found["f1_at_base_rate_corrected"].value == pytest.approx(2 * 0.8 / 0.9 * 0.8 / (0.8 + 0.8 / 0.9))
    assert anchors.sensitivity.value == 0.8
    assert anchors.false_positive_rate.value == 0.2


def test_few_anchors_widen_the_interval(rng):
    few, many = (Anchors(Counts(8 * n, 2 * n, 0), Counts(2 * n, 8 * n, 0)) for n in (1, 100))
    a, b = (corrected(Counts(70, 30, 0), Counts(25, 75, 0), x, 0.01, rng)["balanced_accuracy_corrected"] for x in (few, many))
    assert a.high - a.low > 1.5 * (b.high - b.low)


@pytest.mark.parametrize("anchors", [Anchors(Counts(5, 5, 0), Counts(5, 5, 0)), Anchors(Counts(0, 0, 9), Counts(0, 9, 0))])
def test_a_judge_who_tells_nothing_cannot_be_corrected(anchors, rng):
    found = corrected(Counts(9, 1, 0), Counts(1, 9, 0), anchors, 0.01, rng)
    assert all(np.isnan(estimate.value) for estimate in found.values())


def test_answers_that_could_not_be_read_are_left_out(rng):
    anchors = Anchors(Counts(90, 10, 0), Counts(10, 90, 0))
    some, more = (corrected(Counts(45, 5, lost), Counts(5, 45, 0), anchors, 0.01, rng) for lost in (0, 50))
    assert some["balanced_accuracy_corrected"].value == more["balanced_accuracy_corrected"].value


@pytest.fixture(scope="module")
def planted():
    return plant(np.random.default_rng(7), tokens=200_000, features=30)


def test_anchors_measure_a_judges_errors(planted, rng):
    """The judge executes each rule on what it reads, and errs as often as it was told to."""
    rules = [feature.rule for feature in planted.features if feature.kind in {"token_set", "preceded", "unless"}][:6]
    words = {parse(rule).english(): rule for rule in rules}
    truth = {
        (parse(rule).english(), item.text): item.truth
        for rule in rules
        for item in Anchoring(contexts=10**6).items(rule, planted.corpus, 10**6, np.random.default_rng(0))
    }
    assert len(words) == 6
    talk = Anchoring(contexts=1200).ask(rules, planted.corpus, rng)
    prompts, said = next(talk), None
    while said is None:
        answers = []
        for prompt in prompts:
            text = prompt.messages[-1].text
            told = json.loads(re.search(r"(?m)^Explanation: (.*)$", text)[1])
            right = [truth[told, json.loads(one)] for one in re.findall(r'(?m)^\d+: (".*")$', text)]
            answers.append(Answer(json.dumps([int(rng.random() < (0.8 if yes else 0.2)) for yes in right])))
        try:
            prompts = talk.send(answers)
        except StopIteration as over:
            said = over.value
    assert said.covered.items > 300
    assert said.others.items == 600
    assert said.sensitivity.low <= 0.8 <= said.sensitivity.high
    assert said.false_positive_rate.low <= 0.2 <= said.false_positive_rate.high


def test_a_judge_behind_an_endpoint_who_says_yes_to_all_has_no_skill(planted, rng):
    with serve(answer="yes") as server:
        [anchors] = Chat("judge", server.base_url).hold(
            [Anchoring(contexts=40).ask([planted.features[10].rule], planted.corpus, rng)], rng
        )
    assert anchors.sensitivity.value == anchors.false_positive_rate.value == 1


def test_a_setting_that_cannot_be_is_refused():
    with pytest.raises(BadSettings, match="contexts=0"):
        Anchoring(contexts=0)
