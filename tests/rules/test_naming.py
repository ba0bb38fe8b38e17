"""Names of sets of strings."""

from collections.abc import Sequence

import pytest

from gloss.rules.string_naming import PieceOfWord, SeenWords, name_strings


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
        (tuple(f"w{i}" for i in range(6)), "`w0`, `w1`, `w2`, `w3`, `w4` or `w5`"),
        (
            tuple(f"w{i}" for i in range(17)),
            "one of 17 tokens, such as `w0`, `w1`, `w2`, `w3` or `w4`",
        ),
        ((" or", "and", " but"), "`or`, `and` or `but` (conjunctions)"),
        ((" or", "and", " table"), "`or`, `and` or `table`"),
        ((" or", "and"), "`or` or `and`"),
    ],
)
def test_a_set_is_named_by_its_first_strings_each_once(
    strings: tuple[str, ...], words: str
) -> None:
    assert name_strings(strings) == words


@pytest.mark.parametrize(
    ("strings", "words"),
    [
        (
            tuple(f"{i}" for i in range(12)),
            "numbers such as `0`, `1`, `2`, `3`, `4` and 7 more like these",
        ),
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
                "mostly names of exceptions such as `ValueError`, `TypeError`, `KeyError`,"
                " `IndexError`, `NameError` and 5 more like these"
            ),
        ),
        (
            tuple(
                f" over{end}"
                for end in ("flow", "ride", "load", "all", "lap", "see", "come", "night")
            ),
            (
                "words that begin with `over`, such as `overflow`, `override`, `overload`,"
                " `overall`, `overlap` and 3 more like these"
            ),
        ),
        (
            tuple(
                f"{start}ation"
                for start in ("docu", "not", "rel", "st", "n", "form", "oper", "loc")
            ),
            (
                "words that end in `ation`, such as `docuation`, `notation`, `relation`,"
                " `station`, `nation` and 3 more like these"
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


class Pieces(SeenWords):
    """Knows the word of some tokens."""

    def __init__(self, **words: PieceOfWord) -> None:
        self.words = words

    def around(self, strings: Sequence[str]) -> PieceOfWord | None:
        return self.words.get(strings[0].strip())


def test_whole_words_come_first_and_a_piece_has_a_word_beside_it() -> None:
    seen = Pieces(ol=PieceOfWord("protocol", False), un=PieceOfWord("under", False))
    named = name_strings(("ol", " un", "the", "a"), seen)
    assert named == "`the`, `a`, `ol` (`protocol`) or `un` (`under`)"


def test_a_piece_of_one_word_alone_is_told_as_that_word() -> None:
    seen = Pieces(ol=PieceOfWord("protocol", True), prot=PieceOfWord("protocol", True))
    assert name_strings(("ol", "the", "prot"), seen) == "`protocol` or `the`"
