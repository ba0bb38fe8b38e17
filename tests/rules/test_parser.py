"""Source text becomes a rule, or an error that shows the place."""

import pytest

from gloss.errors import BadInput
from gloss.rules import parse_rule
from gloss.rules.language import (
    After,
    Alternative,
    OneOf,
    Position,
    PositionComparison,
    PredicateUnit,
    Rule,
    RuleTerm,
    TokenState,
)


def test_and_binds_more_tightly_than_or() -> None:
    rule = parse_rule('token in {"a"} and not in comment or position < 3 -> 2.5')
    assert rule == Rule(
        (
            Alternative(
                (
                    RuleTerm(OneOf(PredicateUnit.TOKEN, ("a",))),
                    RuleTerm(TokenState.IN_COMMENT, negated=True),
                )
            ),
            Alternative((RuleTerm(Position(PositionComparison.LESS, 3)),), 2.5),
        )
    )


def test_one_number_is_a_span_from_the_next_token_on() -> None:
    predicate = OneOf(PredicateUnit.TOKEN, ("a",))
    assert parse_rule('after(3, token in {"a"})').alternatives[0].terms[0].condition == After(
        1, 3, predicate
    )
    assert parse_rule('after(3..3, token in {"a"})').alternatives[0].terms[0].condition == After(
        3, 3, predicate
    )


@pytest.mark.parametrize(
    ("source", "column", "expected"),
    [
        ("", 1, "expected `token`, `word`"),
        ('token in "a"', 10, r"expected `\{`"),
        ('token in {"a" "b"}', 15, r"expected `\}`"),
        ("token is loud", 10, "expected a class, one of letters"),
        ("token matches /(/", 15, "missing \\)"),
        ('after(0, token in {"a"})', 7, r"distances run from 1 up, got 1\.\.0"),
        ('token in {"a"} -> 0', 19, "a strength is positive and finite"),
        ("token in {'a'}", 11, "strings stand in double quotes"),
        ('token in {"a"} token in {"b"}', 16, "expected `and`, `or`, `->` or the end"),
        ("position < 1.5", 12, "expected a whole number"),
        ("in space", 4, "expected `comment`, `string` or `brackets`"),
        (r'token in {"\q"}', 11, "Invalid"),
    ],
)
def test_an_error_names_the_column_and_what_was_expected(
    source: str, column: int, expected: str
) -> None:
    with pytest.raises(BadInput, match=rf"rule, column {column}: .*{expected}"):
        parse_rule(source)
