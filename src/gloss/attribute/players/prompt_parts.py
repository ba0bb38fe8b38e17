"""A prompt cut into players: words, sentences, lines or tokens.

And what is left of it when some of them are gone.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from gloss.errors import BadInput
from gloss.store.vocabulary import Vocabulary


class PromptUnit(StrEnum):
    """What is removed as a whole."""

    WORDS = "words"
    SENTENCES = "sentences"
    LINES = "lines"
    TOKENS = "tokens"


class Removal(StrEnum):
    """What takes the place of a player that is removed."""

    REMOVE = "remove"  # nothing: the rest moves up
    MASK = "mask"  # a filler
    # what was drawn for it once, as plausible in that place as the drawer makes it
    INFILL = "infill"
    FADE = "fade"  # nothing, in its place: a token's embedding is multiplied by 0


UNIT_PATTERNS = {
    PromptUnit.WORDS: r"\s*\S+",
    PromptUnit.SENTENCES: r"\s*\S.*?(?:[.!?]+(?=\s|$)|\n+|$)",
    PromptUnit.LINES: r"\n*[^\n]+",
}

Encode = Callable[[str], list[int]]


@runtime_checkable
class CutPrompt(Protocol):
    """Players of a text, and the tokens of what is left of it."""

    @property
    def players(self) -> tuple[str, ...]:
        """What each player says."""
        ...

    def remaining(self, kept: Bool[ndarray, " player"]) -> list[int]:
        """The tokens without the players that are not kept; may be empty."""
        ...


@dataclass(frozen=True)
class TextPieces:
    """Stretches of text as players; what lies between them always stays.

    The rest is put together and encoded anew.
    """

    text: str
    # where each player begins and ends, in characters; in order and apart
    spans: tuple[tuple[int, int], ...]
    encode: Encode
    instead: tuple[str, ...] = ()  # of each player; empty for nothing

    @staticmethod
    def of(
        text: str,
        unit: PromptUnit,
        encode: Encode,
        instead: Callable[[str], str] | None = None,
        within: tuple[int, int] | None = None,
    ) -> "TextPieces":
        """Cut at words, sentences or lines, `within` two characters or everywhere.

        Raises BadInput where there is nothing to cut.

        A player takes the space before it along. `instead` gives what stands in for a player that
        is removed.
        """
        found = unit_spans(text, unit, within)
        fillers = tuple(instead(text[slice(*span)]) for span in found) if instead else ()
        return TextPieces(text, found, encode, fillers)

    @property
    def players(self) -> tuple[str, ...]:
        """What each says, without the space around it."""
        return tuple(self.text[begin:end].strip() for begin, end in self.spans)

    def remaining(self, kept: Bool[ndarray, " player"]) -> list[int]:
        """The tokens of the text that is left."""
        return self.encode(remaining_text(self.text, self.spans, kept, self.instead))


def remaining_text(
    text: str,
    spans: Sequence[tuple[int, int]],
    kept: Bool[ndarray, " player"],
    instead: Sequence[str] = (),
) -> str:
    """The text with only those spans that are kept, or what stands in for the others.

    What lies between spans stays.
    """
    rest, at = "", 0
    for number, (begin, end) in enumerate(spans):
        rest += text[at:begin]
        if kept[number]:
            rest += text[begin:end]
        elif instead:
            rest += instead[number]
        at = end
    return rest + text[at:]


@dataclass(frozen=True)
class TokenRow:
    """Tokens as players, each alone.

    Nothing is encoded anew, so that positions mean the same with and without them.
    """

    tokens: tuple[int, ...]
    vocabulary: Vocabulary
    instead: tuple[int, ...] = ()  # of each player; empty for nothing

    @property
    def players(self) -> tuple[str, ...]:
        """What each says."""
        return tuple(self.vocabulary.strings[token] for token in self.tokens)

    def remaining(self, kept: Bool[ndarray, " player"]) -> list[int]:
        """The tokens that are left, or stand in."""
        if self.instead:
            return [
                token if keep else other
                for token, other, keep in zip(self.tokens, self.instead, kept, strict=True)
            ]
        return [token for token, keep in zip(self.tokens, kept, strict=True) if keep]


def unit_spans(
    text: str, unit: PromptUnit, within: tuple[int, int] | None = None
) -> tuple[tuple[int, int], ...]:
    """Where the words, sentences or lines of a text begin and end, in characters.

    Raises BadInput where there are none.
    """
    if unit is PromptUnit.TOKENS:
        raise BadInput(
            "tokens are known only to a model in this process; cut at words, sentences or lines"
        )
    begin, end = within or (0, len(text))
    found = [
        (m.start(), m.end())
        for m in re.compile(UNIT_PATTERNS[unit], re.DOTALL).finditer(text, begin, end)
        if m[0].strip()
    ]
    if not found:
        raise BadInput(f"there are no {unit} in {text[begin:end]!r}; give a prompt with some text")
    return tuple(found)


def random_word_filler(words: Sequence[str], rng: np.random.Generator) -> Callable[[str], str]:
    """For INFILL without a model: another word of this list, with the space that the removed one
    had before it.
    """
    if not words:
        raise BadInput(
            "there are no words to draw from; give the text that a removed word is replaced out of"
        )

    def draw(removed: str) -> str:
        space = removed[: len(removed) - len(removed.lstrip())]
        return space + " ".join(str(rng.choice(words)) for _ in removed.split())

    return draw


def constant_filler(filler: str) -> Callable[[str], str]:
    """For MASK: the same filler for every player, with the space that it had before it."""
    return lambda removed: removed[: len(removed) - len(removed.lstrip())] + filler
