"""A word field is found where it is what the feature reads, and only there."""

import numpy as np
import pytest

from gloss.explain.rule_search.search import RuleSearch
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules import Passage, Rule, execute

SAYING = (" said", " asked", " told", " replied", " shouted", " whispered", " answered", " cried")
UNSEEN = (" explained", " announced")
FILLERS = tuple(f" {a}{b}{c}" for a in "bdfgk" for b in "aou" for c in "lmnrt")
STRINGS = (*SAYING, *UNSEEN, *FILLERS)


@pytest.fixture
def rule_of_firing(rng: np.random.Generator):
    """The rule that is found where the feature fires at these tokens, in text without UNSEEN."""
    seen = np.setdiff1d(np.arange(len(STRINGS)), [STRINGS.index(word) for word in UNSEEN])
    ids = rng.choice(seen, 12_000).astype(np.int32)
    passage = Passage(ids, np.arange(0, len(ids) + 1, 30), STRINGS)

    def found(firing: tuple[str, ...]) -> Rule:
        activations = np.isin(ids, [STRINGS.index(word) for word in firing]).astype(np.float32)
        halves = np.repeat(rng.random(len(ids) // 30) < 0.5, 30)
        windows = TrainWindows(passage, activations > 0, activations, np.ones(len(ids)), halves)
        rule = RuleSearch().find(windows)
        assert rule is not None
        return rule

    return found


def holds_at(rule: Rule) -> set[str]:
    passage = Passage(np.arange(len(STRINGS), dtype=np.int32), np.array([0, len(STRINGS)]), STRINGS)
    return {STRINGS[i] for i in np.flatnonzero(execute(rule, passage))}


def test_a_feature_of_a_field_gets_its_name_and_holds_for_words_that_nobody_showed(
    rule_of_firing,
) -> None:
    rule = rule_of_firing(SAYING)
    assert rule.english() == "a verb of saying"
    assert holds_at(rule) == {*SAYING, *UNSEEN}


def test_half_of_a_field_stays_a_set(rule_of_firing) -> None:
    rule = rule_of_firing(SAYING[:4])
    assert holds_at(rule) == set(SAYING[:4])
    assert rule.english().endswith("(verbs of saying)")


def test_words_that_no_field_holds_stay_a_set(rule_of_firing) -> None:
    assert holds_at(rule_of_firing(FILLERS[:3])) == set(FILLERS[:3])
