"""The collision report lists the features whose explanations are interchangeable, and no others."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from gloss.records import Estimate
from gloss.score.collisions import (
    CollisionPair,
    ExplainedFeature,
    compare_by_judge,
    group_collisions,
)
from gloss.score.discrimination import Discrimination
from score.families import FEATURES, SIBLINGS, families, family_words, finished, own_words

METHOD = Discrimination(k=2, sets_per_question=10)


@pytest.fixture(scope="module")
def material():
    return families(np.random.default_rng(5))


def pairs_of(explanations, material, rng, wrong=0.0) -> list[CollisionPair]:
    explained = {e.feature: ExplainedFeature(e, material[e.feature.index]) for e in explanations}
    return [
        finished(compare_by_judge(one, other, METHOD, rng), rng, wrong)
        for one, other in combinations(explained.values(), 2)
        if other.explanation.feature in [near.feature for near in one.evidence.neighbours[:5]]
    ]


def reworded(index: int):
    """The parent's label in words that no sibling uses."""
    return family_words(index, f"phrase {index}: any of")


@pytest.mark.parametrize("wrong", [0.0, 0.1])
def test_exactly_the_planted_groups_are_listed(material, rng, wrong):
    """The features of two families bear their parent's label, in other words each.

    Those of the others their own.
    """
    explanations = [
        reworded(index) if index < 2 * SIBLINGS else own_words(index)
        for index in range(len(FEATURES))
    ]
    found = group_collisions(pairs_of(explanations, material, rng, wrong))
    assert found == [tuple(FEATURES[first : first + SIBLINGS]) for first in (0, SIBLINGS)]


def test_where_every_explanation_is_its_features_own_none_is_listed(material, rng):
    found = pairs_of([own_words(index) for index in range(len(FEATURES))], material, rng)
    assert group_collisions(found) == []
    assert all(pair.told_apart.value == 1 for pair in found)


def test_exchanged_explanations_are_told_apart_wrongly_and_collide(material, rng):
    swapped = {0: 1, 1: 0}
    explanations = [
        replace(own_words(swapped.get(index, index)), feature=FEATURES[index]) for index in range(4)
    ]
    pairs = pairs_of(explanations, material, rng)
    assert [
        (pair.first.index, pair.second.index)
        for pair in pairs
        if pair.collides and pair.told_apart.value == 0
    ] == [(0, 1)]


def test_equal_words_collide_without_a_question(material, rng):
    explanations = [
        family_words(0),
        replace(family_words(1), text=family_words(0).text.upper() + "."),
    ]
    explained = {e.feature: ExplainedFeature(e, material[e.feature.index]) for e in explanations}
    conversation = compare_by_judge(*explained.values(), METHOD, rng)
    with pytest.raises(StopIteration) as over:
        next(conversation)
    assert over.value.value.collides
    assert over.value.value.same_words


def test_groups_are_what_collisions_connect():
    a, b, c, d, e = FEATURES[:5]
    same, apart = Estimate(0.5, 0.3, 0.7), Estimate(1.0, 0.8, 1.0)
    pairs = [
        CollisionPair(a, b, same),
        CollisionPair(c, d, same),
        CollisionPair(b, c, apart),
        CollisionPair(d, e, same),
        CollisionPair(a, e, Estimate.missing()),
    ]
    assert group_collisions(pairs) == [(c, d, e), (a, b)]
