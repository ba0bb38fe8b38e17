"""Fuzzing against judges of known skill, and a classifier that never sees the explanation."""

from dataclasses import replace

import numpy as np
import pytest

from gloss.errors import BadSettings
from gloss.models.chat_models import token_marks
from gloss.models.chat_models.token_marks import spell_contexts, where_above
from gloss.records import Failure
from gloss.score import Scorer
from gloss.score.fuzzing import Fuzzing
from gloss.score.mark_matching import MarkedItem, match_marks
from gloss.statistics.intervals import wilson_interval
from gloss.store.vocabulary import Vocabulary
from score.one_word import VOCABULARY, contexts, evidence, explained
from score.test_detection import judged


def test_it_is_a_scorer():
    assert isinstance(Fuzzing(), Scorer)


def test_a_judge_who_follows_a_right_explanation_gets_everything_right(rng):
    score = judged(rng, Fuzzing(), answer="perfect")
    assert score.n >= 95  # a few inactive contexts are too short for any pattern
    assert score.estimates["balanced_accuracy"].value == 1


def test_the_explanation_of_another_feature_scores_at_chance(rng):
    balanced = judged(rng, Fuzzing(), answer="perfect", word=60).estimates["balanced_accuracy"]
    assert balanced.low <= 0.5 <= balanced.high


@pytest.mark.parametrize("answer", ["random", "yes", "no"])
def test_a_judge_who_does_not_read_scores_at_chance(rng, answer):
    balanced = judged(rng, Fuzzing(), answer=answer).estimates["balanced_accuracy"]
    assert balanced.low <= 0.5 <= balanced.high


def test_failed_answers_stay_in_the_denominator(rng):
    score = judged(rng, Fuzzing(contexts_per_question=5), answer="perfect", malformed=0.5)
    assert 0 < score.failed < score.n
    assert score.estimates["balanced_accuracy"].value == pytest.approx(
        1 - score.failed / score.n, abs=0.08
    )


def seen(item: MarkedItem) -> np.ndarray:
    """All that a reader sees of the marks, without the words: how many, in how many runs, and
    where.
    """
    marks, width = item.marks, len(item.marks)
    runs = int(marks[0]) + int((marks[1:] & ~marks[:-1]).sum())
    places = np.flatnonzero(marks)
    return np.concatenate(
        [
            [1, marks.sum(), runs, places[0] / width, places[-1] / width, places.mean() / width],
            marks,
        ]
    )


def blind_accuracy(features: list[list[MarkedItem]]):
    """A logistic regression that learns from half of the features; the other half tests it."""
    half = len(features) // 2
    learn, test = (
        [item for items in part for item in items] for part in (features[:half], features[half:])
    )
    x, y = (
        np.stack([seen(item) for item in learn]).astype(float),
        np.array([item.firing for item in learn]),
    )
    mean, spread = x.mean(0), x.std(0) + 1e-9
    mean[0], spread[0] = 0, 1
    z, weights = (x - mean) / spread, np.zeros(x.shape[1])
    for _ in range(300):
        weights -= 0.5 * (z.T @ (1 / (1 + np.exp(-z @ weights)) - y) / len(y) + 1e-3 * weights)
    says = ((np.stack([seen(item) for item in test]) - mean) / spread) @ weights > 0
    return wilson_interval(int((says == np.array([item.firing for item in test])).sum()), len(test))


def test_a_classifier_that_never_sees_the_explanation_gets_half_right(rng):
    features = [
        Fuzzing().judged_items(evidence(rng, word=word, firing=40, inactive=40), rng)
        for word in range(100)
    ]
    accuracy = blind_accuracy(features)
    assert accuracy.low <= 0.5 <= accuracy.high
    assert accuracy.high - accuracy.low < 0.05  # it is a sharp test


def test_the_same_holds_where_the_sides_are_of_unlike_size(rng):
    features = [
        Fuzzing().judged_items(evidence(rng, word=word, firing=25, inactive=60), rng)
        for word in range(60)
    ]
    for items in features:
        patterns = [item.marks.tobytes() for item in items if item.firing]
        wrong = [item.marks.tobytes() for item in items if not item.firing]
        assert set(wrong) == set(patterns)
        assert max(wrong.count(p) / patterns.count(p) for p in patterns) <= 3


def test_the_classifier_does_find_marks_of_another_law(rng):
    """As many marks as there are activations on average, at random places: what a reader could tell
    apart.
    """

    def random_marks(items):
        for item in items:
            if item.firing:
                yield item
            else:
                marks = np.zeros(32, bool)
                marks[rng.choice(32, 3, replace=False)] = True
                yield MarkedItem(item.row, False, item.spelled, marks)

    features = [
        list(random_marks(Fuzzing().judged_items(evidence(rng, word=word), rng)))
        for word in range(20)
    ]
    assert blind_accuracy(features).low > 0.6


def test_each_pattern_comes_as_often_with_inactive_contexts_as_with_firing_ones(rng):
    items = Fuzzing().judged_items(evidence(rng, firing=30, inactive=90), rng)
    right = sorted(item.marks.tobytes() for item in items if item.firing)
    wrong = sorted({item.marks.tobytes() for item in items if not item.firing})
    assert sorted(set(right)) == wrong


def test_wrong_marks_stand_on_tokens_of_the_same_kind(rng):
    items = Fuzzing().judged_items(evidence(rng, firing=20, inactive=200), rng)
    marked = [
        item.spelled.pieces[place]
        for item in items
        if not item.firing
        for place in np.flatnonzero(item.marks)
    ]
    # by chance it would be 0.75, here 10 choose from 200
    assert np.mean([piece.startswith(" w") for piece in marked]) > 0.8


def test_no_mark_stands_on_padding_and_no_firing_token_of_a_inactive_context_exists(rng):
    for item in Fuzzing().judged_items(evidence(rng), rng):
        assert all(item.spelled.pieces[place] for place in np.flatnonzero(item.marks))
        assert item.firing == bool(item.spelled.activations.any())


def test_a_pattern_that_fits_no_inactive_context_takes_its_firing_context_with_it(rng):
    firing = contexts(rng, 2, 5, firing=True, first=0)
    firing.tokens[:] = 5
    firing.activations[:] = 0
    firing.activations[0, 31] = firing.activations[1, 2] = 1
    inactive = contexts(rng, 3, 5, firing=False, first=10_000)
    inactive.tokens[:, 20:] = -1
    spelled = spell_contexts(firing, VOCABULARY)
    items = match_marks(
        [(one, where_above(one, 0.3)) for one in spelled], spell_contexts(inactive, VOCABULARY), rng
    )
    assert [item.row for item in items if item.firing] == [1]
    assert len(items) == 4


@pytest.mark.parametrize(
    ("marked", "lengths", "left"),
    [
        # too few inactive contexts: whom any of them fits may stay, drawn or not
        ((31, 2, 3), (20,), [{1, 2}]),
        # enough of them: of two that fit the same one, the other is left out
        ((25, 25, 2), (32, 20, 20, 20), [{0, 2}, {1, 2}]),
    ],
)
def test_a_firing_context_stays_where_its_pattern_is_used_or_where_all_are_scarce(
    rng, marked, lengths, left
):
    firing = contexts(rng, len(marked), 5, firing=True, first=0)
    firing.tokens[:] = 5
    firing.activations[:] = 0
    firing.activations[range(len(marked)), marked] = 1
    inactive = contexts(rng, len(lengths), 5, firing=False, first=10_000)
    inactive.tokens[:] = 7
    for row, length in enumerate(lengths):
        inactive.tokens[row, length:] = -1
    items = match_marks(
        [(one, where_above(one, 0.3)) for one in spell_contexts(firing, VOCABULARY)],
        spell_contexts(inactive, VOCABULARY),
        rng,
    )
    assert {item.row for item in items if item.firing} in left


def test_marks_are_others_where_the_text_holds_them(rng):
    material = evidence(rng)
    pieces = list(VOCABULARY.pieces)
    pieces[17] = b" >>>"
    corpus = replace(material.corpus, vocabulary=Vocabulary(tuple(pieces)))
    prompts = next(Fuzzing().score(explained(5), replace(material, corpus=corpus), rng))
    assert "Marks: ⟦ and ⟧" in prompts[0].messages[-1].text
    assert "⟦" in prompts[0].messages[0].text


def test_a_side_without_contexts_is_a_failure(rng):
    for sides in ({"firing": 0}, {"inactive": 0}):
        with pytest.raises(StopIteration) as over:
            next(Fuzzing().score(explained(5), evidence(rng, **sides), rng))
        assert isinstance(over.value.value, Failure)


def test_a_setting_that_cannot_be_is_refused():
    with pytest.raises(BadSettings, match=r"threshold=1\.5, wants"):
        Fuzzing(threshold=1.5)


def test_contexts_are_spelled_once_for_an_explanation_and_its_controls(rng, monkeypatch):
    spelled = []
    inner = token_marks.context_pieces
    monkeypatch.setattr(
        token_marks, "context_pieces", lambda *given: spelled.append(given[1]) or inner(*given)
    )
    shown = evidence(rng)
    for purpose in range(3):
        next(Fuzzing().score(explained(3), shown, np.random.default_rng(purpose)))
    examples = shown.examples
    assert len(spelled) == len(examples.held_out) + len(examples.inactive_held_out) > 20
