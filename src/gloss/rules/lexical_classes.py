"""What a token looks like by itself: lexical classes, and the core of a word."""

import re
from collections.abc import Callable

from gloss.rules.word_fields import FIELDS

OPENING, CLOSING, QUOTES = frozenset("([{"), frozenset(")]}"), frozenset("'\"`")
WORD = re.compile(r"\w(?:.*\w)?", re.DOTALL)  # `\w` is what is_word_character is


def is_capitalised(text: str) -> bool:
    core = text.strip()
    return len(core) > 1 and core[0].isupper() and core[1].islower() and core.isalpha()


def is_punctuation(text: str) -> bool:
    return bool(text.strip()) and not any(letter.isalnum() or letter == "_" for letter in text)


# how a token is spelled, by the name in the language; blanks around the letters do not count,
# except where blanks are what is meant
SPELLINGS: dict[str, Callable[[str], bool]] = {
    "letters": lambda text: text.strip().isalpha(),
    "lower": lambda text: text.strip().isalpha() and text.strip().islower(),
    "upper": lambda text: text.strip().isalpha() and text.strip().isupper(),
    "capitalised": is_capitalised,
    "number": lambda text: text.strip().isdecimal(),
    "punctuation": is_punctuation,
    "opening": lambda text: not OPENING.isdisjoint(text),
    "closing": lambda text: not CLOSING.isdisjoint(text),
    "quote": lambda text: not QUOTES.isdisjoint(text),
    "blank": lambda text: bool(text) and text.isspace() and "\n" not in text,
    "newline": lambda text: "\n" in text,
    "spaced": lambda text: len(text) > 1 and text[0] == " " and not text[1].isspace(),
    "unspaced": lambda text: bool(text) and (text[0].isalnum() or text[0] == "_"),
    "underscored": lambda text: "_" in text,
}
# each class by its name in the language
CLASSES = SPELLINGS | {name: field.holds for name, field in FIELDS.items()}


def belonging(text: str) -> list[bool]:
    """Whether the text belongs to each of the classes, in their order."""
    core = text.strip().casefold()
    return [
        *(holds(text) for holds in SPELLINGS.values()),
        *(field.holds_core(core) for field in FIELDS.values()),
    ]


def is_word_character(letter: str) -> bool:
    """Whether the character can be inside a word: a letter, a digit or an underscore."""
    return letter.isalnum() or letter == "_"


def word_core(text: str) -> str:
    """The text without what surrounds its word characters.

    Without blanks where it has none; itself if all is blank.
    """
    inside = WORD.search(text)
    return inside[0] if inside else text.strip() or text
