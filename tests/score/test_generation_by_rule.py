"""Rules whose tokens are put into inactive text, which is read by a subject whose feature is known:
it fires at one word.
"""

from dataclasses import replace

import numpy as np
import pytest
from one_word import evidence, explained

from gloss.errors import BadInput, BadSettings
from gloss.records import Explanation, Failure, Reason, Score
from gloss.rules import parse_rule
from gloss.score import Scorer
from gloss.score.generation_by_rule import (
    GenerationByRule,
    contexts_without_rule,
    rule_holds_anywhere,
)


class FiresAt:
    """Fires at the planted token."""

    def encode(self, text):
        raise AssertionError("tokens are handed over as they are")

    def read(self, sequences, feature):
        return [np.where(tokens == 5, np.float32(3), np.float32(0)) for tokens in sequences]


@pytest.fixture
def given(rng):
    return replace(evidence(rng, word=5), reader=FiresAt())


def scored(rule: str | None, given, rng, **settings) -> Score | Failure:
    explanation: Explanation = replace(explained(5), rule=rule)
    with pytest.raises(StopIteration) as over:
        next(GenerationByRule(**settings).score(explanation, given, rng))
    return over.value.value


def test_it_is_a_scorer():
    assert isinstance(GenerationByRule(), Scorer)


@pytest.mark.parametrize(
    "rule", ['token in {" w5"}', 'token in {" w5"} and after(1..3, token in {" w9"})']
)
def test_a_rule_that_names_the_cause_makes_it_fire(rule, given, rng):
    score = scored(rule, given, rng)
    assert (score.n, score.failed, score.headline) == (30, 0, "firing_above_contrast")
    assert score.estimates["share_firing"].value == 1
    # the word is common in this corpus
    assert score.estimates["share_firing_contrast"].value <= 0.4
    assert score.estimates["firing_above_contrast"].low > 0.4


@pytest.mark.parametrize("rule", ['token in {" w6"}', 'after(1, token in {" w9"})'])
def test_a_rule_that_names_something_else_does_not(rule, given, rng):
    score = scored(rule, given, rng)
    assert score.estimates["share_firing"].value <= 0.1
    assert score.estimates["firing_above_contrast"].low < 0.1


def test_contexts_are_inactive_and_the_rule_holds_in_none_of_them(given):
    rule = parse_rule('token in {" w6"}')
    contexts = contexts_without_rule(rule, given, 100)
    assert 5 < len(contexts) < 50
    assert not any(rule_holds_anywhere(rule, contexts, given.corpus))
    assert not any((context == 5).any() for context in contexts)


@pytest.mark.parametrize(
    "rule, reason",
    [
        (None, Reason.NOT_APPLICABLE),
        ("token is loud", Reason.UNPARSABLE),
        ('token in {"nowhere"}', Reason.NOT_APPLICABLE),
        ('token in {" w5"} and not token in {" w5"}', Reason.NOT_APPLICABLE),
    ],
)
def test_what_cannot_be_written_is_a_failure_with_its_reason(rule, reason, given, rng):
    failure = scored(rule, given, rng, texts=5, tries=3)
    assert isinstance(failure, Failure)
    assert failure.reason is reason


def test_it_wants_a_reader_and_settings_that_can_be(rng):
    with pytest.raises(BadInput, match="reader"):
        next(GenerationByRule().score(explained(5), evidence(rng), rng))
    with pytest.raises(BadSettings, match="tries=0"):
        GenerationByRule(tries=0)
