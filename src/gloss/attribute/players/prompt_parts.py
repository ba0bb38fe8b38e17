"""A prompt cut into players: words, sentences, lines or tokens.

And what is left of it when some of them are gone.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from gloss.errors import BadInput

STAYS = -1  # whose a token is that is no player's


class PromptUnit(StrEnum):
    """What is removed as a whole."""

    WORDS = "words"
    SENTENCES = "sentences"
    LINES = "lines"
    TOKENS = "tokens"
    POSITIONS = "positions"  # of many prompts of one form


class Removal(StrEnum):
    """What takes the place of a player that is removed."""

    REMOVE = "remove"  # nothing: the rest moves up
    MASK = "mask"  # a filler
    # what was drawn for it once, as plausible in that place as the drawer makes it
    INFILL = "infill"
    RESAMPLE = "resample"  # what stands in its place in other prompts, as the mean over them
    FADE = "fade"  # nothing, in its place: a token's embedding is multiplied by 0
    PATCH = "patch"  # what stands at its position in the prompt's corrupted twin


UNIT_PATTERNS = {
    PromptUnit.WORDS: r"\s*\S+",
    PromptUnit.SENTENCES: r"\s*\S.*?(?:[.!?]+(?=\s|$)|\n+|$)",
    PromptUnit.LINES: r"\n*[^\n]+",
}

Span = tuple[int, int]
"""Where something begins and ends in a text, in characters."""


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
class TokenGroups:
    """A prompt's own tokens, each of which belongs to a player or always stays.

    Nothing is encoded anew: the tokens of what is kept are some of the whole prompt's, in order.
    """

    players: tuple[str, ...]  # what each says, without the space around it
    tokens: tuple[int, ...]
    owners: tuple[int, ...]  # the player of each token, or STAYS
    instead: tuple[tuple[int, ...], ...] = ()  # the tokens in each player's place; empty for none
    spans: tuple[Span, ...] = ()  # of each player, where players are stretches of the text

    @staticmethod
    def of_tokens(tokens: Sequence[int], strings: Sequence[str]) -> "TokenGroups":
        """Each token a player. Raises BadInput where there are none."""
        if not tokens:
            raise BadInput("there are no tokens in the prompt; give one with some text")
        names = tuple(strings[token] for token in tokens)
        return TokenGroups(names, tuple(tokens), tuple(range(len(tokens))))

    @staticmethod
    def of_text(
        text: str,
        unit: PromptUnit,
        encoded: Sequence[tuple[int, Span]],
        strings: Sequence[str],
        within: Span | None = None,
    ) -> "TokenGroups":
        """Cut at words, sentences or lines, `within` two characters or everywhere.

        A player takes the space before it along, as far as that is in tokens of its own or of its
        word. Players whose border falls inside a token are one player. `encoded` are the text's
        tokens with their spans, and `strings` what each token of the vocabulary says. Raises
        BadInput where there is nothing to cut.
        """
        spans = unit_spans(text, unit, within)
        characters = spans_by_character(text, spans)
        touched = [players_touched(text, span, characters) for _, span in encoded]
        inside = {border for one in touched if one for border in range(one[0], one[-1])}
        joined, number = list[Span](), list[int]()
        for player, (begin, end) in enumerate(spans):
            if player - 1 in inside:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((begin, end))
            number.append(len(joined) - 1)
        return TokenGroups(
            tuple(text[begin:end].strip() for begin, end in joined),
            tuple(token for token, _ in encoded),
            tuple(
                STAYS if not one or put_in_front(text, strings[token], span) else number[one[0]]
                for (token, span), one in zip(encoded, touched, strict=True)
            ),
            spans=tuple(joined),
        )

    def tokens_of(self, player: int) -> tuple[int, ...]:
        """Those of one player; none where there is no such player."""
        return tuple(
            t for t, owner in zip(self.tokens, self.owners, strict=True) if owner == player
        )

    def filled_from(self, other: "TokenGroups") -> "TokenGroups":
        """The same, where a removed player gives its place to the one in the same place of another
        prompt; to nothing where that is shorter.
        """
        return replace(self, instead=tuple(map(other.tokens_of, range(len(self.players)))))

    def remaining(self, kept: Bool[ndarray, " player"]) -> list[int]:
        """The tokens that are left, or stand in."""
        found: list[int] = []
        filled: set[int] = set()
        for token, owner in zip(self.tokens, self.owners, strict=True):
            if owner == STAYS or kept[owner]:
                found.append(token)
            elif self.instead and owner not in filled:
                filled.add(owner)
                found += self.instead[owner]
        return found


def spans_by_character(text: str, spans: Sequence[Span]) -> Int64[ndarray, " character"]:
    """The number of the span that each character lies in, or STAYS."""
    found = np.full(len(text), STAYS)
    for number, (begin, end) in enumerate(spans):
        found[begin:end] = number
    return found


def players_touched(text: str, token: Span, players: Int64[ndarray, " character"]) -> list[int]:
    """Those of whose characters a token holds some; space counts where it holds nothing else."""
    begin, end = token
    places = [place for place in range(begin, end) if not text[place].isspace()]
    return sorted({*players[places or list(range(begin, end))[:1]].tolist()} - {STAYS})


def put_in_front(text: str, says: str, token: Span) -> bool:
    """Whether a token is space that the tokenizer put in front of the text, which says more there.

    Such a token stands in front of whatever is left.
    """
    return not says.strip() and bool(text[slice(*token)].strip())


def remaining_text(text: str, spans: Sequence[Span], kept: Bool[ndarray, " player"]) -> str:
    """The text with only those spans that are kept. What lies between spans stays."""
    rest, at = "", 0
    for number, (begin, end) in enumerate(spans):
        rest += text[at:begin] + (text[begin:end] if kept[number] else "")
        at = end
    return rest + text[at:]


def unit_spans(text: str, unit: PromptUnit, within: Span | None = None) -> tuple[Span, ...]:
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


def spaced_answer(prompt: str, answer: str) -> str:
    """The answer as it stands behind the prompt: with a space where neither has one."""
    apart = not prompt or prompt[-1].isspace() or not answer or answer[0].isspace()
    return answer if apart else f" {answer}"
