"""Word fields: who belongs to them, and rules that name them."""

import numpy as np
import pytest

from gloss.rules import Passage, execute, parse_rule
from gloss.rules.word_fields import FIELDS


@pytest.mark.parametrize(
    ("name", "members", "others"),
    [
        ("saying", ("said", " Whispered", "asked"), ("sad", " saider", "")),
        ("past", (" walked", "went", "NEEDED"), (" hundred", "bed", "ed", "un-ed", "x_need")),
        ("progressive", (" running", "being"), ("king", " string", "ing", "sing")),
        ("adverb", (" slowly",), ("family", "ly")),
        ("exception", (" ValueError", "DeprecationWarning", "Exception"), ("Err", "errorful")),
        ("comparison", ("==", " <="), ("=", "=> ")),
        ("article", (" the", "A"), ("then",)),
    ],
)
def test_a_field_holds_its_members_and_no_others(
    name: str, members: tuple[str, ...], others: tuple[str, ...]
) -> None:
    assert [word for word in members if not FIELDS[name].holds(word)] == []
    assert [word for word in others if FIELDS[name].holds(word)] == []


@pytest.mark.parametrize("name", FIELDS)
def test_a_rule_names_a_field_and_says_it_in_words(name: str) -> None:
    for unit in ("token", "word"):
        rule = parse_rule(f"{unit} is {name} or after(1..2, {unit} is {name})")
        assert parse_rule(str(rule)) == rule
        assert FIELDS[name].one in rule.english()


def test_a_field_of_the_word_so_far_is_read_from_pieces() -> None:
    strings = (" whisp", "ered", " red")
    passage = Passage(np.array([0, 1, 2], np.int32), np.array([0, 3]), strings)
    assert execute(parse_rule("word is past"), passage).tolist() == [0, 1, 0]
    assert execute(parse_rule("token is past"), passage).tolist() == [0, 0, 0]
    assert execute(parse_rule("token is colour"), passage).tolist() == [0, 0, 1]
