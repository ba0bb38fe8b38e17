"""What a token begins in - a comment, a string, brackets - by the lexical rules of Python."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt8
from numpy import ndarray

DEPTHS = 10  # brackets deeper than this count as this deep


class Mode(IntEnum):
    """What the reader is inside of."""

    CODE = 0
    COMMENT = 1
    SINGLE = 2  # '...'
    DOUBLE = 3  # "..."
    SINGLE_TRIPLE = 4
    DOUBLE_TRIPLE = 5
    WORD = 6  # code, right after a letter: there `'` is an apostrophe


PREFIXES = frozenset("bfruBFRU")  # letters that may stand before a string's quote
OPENED_BY = {
    "'": Mode.SINGLE,
    '"': Mode.DOUBLE,
    "'''": Mode.SINGLE_TRIPLE,
    '"""': Mode.DOUBLE_TRIPLE,
}
CLOSED_BY = {mode: quote for quote, mode in OPENED_BY.items()}
STATES = len(Mode) * DEPTHS


@dataclass(frozen=True)
class SyntaxStates:
    """What each token begins in."""

    comment: Bool[ndarray, " token"]
    string: Bool[ndarray, " token"]
    brackets: Bool[ndarray, " token"]


def syntax_states(
    ids: Integer[ndarray, " token"],
    offsets: Int64[ndarray, " sequence_and_end"],
    strings: tuple[str, ...],
    known: UInt8[ndarray, "state vocabulary"],
) -> SyntaxStates:
    """Read every sequence from its left edge; a sequence is taken to begin in code.

    All sequences are read side by side, a token of each at a time. `known` remembers one more than
    the state after a state and a token, and 0 for what was never asked: pass the same table for the
    same strings.
    """
    lengths = np.diff(offsets)
    longest_first = np.argsort(-lengths, kind="stable")
    starts = offsets[:-1][longest_first]
    # how many sequences have a token after each that was read
    going_on = np.searchsorted(np.sort(lengths), np.arange(1, lengths.max(initial=1)), side="right")
    states, after, size = np.zeros(len(ids), np.int64), known.reshape(-1), len(strings)
    for read, over in enumerate(going_on.tolist()):
        at = starts[: len(starts) - over] + read
        places = states.take(at) * size + ids.take(at)
        following = after.take(places)
        if not following.all():
            for place in np.unique(places[following == 0]).tolist():
                state, token = divmod(place, size)
                after[place] = advance_state(state, strings[token]) + 1
            following = after.take(places)
        states[at + 1] = following - np.uint8(1)
    mode, depth = np.divmod(np.arange(STATES), DEPTHS)
    string = (mode >= Mode.SINGLE) & (mode <= Mode.DOUBLE_TRIPLE)
    held = (each.take(states) for each in (mode == Mode.COMMENT, string, depth > 0))
    return SyntaxStates(*held)


def advance_state(state: int, text: str) -> int:
    """The state after the text, `mode * DEPTHS + depth`, from the state before it."""
    mode, depth = Mode(state // DEPTHS), state % DEPTHS
    place = 0
    while place < len(text):
        letter, step = text[place], 1
        if mode in (Mode.CODE, Mode.WORD):
            depth = min(max(depth + (letter in "([{") - (letter in ")]}"), 0), DEPTHS - 1)
            mode, step = enter_mode(mode, text, place)
        elif mode is Mode.COMMENT:
            mode = Mode.CODE if letter == "\n" else mode
        elif letter == "\\":
            step = 2
        elif text.startswith(CLOSED_BY[mode], place):
            mode, step = Mode.CODE, len(CLOSED_BY[mode])
        elif letter == "\n" and mode in (Mode.SINGLE, Mode.DOUBLE):
            mode = Mode.CODE
        place += step
    return mode * DEPTHS + depth


def enter_mode(mode: Mode, text: str, place: int) -> tuple[Mode, int]:
    """What begins at this place of code, and how many characters that takes."""
    letter = text[place]
    if letter.isalnum() or letter == "_":
        return (mode if letter in PREFIXES else Mode.WORD), 1
    if mode is Mode.WORD and letter == "'" and not text.startswith("'''", place):
        return Mode.CODE, 1
    if letter == "#":
        return Mode.COMMENT, 1
    if letter not in ("'", '"'):
        return Mode.CODE, 1
    if text.startswith(letter * 3, place):
        return OPENED_BY[letter * 3], 3
    return (Mode.CODE, 2) if text.startswith(letter * 2, place) else (OPENED_BY[letter], 1)
