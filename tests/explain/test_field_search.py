"""A word field is found where it is what the feature reads, and only there; so are tokens that the
subject takes for alike.
"""

import numpy as np
import pytest

from gloss.explain.rule_search.alike import AlikeTokens
from gloss.explain.rule_search.search import RuleSearch
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules import Passage, Rule, execute
from gloss.rules.lexicon import recent_lexicon

SAYING = (" said", " asked", " told", " replied", " shouted", " whispered", " answered", " cried")
UNSEEN = (" explained", " announced")
FILLERS = tuple(f" {a}{b}{c}" for a in "bdfgk" for b in "aou" for c in "lmnrt")
STRINGS = (*SAYING, *UNSEEN, *FILLERS)


@pytest.fixture
def rule_of_firing(rng: np.random.Generator):
    """The rule that is found where the feature fires at these tokens, in text without UNSEEN and
    the last filler.
    """
    missing = [STRINGS.index(word) for word in (*UNSEEN, FILLERS[-1])]
    seen = np.setdiff1d(np.arange(len(STRINGS)), missing)
    ids = rng.choice(seen, 12_000).astype(np.int32)
    passage = Passage(ids, np.arange(0, len(ids) + 1, 30), STRINGS)

    def found(firing: tuple[str, ...], alike: AlikeTokens | None = None) -> Rule:
        activations = np.isin(ids, [STRINGS.index(word) for word in firing]).astype(np.float32)
        halves = np.repeat(rng.random(len(ids) // 30) < 0.5, 30)
        windows = TrainWindows(
            passage, activations > 0, activations, np.ones(len(ids)), halves, alike=alike
        )
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


def neighbours_in_a_row() -> AlikeTokens:
    """Each of the last twelve fillers is most like the others of them, nearest first."""
    table = np.full((len(STRINGS), 11), -1, np.int32)
    last = np.arange(len(STRINGS) - 12, len(STRINGS))
    for i in last:
        table[i] = sorted(set(last) - {i}, key=lambda other, i=i: abs(other - i))
    return AlikeTokens(recent_lexicon(STRINGS), table)


def test_tokens_that_the_subject_takes_for_alike_are_one_set_with_those_that_nobody_showed(
    rule_of_firing,
) -> None:
    alike, last = neighbours_in_a_row(), set(FILLERS[-12:])
    assert holds_at(rule_of_firing(FILLERS[-12:-1], alike)) == last
    assert holds_at(rule_of_firing(FILLERS[-12:-1])) == last - {FILLERS[-1]}


def test_tokens_that_are_not_alike_stay_a_set(rule_of_firing) -> None:
    firing = (*FILLERS[:3], *FILLERS[-4:-2])
    assert holds_at(rule_of_firing(firing, neighbours_in_a_row())) == set(firing)


def test_a_field_is_known_by_its_centre() -> None:
    alike = neighbours_in_a_row()
    field = alike.field(FILLERS[-6], 5)
    assert field[0] == FILLERS[-6]
    assert len(field) == 5
    assert alike.centre(field[::-1]) is not None
    assert alike.centre((*field[:-1], FILLERS[0])) is None
    assert AlikeTokens(recent_lexicon(STRINGS), alike.table[:, :0]).centre(field) is None
