"""Explaining by trials: what text cannot tell apart is told apart, within the budget and without
what is held out.
"""

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from gloss.errors import BadInput, BadSettings
from gloss.explain.active import Active
from gloss.explain.active_words import parse_proposal
from gloss.explain.candidate_selection import InvestigatingExplainer
from gloss.explain.max_activating import MaxActivating
from gloss.explain.rule_search.search import RuleSearch
from gloss.explain.trials import (
    Trials,
    breaking_drafts,
    making_drafts,
    read_drafts,
    scanning_drafts,
    unchanged_drafts,
)
from gloss.models.chat_models.prompts import Answer
from gloss.models.planted import RuleReader, plant_apart
from gloss.records import Explanation, Failure, Reason
from gloss.rules import Passage, execute, parse_rule
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.detection import Detection
from gloss.score.execution import Execution
from gloss.store.evidence import Evidence, train_evidence

KINDS = ["after second", "after third", "after both", "word"]


@pytest.fixture(scope="module")
def planted():
    return plant_apart(np.random.default_rng(3), 40_000, 1)


@pytest.fixture
def reader(planted):
    return RuleReader(planted)


@pytest.fixture
def evidence_of(planted, reader):
    sampling = SamplingSettings(train=100, inactive_train=500)

    def of(kind):
        row = KINDS.index(kind)
        feature, fires = planted.features[row], planted.activations[row]
        assert feature.kind == kind
        examples = gather_examples(
            feature.feature, fires, planted.corpus, Quantiles(), sampling, np.random.default_rng(0)
        )
        return Evidence(examples, planted.corpus, fires, reader=reader)

    return of


def investigated(active, evidence, answer=None, rng=0):
    conversation = active.investigate(train_evidence(evidence), np.random.default_rng(rng))
    try:
        prompts = next(conversation)
        while True:
            prompts = conversation.send([answer(prompt) for prompt in prompts])
    except StopIteration as over:
        return over.value


def predicted(rule, evidence):
    corpus = evidence.corpus
    passage = Passage(corpus.tokens, corpus.offsets, corpus.vocabulary.strings)
    return np.flatnonzero(execute(parse_rule(rule), passage))


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_train_text_cannot_tell_apart_is_found_by_trials(kind, planted, evidence_of):
    evidence = evidence_of(kind)
    choice = investigated(Active(RuleSearch(), Execution(resamples=1)), evidence)
    found = predicted(choice.explanation.rule, evidence)
    assert found.tolist() == evidence.activations.positions.tolist()


@pytest.mark.parametrize("kind", KINDS[:3])
def test_without_trials_it_is_not_found(kind, evidence_of):
    evidence = evidence_of(kind)
    conversation = RuleSearch().explain(
        evidence.examples.for_explainer(), evidence.corpus.vocabulary, np.random.default_rng(0)
    )
    with pytest.raises(StopIteration) as over:
        next(conversation)
    found = predicted(over.value.value.rule, evidence)
    assert len(found) > 1.3 * len(evidence.activations.positions)


@pytest.mark.parametrize(("texts", "rounds"), [(64, 2), (256, 3), (40, 5), (8, 1)])
def test_no_more_texts_are_read_than_asked_for(texts, rounds, reader, evidence_of):
    active = Active(RuleSearch(), Execution(resamples=1), texts, rounds)
    choice = investigated(active, evidence_of("after both"))
    assert 0 < reader.texts <= texts
    assert len(choice.candidates) <= active.tries


def test_the_same_seed_tries_the_same(evidence_of):
    evidence, active = evidence_of("after both"), Active(RuleSearch(), Execution(resamples=1), 64)
    one, other = (investigated(active, evidence) for _ in range(2))
    assert repr(one) == repr(other)


def test_nothing_that_is_held_out_reaches_it(evidence_of):
    evidence = evidence_of("word")
    seen = train_evidence(evidence)
    corpus, train = evidence.corpus, evidence.corpus.in_train
    assert len(seen.examples.held_out) == len(seen.examples.inactive_held_out) == 0
    assert seen.corpus.tokens.tolist() == corpus.tokens[train].tolist()
    in_train = train[evidence.activations.positions]
    assert len(seen.activations.positions) == np.count_nonzero(in_train)


def test_a_feature_that_is_silent_without_its_document_keeps_its_first_hypothesis(
    planted, evidence_of
):
    class Silent(RuleReader):
        def read(self, sequences, feature):
            return [np.zeros(len(sequence), np.float32) for sequence in sequences]

    evidence = replace(evidence_of("after both"), reader=Silent(planted))
    choice = investigated(Active(RuleSearch(), Execution(resamples=1)), evidence)
    assert choice.explanation.method == "rule"
    assert choice.candidates == ()


@dataclass(frozen=True)
class Says:
    """An explanation that asks nobody and is no rule."""

    def explain(self, examples, vocabulary, rng):
        yield from ()
        return Explanation(examples.feature, "words about the weather", "says")


def test_a_first_explanation_that_is_no_rule_stands_and_is_not_tried(reader, evidence_of):
    choice = investigated(Active(Says(), Execution(resamples=1)), evidence_of("after both"))
    assert choice.explanation.text == "words about the weather"
    assert reader.texts == 0


def test_drafts_do_what_they_say(planted, reader, evidence_of):
    evidence = train_evidence(evidence_of("after both"))
    supply, rng = evidence.corpus.token_supply, np.random.default_rng(1)
    rule = parse_rule(planted.features[KINDS.index("after both")].rule)
    starts = unchanged_drafts(evidence.examples.train[:12])
    fires = read_drafts(starts, reader, KINDS.index("after both")).fires
    firing = [one for one, fired in zip(starts, fires, strict=True) if fired]
    broken = breaking_drafts(rule, firing, 20, supply, rng)
    made = making_drafts(rule, evidence.examples.inactive_train, 20, supply, rng)
    scanned = scanning_drafts(firing, 20, supply, rng)
    strings = evidence.corpus.vocabulary.strings
    assert broken
    assert made
    assert not Trials(tuple(broken)).predicted(rule, strings).any()
    assert Trials(tuple(made)).predicted(rule, strings).all()
    for draft in (*broken, *scanned):
        start = next(one for one in firing if one.unit == draft.unit and one.place == draft.place)
        assert len(draft.tokens) == len(start.tokens)
        assert np.count_nonzero(draft.tokens != start.tokens) <= 2


def writer(said, pairs):
    """A language model that explains as it is told, in turn, and judges by words in backticks."""
    told = iter(said)

    def answer(prompt):
        asked = prompt.messages[-1].text
        if "pairs." in asked:
            return Answer(json.dumps({"explanation": next(told), "pairs": pairs}))
        if asked.startswith("Explanation:"):
            words = set(re.findall("`(.*?)`", asked.splitlines()[0]))
            texts = [json.loads(one) for one in re.findall(r'(?m)^\d+: (".*")$', asked)]
            return Answer(json.dumps([int(bool(words & set(one.split()))) for one in texts]))
        return Answer("[interpretation]: the first guess")

    return answer


def words_of(planted):
    rule = planted.features[KINDS.index("after both")].rule
    word, second, third = re.findall(r'" (.*?)"', rule)
    return word, second, third


def test_words_are_tested_on_texts_that_a_language_model_writes(planted, evidence_of):
    word, second, third = words_of(planted)
    right, wrong = f"`{word}` after {third} {second}", f"`{word}`"
    pairs = [[f"{third} {second} {word}", f"{third} {third} {word}"]] * 4
    active = Active(MaxActivating(), Detection(), 64, 2)
    choice = investigated(active, evidence_of("after both"), writer([wrong, right], pairs))
    texts = [candidate.explanation.text for candidate in choice.candidates]
    assert texts == ["the first guess", wrong, right]
    assert choice.explanation.text == wrong  # both hold of the text, and of all that was tried
    assert choice.explanation.prompt_hash


def test_of_words_that_say_the_same_of_the_text_those_win_that_hold_when_tried(
    planted, evidence_of
):
    word, second, third = words_of(planted)
    texts = {
        f"`{word}` anywhere": [[f"{word} {third}", second]] * 4,
        f"`{word}` after both": [[f"{third} {second} {word}", f"{second} {word}"]] * 4,
    }
    turns = iter(texts.items())

    def answer(prompt):
        if "pairs." in prompt.messages[-1].text:
            said, pairs = next(turns)
            return Answer(json.dumps({"explanation": said, "pairs": pairs}))
        return writer([], [])(prompt)

    active = Active(MaxActivating(), Detection(), 64, 2)
    choice = investigated(active, evidence_of("after both"), answer)
    assert choice.explanation.text == f"`{word}` after both"


def test_an_answer_that_cannot_be_read_ends_the_rounds_and_loses_nothing(evidence_of):
    def answer(prompt):
        if "pairs." in prompt.messages[-1].text:
            return Answer("I would rather not.")
        return writer([], [])(prompt)

    active = Active(MaxActivating(), Detection(), 64, 2)
    choice = investigated(active, evidence_of("after both"), answer)
    assert choice.explanation.text == "the first guess"
    assert [failure.reason for failure in choice.failures] == [Reason.UNPARSABLE]


def test_a_first_explanation_that_fails_is_the_failure(evidence_of):
    def answer(prompt):
        return Answer(None, Reason.REQUEST_ERROR, "gone")

    choice = investigated(Active(MaxActivating(), Detection()), evidence_of("word"), answer)
    assert isinstance(choice.explanation, Failure)
    assert choice.lost


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('{"explanation": "x", "pairs": [["a", "b"]]}', 1),
        (
            'Sure:\n```json\n{"explanation": "x", "pairs": [["a", "b"], ["a"], 3, ["a", ""]]}\n```',
            1,
        ),
        ('{"explanation": "x"}', 0),
        ('{"explanation": "x", "pairs": "none"}', 0),
    ],
)
def test_proposals_are_read_as_they_are_written(text, pairs):
    found = parse_proposal(text)
    assert (found.explanation, len(found.pairs)) == ("x", pairs)


@pytest.mark.parametrize("text", ["", "no", "[1, 2]", '{"pairs": []}', '{"explanation": ""}'])
def test_what_proposes_nothing_is_none(text):
    assert parse_proposal(text) is None


def test_it_needs_a_reader_and_a_budget(evidence_of):
    with pytest.raises(BadSettings, match="texts=7 and rounds=1"):
        Active(texts=7, rounds=1)
    assert isinstance(Active(), InvestigatingExplainer)
    with pytest.raises(BadInput, match="has no reader"):
        investigated(Active(RuleSearch(), Execution()), replace(evidence_of("word"), reader=None))
