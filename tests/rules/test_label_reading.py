"""Labels in plain words, in the wordings that people and models publish, read as rules."""

import numpy as np
import pytest

from gloss.rules import parse_rule
from gloss.rules.reading import is_told_at_word_end, read_label

READ = {
    "the word 'raise'": 'word in {"raise", "Raise", "RAISE"}',
    "instances of the word “knowing.” in the text": 'word in {"knowing", "Knowing", "KNOWING"}',
    'mentions of the name "Fisher" with varying levels of intensity': 'word in {"Fisher"}',
    "instances where the word `then` is used": 'word in {"then", "Then", "THEN"}',
    "the word the or a": 'word in {"the", "The", "THE", "a", "A"}',
    'instances of the years "1009", "1687", and "1514"': 'word in {"1009", "1687", "1514"}',
    'the token "=="': 'word in {"=="}',
    "`ing` endings": "word matches /.*ing/",
    "Words ending in -ing.": "word matches /.*ing/",
    "tokens ending in ed": r"token matches /.*ed\s*/",
    "words that start with 'u'": "word matches /(?i)u.*/",
    "words ending in 'ize' or 'ise'": "word matches /.*(?:ize|ise)/",
    "words containing the substring 'app'": "word matches /.*app.*/",
    "digits": r"word matches /\d+/",
    "punctuation": "token is punctuation",
    "punctuation marks, specifically commas": "token matches /.*,.*/",
    "commas, periods, and question marks": (
        r"token matches /.*,.*/ or token matches /.*\..*/ or token matches /.*\?.*/"
    ),
    'the character "<"': "token matches /.*<.*/",
    "capitalized words": "word is capitalised",
    "mentions of specific days of the week": "word is weekday",
    'months such as "March" and "April"': "word is month",
    "pronouns and possessive pronouns": "word is pronoun or word is possessive",
    "words following the word 'of'": 'after(1, word in {"of", "Of", "OF"})',
}
LOOSELY = {
    "numbers": r"word matches /\d+/",
    "words related to colors and nothing else": "word is colour",
    "verbs of giving, taking and having": "word is giving",
    "references to the name 'Benjamin'": 'word in {"Benjamin"}',
    "the abbreviation 'ml' followed by a number": (
        r'word in {"ml", "Ml", "ML"} and before(2, word matches /\d+/)'
    ),
}
UNREAD = (
    "things that remind of autumn",
    "the word 'raise' and its variations",
    "the word 'raise' in programs",
    'the phrase "in order to"',
    'the word "don\'t"',
    "the letter 'a'",
    "the character '<' if it occurs in HTML",
    "names containing the sequence 'ih'",
    "instances where a word is followed by 'to'",
    "past tense verbs ending in ed",
    "words ending in vowels",
    "names of people",
    "terms related to comparison",
    "the word",
    "the specific name 'Sol' with different suffixes",
    "'unbalanced",
    "",
)


@pytest.mark.parametrize(("text", "rule"), [*READ.items(), *LOOSELY.items()])
def test_wordings_that_labels_have_are_read_as_a_whole(text, rule):
    found = read_label(text)
    assert found is not None
    assert str(found.rule) == rule
    assert found.rule == parse_rule(rule)
    assert found.complete == (text in READ)


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_not_understood_to_its_last_word_is_not_read(text):
    assert read_label(text) is None


def test_any_text_is_read_or_not_and_never_an_error():
    rng = np.random.default_rng(0)
    pieces = [*"\"'`“”,.\x02() ", *" ".join([*READ, *UNREAD]).split()]
    for _ in range(2000):
        found = read_label(" ".join(rng.choice(pieces, rng.integers(1, 9)).tolist()))
        assert found is None or parse_rule(str(found.rule)) == found.rule


def test_spelling_is_told_at_the_end_of_a_word_and_what_is_named_anywhere():
    assert is_told_at_word_end(read_label("words ending in ing or months").rule)
    assert not is_told_at_word_end(read_label("the word 'raise'").rule)
    assert not is_told_at_word_end(read_label("commas").rule)
