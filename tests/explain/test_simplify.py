"""Rules are made shorter where that costs almost nothing, and left alone where it costs more."""

import numpy as np
import pytest

from gloss.explain.rule_search.simplify import merge_token_terms, simplify_alternatives
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules import Passage, execute, parse_rule

STRINGS = ("a", "b", "c", " a", "1", "x", "(")
INDEX = {string: i for i, string in enumerate(STRINGS)}


def train_windows(text: str, firing: str) -> TrainWindows:
    """One sequence with a token a letter.

    A firing token has activation 1 beneath it, or the digit that stands there.
    """
    ids = np.array([INDEX[letter] for letter in text], np.int32)
    activations = np.array([0 if letter == "." else int(letter) for letter in firing], np.float32)
    passage = Passage(ids, np.array([0, len(ids)]), STRINGS)
    return TrainWindows(
        passage, activations > 0, activations, np.ones(len(ids)), np.arange(len(ids)) % 2 == 1
    )


def simple(source: str, seen: TrainWindows) -> list[str]:
    found = simplify_alternatives(
        [alternative.terms for alternative in parse_rule(source).alternatives], seen
    )
    return [" and ".join(map(str, terms)) for terms in found]


@pytest.mark.parametrize(
    ("source", "shorter"),
    [
        ('token in {"a", "b", "1"} and token is letters', 'token in {"a", "b"}'),
        ('not token matches /b/ and token in {"a", "b"}', 'token in {"a"}'),
        (
            'token in {"a", " a"} and token is spaced and not in string',
            'token in {" a"} and not in string',
        ),
        ('token in {"a"} and word in {"a"}', 'token in {"a"} and word in {"a"}'),
        ("token is letters and token is spaced", "token is letters and token is spaced"),
    ],
)
def test_all_that_is_said_of_the_token_becomes_one_set(source: str, shorter: str) -> None:
    terms = parse_rule(source).alternatives[0].terms
    assert " and ".join(map(str, merge_token_terms(terms))) == shorter


def test_a_term_that_rules_out_nothing_goes() -> None:
    assert simple('token in {"a"} and not position < 1', train_windows("xa" * 20, ".1" * 20)) == [
        'token in {"a"}'
    ]


def test_a_term_that_rules_out_much_stays() -> None:
    text, firing = "xacaxb" * 10, ".1...." * 10
    assert simple('token in {"a"} and after(1, token in {"x"})', train_windows(text, firing)) == [
        'token in {"a"} and after(1, token in {"x"})'
    ]


def test_an_alternative_that_finds_nothing_new_goes() -> None:
    assert simple(
        'token in {"a"} or token in {"a"} and not in string', train_windows("xa" * 20, ".1" * 20)
    ) == ['token in {"a"}']


def test_strings_that_matter_most_come_first_and_those_that_hardly_matter_go() -> None:
    text, firing = "ax" * 30 + "bx" * 300 + "cx", "3." * 30 + "2." * 300 + "1."
    assert simple('token in {"a", "c", "b"}', train_windows(text, firing)) == [
        'token in {"b", "a"}'
    ]


def test_alternatives_that_differ_in_one_set_become_one() -> None:
    text, firing = "xa(b" * 30, ".1.1" * 30
    source = 'after(1, token in {"x"}) or after(1, token in {"("})'
    assert simple(source, train_windows(text, firing)) == ['after(1, token in {"x", "("})']


def test_a_class_takes_the_place_of_a_set_that_it_holds_where_nothing_speaks_against_it() -> None:
    source = 'token in {"a", "b", "c"}'
    alike, other = "a(b(c(" * 20, "a(b(c(x(" * 20
    assert simple(source, train_windows(alike, "1." * 60)) == ["token is letters"]
    assert simple(source, train_windows(other, "1.1.1..." * 20)) == [source]


def test_a_pattern_that_few_strings_meet_becomes_these_and_one_that_many_meet_stays() -> None:
    source = r"token matches /\s*a.*/"
    assert simple(source, train_windows("ax" * 20, "1." * 20)) == ['token in {"a"}']
    assert simple("token matches /.+/", train_windows("abc1x(" * 10, "1" * 60)) == [
        "token matches /.+/"
    ]


def test_strings_near_by_are_put_in_order_too() -> None:
    text, firing = "1ax" * 10 + "cax" * 40 + "xxx" * 40, ".1." * 50 + "..." * 40
    assert simple(
        'after(2, token in {"1", "(", "c"}) and token in {"a"}', train_windows(text, firing)
    ) == ['token in {"a"}']
    text, firing = "1x" * 10 + "cx" * 40 + "xx" * 40, ".1" * 50 + ".." * 40
    assert simple('after(1, token in {"1", "(", "c"})', train_windows(text, firing)) == [
        'after(1, token in {"c", "1"})'
    ]


def test_exceptions_are_shortened_by_what_they_rule_out() -> None:
    text, firing = "ax" * 50 + "a1" * 10 + "a(" * 30, "1." * 50 + ".." * 40
    assert simple(
        'token in {"a"} and not before(1, token in {"c", "1", "("})', train_windows(text, firing)
    ) == ['token in {"a"} and not before(1, token in {"(", "1"})']


def test_a_word_is_a_string_as_well() -> None:
    seen = train_windows("(xac" * 10 + "(xab" * 30 + "(b" * 9, "...1" * 40 + ".." * 9)
    assert simple('word in {"xac", "a", "xab"}', seen) == ['word in {"xab", "xac"}']


def test_a_simplified_rule_keeps_its_score(rng: np.random.Generator) -> None:
    text = "".join(rng.choice(list("abcx1("), 4000).tolist())
    firing = "".join(
        "1" if letter in "ab" and before in "x1" else "."
        for before, letter in zip(" " + text, text, strict=False)
    )
    seen = train_windows(text, firing)
    source = (
        'token in {"a"} and after(1, token in {"1", "x"}) or token in {"b"} and after(1, token in'
        ' {"x", "1"}) and not in string'
    )
    rule = parse_rule(" or ".join(simple(source, seen)))
    held = execute(rule, seen.passage) > 0
    f1 = 2 * np.count_nonzero(held & seen.fires) / (held.sum() + seen.fires.sum())
    assert f1 >= 0.95
