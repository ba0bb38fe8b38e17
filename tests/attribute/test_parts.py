"""Prompts cut into players, and what is left of them."""

import numpy as np
import pytest

from gloss.attribute.games.parts import Pieces, TokenRow, Unit, drawn_words, masked
from gloss.errors import BadInput
from gloss.store.vocabulary import Vocabulary


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def said(tokens: list[int]) -> str:
    return "".join(map(chr, tokens))


def left(pieces: Pieces, kept: list[bool]) -> str:
    return said(pieces.left(np.array(kept)))


def test_words_take_the_space_before_them_along():
    pieces = Pieces.of("the cat  sat\ndown", Unit.WORDS, letters)
    assert pieces.players == ("the", "cat", "sat", "down")
    assert left(pieces, [True] * 4) == "the cat  sat\ndown"
    assert left(pieces, [True, False, True, False]) == "the  sat"
    assert left(pieces, [False] * 4) == ""


def test_sentences_and_lines():
    text = "It rained. Nobody came!\nWhy? Who knows"
    assert Pieces.of(text, Unit.SENTENCES, letters).players == ("It rained.", "Nobody came!", "Why?", "Who knows")
    assert Pieces.of(text, Unit.LINES, letters).players == ("It rained. Nobody came!", "Why? Who knows")


def test_what_lies_outside_the_cut_always_stays():
    text = "Text: a b. Question: c"
    pieces = Pieces.of(text, Unit.WORDS, letters, within=(5, 10))
    assert pieces.players == ("a", "b.")
    assert left(pieces, [False, False]) == "Text: Question: c"


def test_a_filler_and_a_drawn_word_stand_in(rng):
    assert left(Pieces.of("a bb c", Unit.WORDS, letters, masked("_")), [True, False, True]) == "a _ c"
    drawn = Pieces.of("a bb c", Unit.WORDS, letters, drawn_words(["zz"], rng))
    assert left(drawn, [True, False, True]) == "a zz c"


def test_tokens_are_not_encoded_anew():
    vocabulary = Vocabulary((b"a", b"b", b"c"))
    assert TokenRow((0, 1, 2), vocabulary).players == ("a", "b", "c")
    assert TokenRow((0, 1, 2), vocabulary).left(np.array([True, False, True])) == [0, 2]
    assert TokenRow((0, 1, 2), vocabulary, (2, 2, 0)).left(np.array([True, False, False])) == [0, 2, 0]


def test_it_refuses_what_cannot_be_cut(rng):
    with pytest.raises(BadInput, match="no words"):
        Pieces.of("  ", Unit.WORDS, letters)
    with pytest.raises(BadInput, match="only to a model"):
        Pieces.of("a", Unit.TOKENS, letters)
    with pytest.raises(BadInput, match="no words to draw"):
        drawn_words([], rng)
