"""Rules in plain words."""

import pytest
from hypothesis import given
from random_rules import drawn_rules, rule_of

from gloss.rules import parse


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            'token in {" ValueError", " TypeError"} and after(3, token in {"raise", " raise", "except"})',
            "`ValueError` or `TypeError` within 3 tokens after `raise` or `except`",
        ),
        ('token in {" The", " the", "the"}', "`the`"),
        ("token matches /.*Error/ and not in comment", "a token ending in `Error`, except in a comment"),
        (r"token matches /\s*_.*/ and token is spaced", "a token beginning with `_` with a blank in front"),
        ('word in {"ValueError"}', "the word `ValueError`"),
        ("token is number and position < 16", "a number among the first 16 tokens"),
        (
            'line begins with token in {"import"} and not token is newline',
            "any token on a line that begins with `import`, except a line break",
        ),
        ('token in {"\\n    "} or in string', "a line break and 4 blanks; or any token in a string"),
        (
            'in string and before(1, token in {"."}) and not token is number and after(2, token is upper) and token in {"a"}',
            "`a` within 2 tokens after capital letters, right before `.` and in a string, except a number",
        ),
        ("position = 0 or position < 4", "any token at the start of the text; or any token among the first 4 tokens"),
        (
            'not after(1, token is opening) and before(2..3, token in {")"})',
            "any token 2 to 3 tokens before `)`, except right after an opening bracket",
        ),
    ],
)
def test_english_says_what_the_rule_means(source: str, words: str) -> None:
    assert parse(source).english() == words


@given(drawn_rules)
def test_every_rule_can_be_told(drawn: list) -> None:
    assert rule_of(drawn).english()


def test_the_same_thing_is_said_once() -> None:
    assert parse('token in {"a"} -> 2 or token in {" a"}').english() == "`a`"
