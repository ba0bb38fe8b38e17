"""Rules in plain words."""

import pytest
from hypothesis import given
from random_rules import drawn_rules, rule_of

from gloss.rules import parse_rule


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            (
                'token in {" ValueError", " TypeError"} and after(3, token in {"raise", " raise",'
                ' "except"})'
            ),
            "`ValueError` or `TypeError` within 3 tokens after `raise` or `except`",
        ),
        ('token in {" The", " the", "the"}', "`the`"),
        (
            "token matches /.*Error/ and not in comment",
            "a token ending in `Error`, except in a comment",
        ),
        (
            r"token matches /\s*_.*/ and token is spaced",
            "a token beginning with `_` with a blank in front",
        ),
        ('word in {"ValueError"}', "the word `ValueError`"),
        ("token is number and position < 16", "a number among the first 16 tokens"),
        (
            'line begins with token in {"import"} and not token is newline',
            "any token without a line break on a line that begins with `import`",
        ),
        (
            'token is newline and not token in {"\\n", "\\n\\n"}',
            "any token with a line break, except a line break or 2 line breaks",
        ),
        ("token is newline and not in comment", "a line break, except in a comment"),
        (
            'token in {"\\n    "} or in string',
            "a line break and 4 blanks; or any token inside quotation marks",
        ),
        (
            (
                'in string and before(1, token in {"."}) and not token is number and after(2, token'
                ' is upper) and token in {"a"}'
            ),
            (
                "`a` that is no number within 2 tokens after a token in capital letters, right"
                " before `.` and inside quotation marks"
            ),
        ),
        (
            "token is closing and not token is opening",
            "a closing bracket without an opening bracket",
        ),
        (
            r"token matches /\s*ati.*/ and token matches /.*n\s*/",
            "a token beginning with `ati` and ending in `n`",
        ),
        (
            r"token matches /\s*\d{1,3}\s*/ and not token is spaced",
            "a number of up to 3 digits without a blank in front",
        ),
        (
            'token in {"of", "f"} and word in {"of", "lif"}',
            "`of` or `f` where the word so far is `of` or `lif`",
        ),
        (
            'word in {"of", "li"} and not token in {"of"}',
            "the words `of` or `li`, except where the token is `of`",
        ),
        (
            "position = 0 or position < 4",
            "any token at the start of the text; or any token among the first 4 tokens",
        ),
        (
            'not after(1, token is opening) and before(2..3, token in {")"})',
            "any token 2 to 3 tokens before `)`, except right after an opening bracket",
        ),
    ],
)
def test_english_says_what_the_rule_means(source: str, words: str) -> None:
    assert parse_rule(source).english() == words


@given(drawn_rules)
def test_every_rule_can_be_said(drawn: list) -> None:
    assert rule_of(drawn).english()


def test_the_same_thing_is_said_once() -> None:
    assert parse_rule('token in {"a"} -> 2 or token in {" a"}').english() == "`a`"
