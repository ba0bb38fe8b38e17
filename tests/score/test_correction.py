"""Judges with known error rates: their scores corrected come out at the truth, and intervals hold
it as often as they say.
"""

import json
import re

import numpy as np
import pytest

from gloss.errors import BadInput
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer
from gloss.models.chat_models.token_marks import spell_contexts
from gloss.models.planted import plant
from gloss.score.detection import Detection
from gloss.score.fuzzing import Fuzzing
from gloss.score.judge.calibration_items import WORD, CalibrationCounts, CalibrationTexts
from gloss.score.judge.error_correction import add_corrections, corrected_estimates
from gloss.score.judge.verdict_metrics import VerdictCounts
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary
from models.servers import serve
from score.one_word import evidence as evidence_of_one_word
from score.one_word import explained

JUDGES = [(0.9, 0.1), (0.8, 0.2), (0.7, 0.3)]


def asked(rng, number: int, rate: float) -> VerdictCounts:
    yes = int(rng.binomial(number, rate))
    return VerdictCounts(yes, number - yes, 0)


@pytest.mark.parametrize(("sensitivity", "false_positive"), JUDGES)
def test_corrected_scores_are_true_on_average_and_their_intervals_cover(
    sensitivity, false_positive, rng
):
    """The explanation covers .965 of the firing contexts and .035 of the inactive ones: its
    balanced accuracy is .965.
    """
    held, values, seen = 0, [], []
    for _ in range(400):
        firing, inactive = (
            asked(rng, 100, sensitivity * t + false_positive * (1 - t)) for t in (0.965, 0.035)
        )
        calibration_items = CalibrationCounts(
            asked(rng, 200, sensitivity), asked(rng, 200, false_positive)
        )
        found = corrected_estimates(firing, inactive, calibration_items, 0.01, rng)[
            "balanced_accuracy_corrected"
        ]
        held += found.low <= 0.965 <= found.high
        values.append(found.value)
        seen.append((firing.yes + inactive.no) / 200)
    error = np.std(values) / 400**0.5
    assert abs(np.mean(values) - 0.965) < 0.01 + 2 * error
    assert 0.92 <= held / 400 <= 0.98  # .95 give or take two and a half standard errors
    assert np.mean(seen) < 0.88  # what the judge shows


def test_the_formula_is_that_of_rogan_and_gladen(rng):
    # s = .8, f = .2
    calibration_items = CalibrationCounts(VerdictCounts(160, 40, 0), VerdictCounts(40, 160, 0))
    found = corrected_estimates(
        VerdictCounts(68, 32, 0), VerdictCounts(26, 74, 0), calibration_items, 0.5, rng
    )
    assert found["true_positive_rate_corrected"].value == pytest.approx((0.68 - 0.2) / 0.6)
    assert found["true_negative_rate_corrected"].value == pytest.approx(1 - (0.26 - 0.2) / 0.6)
    assert found["precision_at_base_rate_corrected"].value == pytest.approx(0.8 / 0.9)
    assert found["f1_at_base_rate_corrected"].value == pytest.approx(
        2 * 0.8 / 0.9 * 0.8 / (0.8 + 0.8 / 0.9)
    )
    assert calibration_items.sensitivity.value == 0.8
    assert calibration_items.false_positive_rate.value == 0.2


def test_few_anchors_widen_the_interval(rng):
    few, many = (
        CalibrationCounts(VerdictCounts(8 * n, 2 * n, 0), VerdictCounts(2 * n, 8 * n, 0))
        for n in (1, 100)
    )
    a, b = (
        corrected_estimates(VerdictCounts(70, 30, 0), VerdictCounts(25, 75, 0), x, 0.01, rng)[
            "balanced_accuracy_corrected"
        ]
        for x in (few, many)
    )
    assert a.high - a.low > 1.5 * (b.high - b.low)


@pytest.mark.parametrize(
    "calibration_items",
    [
        CalibrationCounts(VerdictCounts(5, 5, 0), VerdictCounts(5, 5, 0)),
        CalibrationCounts(VerdictCounts(0, 0, 9), VerdictCounts(0, 9, 0)),
    ],
)
def test_a_judge_who_tells_nothing_cannot_be_corrected(calibration_items, rng):
    found = corrected_estimates(
        VerdictCounts(9, 1, 0), VerdictCounts(1, 9, 0), calibration_items, 0.01, rng
    )
    assert all(np.isnan(estimate.value) for estimate in found.values())


def test_answers_that_could_not_be_read_are_left_out(rng):
    calibration_items = CalibrationCounts(VerdictCounts(90, 10, 0), VerdictCounts(10, 90, 0))
    some, more = (
        corrected_estimates(
            VerdictCounts(45, 5, lost), VerdictCounts(5, 45, 0), calibration_items, 0.01, rng
        )
        for lost in (0, 50)
    )
    assert some["balanced_accuracy_corrected"].value == more["balanced_accuracy_corrected"].value


@pytest.fixture(scope="module")
def planted():
    return plant(np.random.default_rng(7), tokens=200_000, features=30)


@pytest.mark.parametrize("scorer", [Detection(), Fuzzing()])
def test_anchors_measure_a_judges_errors(planted, rng, scorer):
    """The judge knows the truth of each context by its text, and errs as often as it should."""
    said = []
    material = CalibrationTexts.of(planted.corpus, 32, rng)
    for words in material.draw_words(20, 30, rng):
        explanation, evidence = material.about(words, 30, rng)
        assert (len(evidence.examples.held_out), len(evidence.examples.inactive_held_out)) == (
            15,
            15,
        )
        score = judged_by(scorer, explanation, evidence, rng, 0.8, 0.2)
        said += score.verdicts
    found = CalibrationCounts.of(said)
    assert found.covered.items == 300
    assert 280 < found.others.items <= 300  # a few cannot bear marks
    assert found.sensitivity.low <= 0.8 <= found.sensitivity.high
    assert found.false_positive_rate.low <= 0.2 <= found.false_positive_rate.high


def judged_by(scorer, explanation, evidence, rng, sensitivity: float, false_positive: float):
    """The score by a judge who looks whether a word of the rule stands in a context, or between its
    marks.
    """
    words = re.findall("`(.+?)`", explanation.text)
    conversation = scorer.score(explanation, evidence, rng)
    prompts = next(conversation)
    answers = []
    for prompt in prompts:
        texts = [
            json.loads(text) for text in re.findall(r'(?m)^\d+: (".*")$', prompt.messages[-1].text)
        ]
        held = "|".join(map(re.escape, words))
        sought = rf"<< ?({held})\b" if "<<" in prompt.messages[-1].text else rf"\b({held})\b"
        right = [re.search(sought, text) is not None for text in texts]
        answers.append(
            Answer(
                json.dumps(
                    [int(rng.random() < (sensitivity if yes else false_positive)) for yes in right]
                )
            )
        )
    with pytest.raises(StopIteration) as over:
        conversation.send(answers)
    return over.value.value


def corpus_of(texts: list[str], cut: str) -> Corpus:
    """A corpus of these texts with a tokenizer that cuts them by this pattern."""
    pieces = [re.findall(cut, text) for text in texts]
    names = sorted({piece for one in pieces for piece in one})
    ids = np.array([names.index(piece) for one in pieces for piece in one], np.int32)
    hashes = np.array([0 if number % 2 else 2**63 for number in range(len(texts))], np.uint64)
    vocabulary = Vocabulary(tuple(name.encode() for name in names))
    offsets = np.cumsum([0, *map(len, pieces)])
    return Corpus(
        ids, offsets, np.arange(len(texts)), hashes, tuple(map(str, range(len(texts)))), vocabulary
    )


@pytest.mark.parametrize(
    "cut", [r" ?\w+|[^\w]", r"\w+\s*|[^\w\s]\s*", r"\w{1,3}|.", r"\w+ \w+ |.", r"."]
)
def test_anchors_are_true_to_who_reads_the_text_whatever_the_tokenizer(cut, rng):
    """Words before blanks, blanks before words, words in pieces, two words in a token, letters."""
    words = [
        "river",
        "stone",
        "play",
        "playing",
        "River",
        "green",
        "under",
        "walks",
        "north",
        "bread",
        "glass",
        "early",
    ]
    others = ["".join(letters) for letters in rng.choice(list("abcdefgh"), (40, 5))]
    texts = [" ".join(rng.choice([*words, *others, *others], 60)) + "." for _ in range(80)]
    material = CalibrationTexts.of(corpus_of(texts, cut), 40, rng)
    for chosen in (("river",), ("play", "north"), ("glass",)):
        explanation, evidence = material.about(chosen, 20, rng)
        assert explanation.text == (
            "the words `play` or `north`" if len(chosen) > 1 else f"the word `{chosen[0]}`"
        )
        covered, inactive = evidence.examples.held_out, evidence.examples.inactive_held_out
        assert (len(covered), len(inactive)) == (10, 10)
        for spelled in spell_contexts(covered, evidence.corpus.vocabulary):
            marked = "".join(
                piece if on else "|"
                for piece, on in zip(spelled.pieces, spelled.activations > 0, strict=True)
            )
            assert set(re.findall(r"\w+", marked)) & set(chosen)
            assert re.search(rf"\b({'|'.join(chosen)})\b", spelled.text)
        for spelled in spell_contexts(inactive, evidence.corpus.vocabulary):
            assert not any(word in spelled.text.lower() for word in chosen)
        words = [set(WORD.findall(spelled.text)) for spelled in material.spelled]
        share = float(np.mean([bool(each & set(chosen)) for each in words]))
        assert (evidence.examples.share_train, evidence.examples.share_held_out) == (share, share)
        assert evidence.examples.strongest == covered.activations.max() == 1


def test_a_corpus_without_words_for_anchors_is_refused(planted, rng):
    with pytest.raises(BadInput, match="set fewer calibration_items"):
        CalibrationTexts.of(planted.corpus, 32, rng).draw_words(20, 10**6, rng)


def test_a_judge_behind_an_endpoint_who_says_yes_to_all_has_no_skill(planted, rng):
    material = CalibrationTexts.of(planted.corpus, 32, rng)
    [words] = material.draw_words(1, 40, rng)
    explanation, evidence = material.about(words, 40, rng)
    with serve(answer="yes") as server:
        [score] = Chat("judge", server.base_url).run(
            [Detection().score(explanation, evidence, rng)], rng
        )
    calibration_items = CalibrationCounts.of(score.verdicts)
    assert calibration_items.sensitivity.value == calibration_items.false_positive_rate.value == 1
    assert np.isnan(
        add_corrections(score, evidence.examples, calibration_items, rng)
        .estimates["f1_at_base_rate_corrected"]
        .value
    )


def test_a_score_is_corrected_beside_what_the_judge_said(rng):
    material = evidence_of_one_word(rng)
    calibration_items = CalibrationCounts(VerdictCounts(450, 50, 0), VerdictCounts(50, 450, 0))
    with serve(answer="perfect", wrong=0.1) as server:
        [score] = Chat("judge", server.base_url).run(
            [Detection().score(explained(5), material, rng)], rng
        )
    found = add_corrections(score, material.examples, calibration_items, rng).estimates
    assert set(score.estimates) < set(found)
    assert found["balanced_accuracy_corrected"].value == pytest.approx(
        0.5 + (found["balanced_accuracy"].value - 0.5) / 0.8
    )
    assert (
        found["balanced_accuracy_corrected"].low
        < 1
        < found["balanced_accuracy_corrected"].high + 0.05
    )
    assert found["f1_at_base_rate_corrected"].value > found["f1_at_base_rate"].value
