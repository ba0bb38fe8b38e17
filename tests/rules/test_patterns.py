"""Regular expressions in rules: as Python's, and never slow."""

import re
import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gloss.errors import BadInput
from gloss.rules import parse_rule
from gloss.rules.language import Matches, PredicateUnit
from gloss.rules.lexicon import Lexicon
from gloss.rules.patterns import LONGEST, check_pattern, literal_pattern, match_strings

LETTERS = [chr(code) for code in range(0x3100) if code not in range(0xD800, 0xE000)]
PATTERNS = (
    r"\s",
    r"\S",
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"[\s]",
    r"[\S]",
    r"[^\s]",
    r"[\d_]",
    r"[^\w]",
    r"[]\s]",
    r"[^]\d]",
    r"[\]\s]",
    ".",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_classes_are_those_of_python(pattern: str) -> None:
    expected = [re.fullmatch(pattern, letter, re.DOTALL) is not None for letter in LETTERS]
    assert match_strings(pattern, LETTERS).tolist() == expected


@pytest.mark.parametrize(
    "pattern",
    [
        r"a{,2}b",
        r"\u0061+",
        "a|ab",
        "(a|b)*",
        "a$",
        "^a.*",
        r"[a\-b]{2}",
        "(?i:A)b",
        r"a\Z",
        r"\.",
        "[^a]b?",
        "",
        r"[\u0061]",
        "[a{,1}]",
        "a*?b",
    ],
)
def test_whole_strings_match_as_in_python(pattern: str) -> None:
    strings = ["".join(letters) for size in range(5) for letters in product("ab{-\n", repeat=size)]
    expected = [re.fullmatch(pattern, string, re.DOTALL) is not None for string in strings]
    assert match_strings(pattern, strings).tolist() == expected


@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=5))
def test_a_text_as_a_pattern_matches_itself_alone(text: str, others: list[str]) -> None:
    found = match_strings(literal_pattern(text), [text, *others])
    assert found.tolist() == [string == text for string in [text, *others]]


@pytest.mark.parametrize(
    "pattern",
    [
        "(-+)+x",
        "(-|--)*y",
        "(-*)*(-*)*(-*)*x",
        ".*-.*-.*-.*-.*x",
        "((-{0,30}){0,30})x",
        "(?:-?){900}x",
    ],
)
def test_no_pattern_backtracks(pattern: str) -> None:
    lexicon = Lexicon(tuple("-" * number for number in range(1000)))
    begun = time.process_time()
    assert not lexicon.truths(Matches(PredicateUnit.TOKEN, pattern)).any()
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"token matches /{'(' * 5000}{')' * 5000}/", f"at most {LONGEST:,}"),
        ("token matches /[/", "missing ]"),
        ("token matches /a(?=b)/", "look-around"),
        (r"token matches /(a)\1/", "back references"),
        (r"token matches /[\W]/", r"\W inside brackets"),
        (r"token matches /\p{L}/", r"\p"),
        ("token matches /\ud800/", "half of a character"),
        ('token in {"\\ud800"}', "half of one"),
        (f"after({'1' * 5000}, token is upper)", "at most 9 digits"),
        (f"position < {'9' * 5000}", "at most 9 digits"),
        (f"token is upper -> {'9' * 5000}", "finite"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(source: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)) as refused:
        parse_rule(source)
    assert len(str(refused.value)) < 400


def test_numbers_up_to_nine_digits_run() -> None:
    rule = parse_rule(
        "after(999999999, token is upper) or before(999999990..999999999, token is upper) or"
        " position > 999999999"
    )
    assert parse_rule(str(rule)) == rule


PARTS = r"(token|word|after|not|in|matches|is|/|\{|\}|\"|\(|\)|,|1|->| |x){1,20}"


@given(st.text(max_size=60) | st.from_regex(PARTS, fullmatch=True))
def test_any_text_is_a_rule_or_refused(source: str) -> None:
    for text in (source, f"token matches /{source}/"):
        try:
            rule = parse_rule(text)
        except BadInput:
            continue
        assert parse_rule(str(rule)) == rule


def test_an_empty_vocabulary_matches_nothing() -> None:
    assert match_strings("a", []).dtype == np.bool_
    check_pattern("a")
