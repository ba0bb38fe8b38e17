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
        ("token matches /.*Error/ and not in comment", "a token ending in `Error` not in a comment"),
        (r"token matches /\s*_.*/ and token is spaced", "a token beginning with `_`, that is a token with a blank in front"),
        ('word in {"ValueError"}', "the end of the word `ValueError`"),
        ("token is number and position < 16", "a number among the first 16 tokens"),
        (
            'line begins with token in {"import"} and not token is newline',
            "anything but a line break on a line that begins with `import`",
        ),
        ('token in {"\\n    "} or in string', "a line break and 4 blanks; or any token in a string"),
        (
            'not after(1, token is opening) and before(2..3, token in {")"})',
            "any token not right after an opening bracket and 2 to 3 tokens before `)`",
        ),
    ],
)
def test_english_says_what_the_rule_means(source: str, words: str) -> None:
    assert parse(source).english() == words


def test_a_long_list_is_cut() -> None:
    source = "token in {" + ", ".join(f'"w{i}"' for i in range(18)) + "}"
    assert parse(source).english() == "`w0`, `w1`, `w2`, `w3`, `w4`, `w5` … and 12 more"


@given(drawn_rules)
def test_every_rule_can_be_told(drawn: list) -> None:
    assert rule_of(drawn).english()
