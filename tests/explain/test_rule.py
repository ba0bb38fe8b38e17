"""The search for rules: it finds what was planted, and finds nothing where there is nothing."""

import re
from dataclasses import replace

import numpy as np
import pytest

from gloss.explain import Explainer
from gloss.explain.rule_search.search import RuleSearch
from gloss.models.planted import Planted, plant
from gloss.models.planted.conditions import Among, NearbyTest, PlantedText, RuleCase
from gloss.models.planted.plant import planted_activations
from gloss.records import (
    Contexts,
    Examples,
    Explanation,
    Failure,
    FeatureActivations,
    FeatureId,
    Reason,
)
from gloss.rules import parse_rule
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.execution import Execution
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

SAMPLING = SamplingSettings(train=200, inactive_train=3000)
FOUND = 0.95  # held-out F1 from which a planted rule counts as found


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(np.random.default_rng(3), tokens=400_000, features=60)


def explained(examples: Examples, vocabulary: Vocabulary) -> Explanation | Failure:
    conversation = RuleSearch().explain(
        examples.for_explainer(), vocabulary, np.random.default_rng(0)
    )
    with pytest.raises(StopIteration) as stopped:
        next(conversation)
    return stopped.value.value


def held_out_f1(explanation: Explanation, evidence: Evidence) -> float:
    with pytest.raises(StopIteration) as stopped:
        next(Execution(resamples=10).score(explanation, evidence, np.random.default_rng(0)))
    return stopped.value.value.estimates["f1"].value


def test_the_search_is_an_explainer() -> None:
    assert isinstance(RuleSearch(), Explainer)


def test_planted_rules_are_found(planted: Planted) -> None:
    scores = {}
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        examples = gather_examples(
            feature.feature,
            activations,
            planted.corpus,
            Quantiles(),
            SAMPLING,
            np.random.default_rng(1),
        )
        if isinstance(examples, Examples):
            explanation = explained(examples, planted.corpus.vocabulary)
            evidence = Evidence(examples, planted.corpus, activations)
            scores[feature.rule] = (
                held_out_f1(explanation, evidence) if isinstance(explanation, Explanation) else 0.0
            )
    missed = {rule: score for rule, score in scores.items() if score < FOUND}
    assert len(scores) >= 50
    assert len(missed) <= 0.05 * len(scores), missed


def at_random(
    planted: Planted, rng: np.random.Generator, rate: float = 0.002
) -> FeatureActivations:
    positions = np.flatnonzero(rng.random(len(planted.corpus)) < rate)
    return FeatureActivations(positions, rng.uniform(0.5, 2.0, len(positions)).astype(np.float32))


def test_a_feature_that_fires_at_random_has_no_rule(
    planted: Planted, rng: np.random.Generator
) -> None:
    for index in range(5):
        activations = at_random(planted, rng)
        examples = gather_examples(
            FeatureId("random", index), activations, planted.corpus, Quantiles(), SAMPLING, rng
        )
        assert isinstance(examples, Examples)
        found = explained(examples, planted.corpus.vocabulary)
        assert isinstance(found, Failure)
        assert found.reason is Reason.NO_RULE_FOUND


def test_half_of_the_firings_at_random_still_leaves_the_other_half(
    planted: Planted, rng: np.random.Generator
) -> None:
    feature, activations = next(
        (f, a)
        for f, a in zip(planted.features, planted.activations, strict=True)
        if f.kind == "token_set" and f.rate > 0.001
    )
    noise = at_random(planted, rng, rate=feature.rate)
    positions, first = np.unique(
        np.concatenate([activations.positions, noise.positions]), return_index=True
    )
    values = np.concatenate([activations.values, noise.values])[first]
    examples = gather_examples(
        feature.feature,
        FeatureActivations(positions, values),
        planted.corpus,
        Quantiles(),
        SAMPLING,
        rng,
    )
    assert isinstance(examples, Examples)
    found = explained(examples, planted.corpus.vocabulary)
    assert isinstance(found, Explanation)
    assert found.rule is not None
    assert held_out_f1(found, Evidence(examples, planted.corpus, activations)) >= FOUND


def test_held_out_contexts_change_nothing(planted: Planted) -> None:
    activations = planted.activations[5]
    feature = planted.features[5].feature
    examples = gather_examples(
        feature, activations, planted.corpus, Quantiles(), SAMPLING, np.random.default_rng(1)
    )
    assert isinstance(examples, Examples)
    width = examples.train.tokens.shape[1]
    blind = replace(
        examples, held_out=Contexts.empty(width), inactive_held_out=Contexts.empty(width)
    )
    conversations = [
        RuleSearch().explain(each, planted.corpus.vocabulary, np.random.default_rng(0))
        for each in (examples, blind)
    ]
    answers = []
    for conversation in conversations:
        with pytest.raises(StopIteration) as stopped:
            next(conversation)
        answers.append(stopped.value.value)
    assert answers[0] == answers[1]


def test_the_explanation_says_its_rule_in_words(planted: Planted) -> None:
    feature = planted.features[10].feature
    examples = gather_examples(
        feature,
        planted.activations[10],
        planted.corpus,
        Quantiles(),
        SAMPLING,
        np.random.default_rng(1),
    )
    assert isinstance(examples, Examples)
    found = explained(examples, planted.corpus.vocabulary)
    assert isinstance(found, Explanation)
    assert found.rule is not None
    assert found.method == "rule"
    assert re.sub(r" \((`\w+`(, )?)+\)", "", found.text) == parse_rule(found.rule).english()


def test_too_few_contexts_are_a_failure(planted: Planted) -> None:
    feature = planted.features[0].feature
    examples = gather_examples(
        feature,
        planted.activations[0],
        planted.corpus,
        Quantiles(),
        SAMPLING,
        np.random.default_rng(1),
    )
    assert isinstance(examples, Examples)
    found = explained(replace(examples, train=examples.train[:3]), planted.corpus.vocabulary)
    assert isinstance(found, Failure)
    assert found.reason is Reason.TOO_FEW_EXAMPLES


def test_without_inactive_contexts_nothing_breaks(planted: Planted) -> None:
    feature = planted.features[10].feature
    examples = gather_examples(
        feature,
        planted.activations[10],
        planted.corpus,
        Quantiles(),
        SAMPLING,
        np.random.default_rng(1),
    )
    assert isinstance(examples, Examples)
    assert (
        explained(
            replace(examples, inactive_train=Contexts.empty(32)), planted.corpus.vocabulary
        ).feature
        == feature
    )


def test_a_token_four_places_back_is_found_where_it_is_known_to_matter(planted: Planted) -> None:
    case = RuleCase(Among((" the",)), (NearbyTest(-1, 4, 4, Among((".",))),))
    activations = planted_activations(
        PlantedText(planted.corpus), (case,), np.random.default_rng(0)
    )
    examples = gather_examples(
        FeatureId("back", 0),
        activations,
        planted.corpus,
        Quantiles(),
        SAMPLING,
        np.random.default_rng(1),
    )
    assert isinstance(examples, Examples)
    blind = explained(examples, planted.corpus.vocabulary)
    told = explained(replace(examples, offsets=(0, -4)), planted.corpus.vocabulary)
    assert isinstance(blind, Explanation)
    assert isinstance(told, Explanation)
    evidence = Evidence(examples, planted.corpus, activations)
    assert "after(4..4" not in (blind.rule or "")  # at best within 4 tokens, and not within 3
    assert told.rule == 'token in {" the"} and after(4..4, token in {"."})'
    assert held_out_f1(told, evidence) == 1.0
