"""Texts that are written from explanations and read by a subject whose feature is known: it fires
at one word.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from one_word import VOCABULARY, evidence, explained

from gloss.errors import BadInput
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer
from gloss.records import Reason, Score
from gloss.score import Scorer
from gloss.score.generation import Generation, parse_texts
from gloss.store.evidence import Evidence, NewTextReader
from models.servers import serve

NUMBERS = {piece.decode().strip(): number for number, piece in enumerate(VOCABULARY.pieces[:120])}


class FiresAt:
    """Reads one token a word, at most eight of them, and fires with 3 at the planted one."""

    def __init__(self, word: int) -> None:
        self.word = word

    def encode(self, text):
        return np.array([NUMBERS.get(word, 120) for word in text.split()][:8], np.int32)

    def read(self, sequences, feature):
        assert feature == 7
        return [np.where(tokens == self.word, np.float32(3), np.float32(0)) for tokens in sequences]


@pytest.fixture
def given(rng) -> Evidence:
    return replace(evidence(rng, word=5), reader=FiresAt(5))


def told(
    own: Answer, contrast: Answer, given: Evidence, rng: np.random.Generator, **settings
) -> Score:
    conversation = Generation(**settings).score(explained(5), given, rng)
    assert len(next(conversation)) == 2
    with pytest.raises(StopIteration) as over:
        conversation.send([own, contrast])
    return over.value.value


def texts(*said: str) -> Answer:
    return Answer(json.dumps({"texts": said}))


def reasons(score: Score) -> list[Reason | None]:
    return [verdict.reason for verdict in score.verdicts if verdict.truth]


def test_it_is_a_scorer_and_the_reader_a_reader():
    assert isinstance(Generation(), Scorer)
    assert isinstance(FiresAt(1), NewTextReader)


def test_shares_are_counted_by_hand(given, rng):
    score = told(texts("a w5", "w5 b", "w5", "c w6"), texts("x", "y w5"), given, rng, texts=4)
    values = {name: estimate.value for name, estimate in score.estimates.items()}
    assert (score.n, score.failed, score.headline) == (4, 0, "firing_above_chance")
    assert (
        values["share_firing"],
        values["share_firing_contrast"],
        values["firing_above_contrast"],
    ) == (0.75, 0.5, 0.25)
    assert values["relative_maximum"] == pytest.approx(0.75 * 3 / 4)
    assert values["auroc"] == pytest.approx((0.75 * 0.5 * 0.5) + 0.75 * 0.5 + 0.25 * 0.5 * 0.5)
    chance = values["chance"]
    assert 0 < chance < 0.2
    assert values["firing_above_chance"] == pytest.approx((0.75 - chance) / (1 - chance))


def test_what_is_repeated_quoted_missing_or_empty_did_not_fire_and_says_why(given, rng):
    quoting = replace(given)
    conversation = Generation(texts=6).score(
        replace(explained(5), text="the word `w5` and its like"), quoting, rng
    )
    next(conversation)
    with pytest.raises(StopIteration) as over:
        conversation.send(
            [texts("w5 a", "W5  a", "See: the word `w5` and its like", "", "w5 b"), texts("x")]
        )
    score = over.value.value
    assert reasons(score) == [
        None,
        Reason.REPEATED,
        Reason.REPEATED,
        Reason.UNPARSABLE,
        None,
        Reason.UNPARSABLE,
    ]
    assert (score.n, score.failed, score.estimates["share_firing"].value) == (
        6,
        4,
        pytest.approx(2 / 6),
    )


def test_a_short_explanation_may_stand_in_a_text(given, rng):
    conversation = Generation(texts=1).score(replace(explained(5), text="w5"), given, rng)
    next(conversation)
    with pytest.raises(StopIteration) as over:
        conversation.send([texts("x w5"), texts("x")])
    assert over.value.value.estimates["share_firing"].value == 1


@pytest.mark.parametrize(
    "answer, reason",
    [
        (Answer("I would rather not."), Reason.UNPARSABLE),
        (Answer(None, Reason.REFUSED, ""), Reason.REFUSED),
    ],
)
def test_failed_answers_stay_in_the_denominator(answer, reason, given, rng):
    score = told(answer, texts("x", "y"), given, rng, texts=3)
    assert (score.n, score.failed, reasons(score)) == (3, 3, [reason] * 3)
    assert score.estimates["share_firing"].value == 0
    assert score.estimates["firing_above_chance"].value < 0
    without = told(texts("w5"), answer, given, rng, texts=1)
    assert np.isnan(without.estimates["auroc"].value)
    assert without.estimates["share_firing"].value == 1


def test_texts_beyond_the_number_are_dropped_and_long_ones_are_cut(given, rng):
    score = told(texts("a b c d e f g h w5", "w5"), texts("x"), given, rng, texts=1)
    assert (score.n, score.estimates["share_firing"].value) == (1, 0)


@pytest.mark.parametrize(
    "said, found",
    [
        ('{"texts": ["a", "b [c] {d}"]}', ["a", "b [c] {d}"]),
        ('Sure:\n```json\n["a"]\n```', ["a"]),
        ('draft ["a"], no: {"texts": ["b"]} as asked', ["b"]),
        ('{"texts": ["a\nb"]}', ["a\nb"]),
        ('{"texts": ["a", 1]}', None),
        ('{"texts": ["a", "b', None),
        ('{"texts": []}', None),
        ("no", None),
    ],
)
def test_answers_are_read(said, found):
    assert parse_texts(said) == found


def test_one_who_obeys_the_explanation_wins_and_one_who_does_not_fails(given, rng):
    with serve(answer="writer") as server:
        asked = [Generation().score(explained(word), given, rng) for word in (5, 6)]
        right, wrong = Chat("m", server.base_url).run(asked, rng)
    with serve(answer="unrelated") as server:
        [unrelated] = Chat("m", server.base_url).run(
            [Generation().score(explained(5), given, rng)], rng
        )
    assert right.estimates["share_firing"].value == 1
    assert right.estimates["firing_above_chance"].low > 0.6
    assert right.estimates["auroc"].value == 1
    for failed in (wrong, unrelated):
        assert failed.estimates["share_firing"].value == 0
        assert failed.estimates["auroc"].value == 0.5
        assert failed.estimates["firing_above_chance"].value < 0


def test_without_a_reader_it_is_refused(rng):
    with pytest.raises(BadInput, match="reader"):
        next(Generation().score(explained(5), evidence(rng), rng))
