"""Prompts cut into players, and what is left of them."""

import numpy as np
import pytest

from gloss.attribute.players.prompt_parts import (
    PromptUnit,
    TextPieces,
    TokenRow,
    constant_filler,
    random_word_filler,
)
from gloss.errors import BadInput
from gloss.store.vocabulary import Vocabulary


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def said(tokens: list[int]) -> str:
    return "".join(map(chr, tokens))


def remaining(pieces: TextPieces, kept: list[bool]) -> str:
    return said(pieces.remaining(np.array(kept)))


def test_words_take_the_space_before_them_along():
    pieces = TextPieces.of("the cat  sat\ndown", PromptUnit.WORDS, letters)
    assert pieces.players == ("the", "cat", "sat", "down")
    assert remaining(pieces, [True] * 4) == "the cat  sat\ndown"
    assert remaining(pieces, [True, False, True, False]) == "the  sat"
    assert remaining(pieces, [False] * 4) == ""


def test_sentences_and_lines():
    text = "It rained. Nobody came!\nWhy? Who knows"
    assert TextPieces.of(text, PromptUnit.SENTENCES, letters).players == (
        "It rained.",
        "Nobody came!",
        "Why?",
        "Who knows",
    )
    assert TextPieces.of(text, PromptUnit.LINES, letters).players == (
        "It rained. Nobody came!",
        "Why? Who knows",
    )


def test_what_lies_outside_the_cut_always_stays():
    text = "Text: a b. Question: c"
    pieces = TextPieces.of(text, PromptUnit.WORDS, letters, within=(5, 10))
    assert pieces.players == ("a", "b.")
    assert remaining(pieces, [False, False]) == "Text: Question: c"


def test_a_filler_and_a_drawn_word_stand_in(rng):
    assert (
        remaining(
            TextPieces.of("a bb c", PromptUnit.WORDS, letters, constant_filler("_")),
            [True, False, True],
        )
        == "a _ c"
    )
    drawn = TextPieces.of("a bb c", PromptUnit.WORDS, letters, random_word_filler(["zz"], rng))
    assert remaining(drawn, [True, False, True]) == "a zz c"


def test_tokens_are_not_encoded_anew():
    vocabulary = Vocabulary((b"a", b"b", b"c"))
    assert TokenRow((0, 1, 2), vocabulary).players == ("a", "b", "c")
    assert TokenRow((0, 1, 2), vocabulary).remaining(np.array([True, False, True])) == [0, 2]
    assert TokenRow((0, 1, 2), vocabulary, (2, 2, 0)).remaining(np.array([True, False, False])) == [
        0,
        2,
        0,
    ]


def test_it_refuses_what_cannot_be_cut(rng):
    with pytest.raises(BadInput, match="no words"):
        TextPieces.of("  ", PromptUnit.WORDS, letters)
    with pytest.raises(BadInput, match="only to a model"):
        TextPieces.of("a", PromptUnit.TOKENS, letters)
    with pytest.raises(BadInput, match="no words to draw"):
        random_word_filler([], rng)
