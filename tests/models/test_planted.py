"""The planted subject: what it says of its features is so."""

import re
import subprocess
import sys

import numpy as np
import pytest

from gloss.models.planted import Planted, RuleJudge, plant
from gloss.models.planted.conditions import CAPITALISED, NUMBER, PUNCTUATION
from gloss.models.planted.families import FILLER
from gloss.models.planted.text import TEMPLATES, template_slot
from gloss.models.planted.words import NOUNS
from gloss.records import Examples, Split
from gloss.rules.execute import execute
from gloss.rules.lexical_classes import CLASSES
from gloss.rules.parser import parse_rule
from gloss.rules.passage import Passage
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.store.contexts import cut_contexts


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(np.random.default_rng(0))


@pytest.fixture(scope="module")
def predicted(planted) -> list[np.ndarray]:
    """What the rule of every feature predicts at every token, at the tokens where it is not 0."""
    passage = Passage(
        planted.corpus.tokens, planted.corpus.offsets, planted.corpus.vocabulary.strings
    )
    found = []
    for feature in planted.features:
        strengths = execute(parse_rule(feature.rule), passage)
        positions = np.flatnonzero(strengths)
        found.append(np.stack([positions, strengths[positions]]))
    return found


def test_there_are_a_million_tokens_and_two_hundred_features(planted):
    assert len(planted.corpus) == 1_000_000
    assert len(planted.features) == len(planted.activations) == 200
    assert [feature.feature.index for feature in planted.features] == list(range(200))


def test_executing_the_rule_finds_exactly_where_the_feature_fires(planted, predicted):
    for activations, (positions, _) in zip(planted.activations, predicted, strict=True):
        assert np.array_equal(positions, activations.positions)


def test_an_activation_lies_a_fifth_around_the_strength_of_the_rule(planted, predicted):
    for activations, (_, strengths) in zip(planted.activations, predicted, strict=True):
        ratios = activations.values / strengths
        assert ratios.min() >= 0.799
        assert ratios.max() <= 1.201


def test_rates_run_from_one_in_ten_thousand_to_one_in_a_hundred(planted):
    rates = np.array([feature.rate for feature in planted.features])
    assert 1e-4 <= rates.min() < 1.6e-4
    assert 8e-3 < rates.max() <= 1.05e-2
    assert [feature.rate for feature in planted.features] == [
        len(a) / 1_000_000 for a in planted.activations
    ]


def test_every_kind_of_rule_is_planted(planted):
    kinds = {feature.kind for feature in planted.features}
    assert kinds == {
        "positional", "token_set", "preceded", "unless", "followed", "conjunction",
        "graded_by_token", "graded_by_distance", "numbered", "lexical",
    }  # fmt: skip
    rules = " ".join(feature.rule for feature in planted.features)
    for piece in (
        "token in",
        "matches",
        "is number",
        "is capitalised",
        "not after",
        "before(",
        "position <",
        "after(2..3",
        "->",
    ):
        assert piece in rules


def test_siblings_of_a_family_are_alike_but_not_the_same(planted):
    rules = [feature.rule for feature in planted.features]
    assert len(set(rules)) == len(rules)
    families: dict[str, list[set[int]]] = {}
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        families.setdefault(feature.family, []).append(set(activations.positions.tolist()))
    pairs = [
        m
        for name, m in families.items()
        if name.split()[0] in ("token_set", "preceded", "unless") and len(m) > 1
    ]
    assert len(pairs) >= 15
    assert all(first & second and first != second for first, second, *_ in pairs)


def test_both_splits_show_every_feature(planted, rng):
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        examples = gather_examples(
            feature.feature, activations, planted.corpus, Quantiles(), SamplingSettings(), rng
        )
        assert isinstance(examples, Examples)
        assert 40 <= len(examples.train) <= SamplingSettings().train
        assert len(examples.held_out) == 50


def test_half_of_the_documents_are_shown_and_their_hashes_differ(planted):
    assert 0.45 < planted.corpus.documents_in_train.mean() < 0.55
    assert len(set(planted.corpus.hashes.tolist())) == len(planted.corpus.names)
    assert planted.corpus.in_split(Split.HELD_OUT).mean() == 1 - planted.corpus.in_train.mean()


def test_sequences_lie_inside_documents_and_end_with_the_text(planted):
    corpus = planted.corpus
    assert corpus.offsets[0] == 0
    assert corpus.offsets[-1] == len(corpus)
    assert (np.diff(corpus.offsets) >= 1).all()
    assert np.diff(corpus.offsets).max() <= 256
    assert set(np.diff(corpus.documents).tolist()) == {0, 1}


def test_the_text_reads_like_sentences(planted):
    text = planted.corpus.vocabulary.text(planted.corpus.tokens[:20_000].tolist())
    assert re.search(r" The \w+ \w+ \w+ \w+ \w+ \w+ \w+ \w+ \w+\.", text)
    assert " def " in text


def test_planted_words_occur_nowhere_else():
    background = {
        string
        for template in TEMPLATES
        for piece in template.split(" ")
        for string in template_slot(piece)
    } | set(FILLER)
    assert not background & {f" {noun}" for noun in NOUNS}
    assert len(set(NOUNS)) == len(NOUNS)


@pytest.mark.parametrize("kind", [NUMBER, CAPITALISED, PUNCTUATION], ids=lambda kind: kind.name)
def test_lexical_classes_mean_the_same_to_the_planter_and_the_rule_language(planted, kind):
    for string in planted.corpus.vocabulary.strings:
        assert kind.holds(string) == CLASSES[kind.name](string), string


def test_the_same_generator_plants_the_same_and_another_does_not():
    first, second, other = (
        plant(np.random.default_rng(seed), tokens=20_000, features=30) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.corpus.tokens, second.corpus.tokens)
    assert first.features == second.features
    assert not np.array_equal(first.corpus.tokens, other.corpus.tokens)


@pytest.mark.parametrize("features", [1, 10, 47, 300])
def test_as_many_features_as_asked_for_are_planted(features):
    planted = plant(np.random.default_rng(0), tokens=20_000, features=features)
    assert len(planted.features) == len(planted.activations) == features


def test_more_features_than_the_text_can_hold_are_refused():
    with pytest.raises(ValueError, match="of the text; plant fewer features"):
        plant(np.random.default_rng(0), tokens=20_000, features=2000)


def test_the_judge_of_the_true_rule_is_right_and_of_another_wrong(planted, rng):
    strings = planted.corpus.vocabulary.strings
    by_kind = {feature.kind: feature.feature.index for feature in planted.features}
    index, other = by_kind["token_set"], by_kind["lexical"]
    features, activations = planted.features, planted.activations[index]
    examples = gather_examples(
        features[index].feature, activations, planted.corpus, Quantiles(), SamplingSettings(), rng
    )
    true, false = RuleJudge(features[index].rule, strings), RuleJudge(features[other].rule, strings)
    assert true.fires_in(examples.held_out).all()
    assert not true.fires_in(examples.inactive_held_out).any()
    assert false.fires_in(examples.held_out).mean() < 0.2


def test_the_judge_gives_the_strength_at_every_position_and_none_at_padding(planted):
    feature = next(feature for feature in planted.features if feature.kind == "graded_by_token")
    activations = planted.activations[feature.feature.index]
    starts = np.append(activations.positions[:20], planted.corpus.offsets[5] - 2)
    contexts = cut_contexts(planted.corpus, activations, starts, 9, np.zeros(len(starts), np.int64))
    strengths = RuleJudge(feature.rule, planted.corpus.vocabulary.strings).strengths(contexts)
    assert ((strengths > 0) == (contexts.activations > 0)).all()
    assert set(np.unique(strengths)) <= {0, 1, 2, 4}


def test_planting_takes_no_torch():
    code = "import sys, gloss.models.planted; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
