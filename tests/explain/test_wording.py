"""A found rule in words, with what was seen."""

import numpy as np

from gloss.explain.rule_search.rule_wording import rule_sentence
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules import Passage, parse_rule

STRINGS = (" prot", "oc", "ol", " the", " ", "_", "ol_", ".")


def worded_after(source: str, *sequences: list[str], at: str = "ol") -> str:
    ids = np.array(
        [STRINGS.index(string) for sequence in sequences for string in sequence], np.int32
    )
    passage = Passage(ids, np.cumsum([0, *map(len, sequences)]), STRINGS)
    activations = (ids == STRINGS.index(at)).astype(np.float32)
    seen = TrainWindows(
        passage, activations > 0, activations, np.ones(len(ids)), np.zeros(len(ids), bool)
    )
    return rule_sentence(parse_rule(source), seen)


def test_a_piece_is_told_with_the_word_that_it_is_most_often_a_piece_of() -> None:
    texts = [[" the", " prot", "oc", "ol", " the"]] * 2 + [[" the", " prot", "ol", " the"]]
    assert worded_after('token in {"ol"}', *texts) == "`ol` (`protocol`)"


def test_a_piece_of_one_word_alone_is_told_as_that_word() -> None:
    texts = [[" the", " prot", "oc", "ol", " the"]] * 4 + [[" the", " prot", "ol", " the"]]
    assert worded_after('token in {"ol"}', *texts) == "`protocol`"


def test_a_pattern_and_a_field_are_told_with_words_that_were_seen() -> None:
    text = [" the", " prot", "oc", "ol", "."]
    assert worded_after("token matches /.*l/", text) == "a token ending in `l` (`protocol`)"
    assert (
        worded_after("token is article", [".", " the", " prot"], at=" the") == "an article (`the`)"
    )


def test_a_whole_word_is_told_alone() -> None:
    texts = [[" ", "ol", " the"]] * 3 + [[" the", " prot", "ol", " the"]]
    assert worded_after('token in {"ol"}', *texts) == "`ol`"


def test_a_word_ends_at_underscores() -> None:
    assert (
        worded_after('token in {"ol"}', [" the", " prot", "_", "oc", "ol", "_", " prot", "."])
        == "`ocol`"
    )


def test_a_word_that_the_context_cuts_is_not_told() -> None:
    assert worded_after('token in {"ol"}', [" prot", "ol", "."], [".", " prot", "ol"]) == "`ol`"


def test_a_token_near_by_has_its_word_too() -> None:
    prot = [" the", " prot", "oc", "ol", "."]
    texts = prot, [" the", " prot", "oc", ".", " the"], [" ", "ol", "oc", "ol", " the"]
    assert (
        worded_after('after(1, token in {"oc"})', *texts)
        == "any token right after `oc` (`protocol`)"
    )
