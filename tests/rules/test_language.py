"""Rules as records, and their source text."""

import pytest
from hypothesis import given
from random_rules import drawn_rules, rule_of

from gloss.rules import parse_rule
from gloss.rules.language import Matches, OneOf, PredicateUnit


@given(drawn_rules)
def test_every_rule_is_read_back_from_its_source(drawn: list) -> None:
    rule = rule_of(drawn)
    assert parse_rule(str(rule)) == rule


def test_a_strength_of_one_is_not_printed() -> None:
    assert str(parse_rule('token in { "a" }  ->  1')) == 'token in {"a"}'


def test_a_slash_in_a_pattern_is_escaped() -> None:
    assert str(Matches(PredicateUnit.TOKEN, "a/b")) == r"token matches /a\/b/"


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="wants at least one string"):
        OneOf(PredicateUnit.WORD, ())
