"""How tokens are marked inside a text that a language model reads, so that text which holds the
marks itself stays clear.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from json.encoder import encode_basestring

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from gloss.records import Contexts
from gloss.store.context_text import context_pieces
from gloss.store.identity_cache import once_for_each
from gloss.store.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class SpelledContext:
    """A context as people read it: one piece of text and one activation for each position.

    The pieces together are the text. A token that ends inside a character spells nothing by itself:
    its activation stands at the token that completes the character, so that every activation stands
    at text that can be marked.
    """

    pieces: tuple[str, ...]
    activations: Float32[ndarray, " position"]
    # whether a token is spelled there that fires or is inactive, and is not left out
    counted: Bool[ndarray, " position"]

    @property
    def text(self) -> str:
        """The whole context, unmarked."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands before and after each run of marked tokens."""

    open: str
    close: str

    def wrap(self, pieces: Sequence[str], marked: Bool[ndarray, " position"]) -> str:
        """The text with every maximal run of marked pieces between marks."""
        if pieces and all(pieces):
            words, mark = [*pieces], cycle((self.open, self.close))
            for edge in run_edges(marked):
                # at the end, one past the last piece
                place = min(edge, len(words) - 1)
                said = next(mark)
                words[place] = said + words[place] if edge < len(words) else words[place] + said
            return "".join(words)
        parts: list[str] = []
        inside = False
        for piece, wanted in zip(pieces, marked.tolist(), strict=True):
            if piece and wanted is not inside:
                parts.append(self.close if inside else self.open)
                inside = wanted
            parts.append(piece)
        return "".join([*parts, self.close]) if inside else "".join(parts)

    def parse(self, text: str) -> list[tuple[str, bool]]:
        """The stretches of a marked text, and whether each is marked.

        What `wrap` wrote, if the marks suit the text.
        """
        stretches: list[tuple[str, bool]] = []
        inside = False
        for part in re.split(f"({re.escape(self.open)}|{re.escape(self.close)})", text):
            if part in (self.open, self.close):
                inside = part == self.open
            elif part:
                stretches.append((part, inside))
        return stretches

    def suit(self, pieces: Sequence[str], marked: Bool[ndarray, " position"]) -> bool:
        """Whether a reader can tell these marks from the text itself."""
        text = "".join(pieces)
        if not any(sign in text for sign in {*self.open, *self.close}):
            return True
        if self.open in text or self.close in text:
            return False
        return self.parse(self.wrap(pieces, marked)) == marked_stretches(pieces, marked)


MARK_PAIRS = (Marks("<<", ">>"), Marks("⟦", "⟧"), Marks("⟪", "⟫"), Marks("⦅", "⦆"))


def suitable_marks(items: Sequence[tuple[Sequence[str], Bool[ndarray, " position"]]]) -> Marks:
    """The first pair of marks that all these texts can bear: `<<` and `>>`, unless a text holds
    something like them.
    """
    numbered = (Marks(f"⟦{number}:", f":{number}⟧") for number in count(1))
    for candidates in (MARK_PAIRS, numbered):
        for marks in candidates:
            if all(marks.suit(pieces, marked) for pieces, marked in items):
                return marks
    raise AssertionError("numbers do not end")


def run_edges(marked: Bool[ndarray, " position"]) -> list[int]:
    """Where runs of marks begin and end, in turn.

    >>> run_edges(np.array([True, False, False, True, True]))
    [0, 1, 3, 5]
    """
    inner = (1 + np.flatnonzero(marked[1:] != marked[:-1])).tolist()
    first, last = ([place] * bool(marked[row]) for place, row in ((0, 0), (len(marked), -1)))
    return [*first, *inner, *last]


def marked_stretches(
    pieces: Sequence[str], marked: Bool[ndarray, " position"]
) -> list[tuple[str, bool]]:
    """The text cut where marked and unmarked meet."""
    cut: list[tuple[str, bool]] = []
    for piece, wanted in zip(pieces, marked, strict=True):
        if piece and cut and cut[-1][1] == bool(wanted):
            cut[-1] = (cut[-1][0] + piece, bool(wanted))
        elif piece:
            cut.append((piece, bool(wanted)))
    return cut


def spell_context(
    pieces: Sequence[str],
    activations: Float32[ndarray, " position"],
    counted: Bool[ndarray, " position"],
) -> SpelledContext:
    """Put a context into text, with each activation at the piece that shows it."""
    if all(pieces):
        return SpelledContext(tuple(pieces), activations, counted)
    moved, counted = activations.copy(), counted.copy()
    for position in range(len(pieces) - 1):
        if not pieces[position] and counted[position]:
            counted[position], counted[position + 1] = False, True
        if not pieces[position] and moved[position]:
            moved[position + 1] = max(moved[position], moved[position + 1])
            moved[position] = 0
    return SpelledContext(tuple(pieces), moved, counted)


@once_for_each(32)  # of a feature, for each of its explanations and controls
def spell_contexts(contexts: Contexts, vocabulary: Vocabulary) -> tuple[SpelledContext, ...]:
    """Each context in text."""
    rows = zip(contexts.activations, contexts.counted, strict=True)
    return tuple(
        spell_context(context_pieces(contexts, number, vocabulary), *row)
        for number, row in enumerate(rows)
    )


def where_above(spelled: SpelledContext, threshold: float) -> Bool[ndarray, " position"]:
    """Where the activation exceeds this share of the context's maximum.

    Nowhere in an inactive context.
    """
    shown = spelled.activations * np.array([bool(piece) for piece in spelled.pieces], dtype=bool)
    return (shown > threshold * spelled.activations.max(initial=0.0)) & (shown > 0)


def json_string(text: str) -> str:
    """A text as a JSON string: on one line, whatever it holds, and read in one way only."""
    return encode_basestring(text)  # as `json.dumps` does, which makes an encoder for each


def numbered_lines(texts: Iterable[str]) -> list[str]:
    """One line for each text: its number from 1, and the text as a JSON string."""
    return [f"{number}: {json_string(text)}" for number, text in enumerate(texts, start=1)]
