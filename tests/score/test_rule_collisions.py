"""Collisions by executing rules: shares that are counted by hand, and planted families whose
parents' rules are known.
"""

from dataclasses import replace

import numpy as np
import pytest

from gloss.errors import BadInput
from gloss.records import Explanation
from gloss.score.collisions import RuleClaims, compare_by_rule, group_collisions
from score.families import FAMILIES, FEATURES, SIBLINGS, families, word


@pytest.fixture(scope="module")
def material():
    return families(np.random.default_rng(5))


def claims(material, index: int, *words: int) -> RuleClaims:
    """Feature `index`, explained by a rule that fires on these words."""
    named = ", ".join(f'" {word(each)}"' for each in words)
    rule = f"token in {{{named}}}"
    return RuleClaims.of(
        Explanation(FEATURES[index], rule, "test", rule),
        material[index].corpus,
        material[index].activations,
    )


def test_own_rules_tell_features_apart_and_a_parents_rule_does_not(material, rng):
    corpus = material[0].corpus
    own = compare_by_rule(claims(material, 0, 0), claims(material, 1, 1), corpus, rng)
    assert (own.told_apart.value, own.told_apart.low, own.collides) == (1, 1, False)
    shared = compare_by_rule(claims(material, 0, 0, 1), claims(material, 1, 0, 1), corpus, rng)
    assert (shared.told_apart.value, shared.collides) == (0.5, True)
    assert own.n == shared.n == sum(np.isin(corpus.tokens[~corpus.in_train], (0, 1)))


def test_one_good_rule_of_two_is_half_of_the_way_and_exchanged_rules_are_worse_than_guessing(
    material, rng
):
    corpus = material[0].corpus
    half = compare_by_rule(claims(material, 0, 0), claims(material, 1, 0, 1), corpus, rng)
    assert half.told_apart.value == 0.75
    exchanged = compare_by_rule(claims(material, 0, 1), claims(material, 1, 0), corpus, rng)
    assert (exchanged.told_apart.value, exchanged.collides) == (0, True)


def test_a_partly_right_rule_has_the_share_that_is_counted_with_an_interval_around_it(
    material, rng
):
    """Feature 0 fires at words 0 and 2; its rule names 0 alone, and 1, which is the other's."""
    corpus = material[0].corpus
    both = replace(claims(material, 0, 0, 1), fires=claims(material, 0, 0, 2).claimed)
    found = compare_by_rule(both, claims(material, 1, 1), corpus, rng)
    tokens = corpus.tokens[~corpus.in_train]
    share = np.mean(tokens[np.isin(tokens, (0, 2))] == 0)
    assert found.told_apart.value == pytest.approx(((0.5 + (share - 1) / 2) + 1) / 2)
    assert found.told_apart.low < found.told_apart.value < found.told_apart.high


def test_a_feature_inside_another_is_told_by_the_one_direction_that_there_is(material, rng):
    corpus = material[0].corpus
    wide = replace(claims(material, 0, 0, 1), fires=claims(material, 0, 0, 1).claimed)
    assert compare_by_rule(wide, claims(material, 1, 1), corpus, rng).told_apart.value == 1
    assert compare_by_rule(wide, claims(material, 1, 0, 1), corpus, rng).collides
    same = compare_by_rule(
        wide, replace(wide, explanation=replace(wide.explanation, feature=FEATURES[1])), corpus, rng
    )
    assert np.isnan(same.told_apart.value)
    assert not same.collides


def test_exactly_the_planted_groups_are_found(material, rng):
    """Two families bear their parent's rule, the others their own."""
    parents = {
        index: range(index // SIBLINGS * SIBLINGS, (index // SIBLINGS + 1) * SIBLINGS)
        for index in range(2 * SIBLINGS)
    }
    made = [
        claims(material, index, *parents.get(index, (index,)))
        for index in range(FAMILIES * SIBLINGS)
    ]
    pairs = [
        compare_by_rule(made[one], made[other], material[0].corpus, rng)
        for one in range(len(made))
        for other in range(one + 1, len(made))
    ]
    assert group_collisions(pairs) == [
        tuple(FEATURES[first : first + SIBLINGS]) for first in (0, SIBLINGS)
    ]


def test_a_rule_that_cannot_be_read_is_refused(material):
    with pytest.raises(BadInput):
        RuleClaims.of(
            Explanation(FEATURES[0], "?", "test", "no rule ("),
            material[0].corpus,
            material[0].activations,
        )
