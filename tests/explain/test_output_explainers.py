"""Explainers of what a feature makes the subject say."""

from dataclasses import replace

import numpy as np
import pytest

from gloss.explain import Explainer
from gloss.explain.input_output import InputOutput
from gloss.explain.max_activating import MaxActivating
from gloss.explain.output_tokens import TokenChange, VocabularyProjection
from gloss.models.chat_models.prompts import Answer
from gloss.records import Control, Explanation, Failure, Reason, Split
from score.effects import effect
from score.one_word import FEATURE, VOCABULARY, contexts, evidence


@pytest.fixture
def examples(rng: np.random.Generator):
    plain = evidence(rng).examples
    return replace(
        plain, train=contexts(rng, 6, 5, firing=True, first=500_000), output_tokens=(" w7", "\n")
    )


def asked(explainer, examples, answer: str | None = None):
    conversation = explainer.explain(examples, VOCABULARY, np.random.default_rng(0))
    try:
        [prompt] = next(conversation)
        assert answer is not None
        text = "\n".join(message.text for message in prompt.messages)
        conversation.send([Answer(answer)])
    except StopIteration as over:
        return over.value if answer is None else (over.value, text)
    raise AssertionError("it asks once")


@pytest.mark.parametrize("explainer", [VocabularyProjection(), TokenChange(), InputOutput()])
def test_they_are_explainers(explainer):
    assert isinstance(explainer, Explainer)


def test_the_direction_is_told_in_tokens_blanks_and_all(examples):
    found = asked(VocabularyProjection(), examples)
    told = 'raises the probability that the next token is `" w7"` or `"\\n"`'
    assert found == Explanation(FEATURE, told, "vocabulary_projection")
    assert asked(VocabularyProjection(tokens=1), examples).text.endswith('is `" w7"`')


def test_a_direction_that_promotes_nothing_beyond_chance_is_left_without_words(examples):
    found = asked(VocabularyProjection(), replace(examples, output_tokens=()))
    assert isinstance(found, Failure)
    assert found.reason is Reason.NO_EFFECT


def test_only_what_rises_reliably_is_told_and_no_control_is(examples):
    shown = replace(effect((3, 4, 6)), split=Split.TRAIN)
    random = replace(effect((8, 9, 10), control=Control.RANDOM_DIRECTION), split=Split.TRAIN)
    found = asked(TokenChange(), replace(examples, effects=(shown, random)))
    assert found.text == 'raises the probability that the next token is `" w3"` or `" w4"`'
    for without in ((), (random,)):
        assert asked(TokenChange(), replace(examples, effects=without)).reason is Reason.NO_EFFECT


def test_a_language_model_sees_both_sides(examples):
    shown = replace(effect((3, 4, 6)), split=Split.TRAIN)
    found, text = asked(
        InputOutput(),
        replace(examples, effects=(shown,)),
        "[interpretation]: The word w5, after which w7.",
    )
    assert found.text == "The word w5, after which w7."
    assert found.method == "input_output"
    assert text.endswith('Promoted tokens: " w7", "\\n"\nRisen tokens: " w3", " w4"')
    _, plain = asked(MaxActivating(), examples, "[interpretation]: x")
    assert plain.split("\n1: ")[-1].strip() in text


def test_a_side_without_evidence_is_none(examples):
    _, text = asked(
        InputOutput(), replace(examples, output_tokens=()), "[interpretation]: The word w5."
    )
    assert text.endswith("Promoted tokens: none\nRisen tokens: none")
