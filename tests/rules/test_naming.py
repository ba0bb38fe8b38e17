"""Names of sets of strings."""

import pytest

from gloss.rules.string_naming import name_strings


@pytest.mark.parametrize(
    ("strings", "words"),
    [
        (("over", " Over", " over"), "`over`"),
        ((" object", " objects", "the"), "`object(s)` or `the`"),
        (("ms", "m", "s"), "`ms`, `m` or `s`"),
        (("\n    ", "\n        ", "\n"), "a line break with or without 4 or 8 blanks"),
        ((" ", "    ", "x"), "1 or 4 blanks or `x`"),
        (("====", "========", "-"), "`====…` or `-`"),
        (("----",), "`----`"),
        (("``",), "`` `` ``"),
        (tuple(f"w{i}" for i in range(7)), "`w0`, `w1`, `w2`, `w3`, `w4`, `w5` or `w6`"),
        (tuple(f"w{i}" for i in range(18)), "`w0`, `w1`, `w2`, `w3`, `w4`, `w5` … and 12 more"),
    ],
)
def test_a_set_is_named_by_its_first_strings_each_once(
    strings: tuple[str, ...], words: str
) -> None:
    assert name_strings(strings) == words


@pytest.mark.parametrize(
    ("strings", "words"),
    [
        (tuple(f"{i}" for i in range(12)), "12 numbers such as `0`, `1`, `2`, `3`, `4`, `5`"),
        (
            (
                *(
                    f" {name}Error"
                    for name in (
                        "Value",
                        "Type",
                        "Key",
                        "Index",
                        "Name",
                        "OS",
                        "IO",
                        "EOF",
                        "Lookup",
                    )
                ),
                " raise",
            ),
            (
                "10 tokens, mostly exception names such as "
                "`ValueError`, `TypeError`, `KeyError`, `IndexError`, `NameError`, `OSError`"
            ),
        ),
        (
            tuple(
                f" over{end}"
                for end in ("flow", "ride", "load", "all", "lap", "see", "come", "night")
            ),
            (
                "8 words that begin with `over`, such as `overflow`, `override`, `overload`,"
                " `overall`, `overlap`, `oversee`"
            ),
        ),
        (
            tuple(
                f"{start}ation"
                for start in ("docu", "not", "rel", "st", "n", "form", "oper", "loc")
            ),
            (
                "8 words that end in `ation`, such as `docuation`, `notation`, `relation`,"
                " `station`, `nation`, `formation`"
            ),
        ),
    ],
)
def test_what_many_strings_share_is_named(strings: tuple[str, ...], words: str) -> None:
    assert name_strings(strings) == words


def test_few_strings_are_named_in_full_whatever_they_share() -> None:
    assert name_strings(("1", "2", "3")) == "`1`, `2` or `3`"


def test_long_strings_are_cut_sooner() -> None:
    assert name_strings(tuple(letter * 40 for letter in "klmnopqrs")).count("`") == 6


def test_a_piece_of_a_word_has_its_word_beside_it() -> None:
    words = {"ol": "protocol", " un": "under"}
    assert (
        name_strings(("ol", " un", "the"), words.get)
        == "`ol` (`protocol`), `un` (`under`) or `the`"
    )
