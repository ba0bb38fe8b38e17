r"""Regular expressions without backtracking: RE2 runs them.

No pattern takes long on any text. They are written as for Python's `re`: `\s`, `\d` and `\w` know
all of Unicode, and `.` is any character, line breaks included.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool
from numpy import ndarray

LONGEST = 1000  # characters of a pattern
# what `str.isspace` says
BLANK = r"\t-\r\x1c-\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
NO_BLANK = (
    r"\x00-\x08\x0e-\x1b\x21-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff}"
)
# brackets
INSIDE = {"s": BLANK, "S": NO_BLANK, "d": r"\p{Nd}", "D": r"\P{Nd}", "w": r"\p{L}\p{N}_"}
OUTSIDE = {name: f"[{spelled}]" for name, spelled in INSIDE.items()} | {
    "W": r"[^\p{L}\p{N}_]",
    "Z": r"\z",
}
ESCAPED = str.maketrans({letter: rf"\{letter}" for letter in r"\.^$*+?{}[]|()"})
UNKNOWN = "CQEpP"  # escapes of RE2 that are none of `re`
# a surrogate: a character of which the other half is missing
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
PIECES = re.compile(
    r"\\u(?P<code>[0-9a-fA-F]{4})|\\(?P<escape>.)|\{,(?P<most>\d+)\}|(?P<plain>.)", re.DOTALL
)


@lru_cache(maxsize=4096)
def check_pattern(pattern: str) -> None:
    """Raise ValueError, with one sentence, for what is no pattern that can be run."""
    if len(pattern) > LONGEST:
        raise ValueError(
            f"the regular expression has {len(pattern):,} characters; at most {LONGEST:,} are read"
        )
    if HALF_CHARACTER.search(pattern):
        raise ValueError(
            "the regular expression holds half of a character; write the whole character"
        )
    spelled = re2_pattern(pattern)
    for wanted in (spelled, full_match_pattern(spelled)):
        try:
            search_strings(wanted, [""])
        except pa.ArrowInvalid as problem:
            reason = str(problem).removeprefix("Invalid regular expression: ")[:120]
            raise ValueError(
                f"the regular expression cannot be run ({reason}); look-around and back references"
                " are not known"
            ) from None


def match_strings(pattern: str, strings: Sequence[str]) -> Bool[ndarray, " string"]:
    """Which of the strings the pattern matches as a whole.

    Linear in their length, whatever the pattern.
    """
    return search_strings(full_match_pattern(re2_pattern(pattern)), strings)


def search_strings(spelled: str, strings: Sequence[str]) -> Bool[ndarray, " string"]:
    """Which of the strings hold what RE2 is to look for.

    Raises pyarrow.ArrowInvalid for what it cannot read.
    """
    options = pc.MatchSubstringOptions(spelled)
    given = pa.array(strings, pa.large_string())
    found = pc.call_function("match_substring_regex", [given], options)
    # a bit a string; Arrow's own way to NumPy imports pandas where it is installed
    bits = np.frombuffer(found.buffers()[1] or b"", np.uint8)
    return np.unpackbits(bits, count=len(strings), bitorder="little").astype(bool)


def full_match_pattern(spelled: str) -> str:
    """The same for RE2, from the first character to the last."""
    return rf"(?s)\A(?:{spelled})\z"


def re2_pattern(pattern: str) -> str:
    """The pattern as RE2 spells it.

    Raises ValueError for escapes that mean something else there.
    """
    spelled: list[str] = []
    opened = -1  # where the brackets began that we are in; -1 outside
    for piece in PIECES.finditer(pattern):
        letter = piece["plain"] or ""
        if piece["code"]:
            spelled.append(rf"\x{{{piece['code']}}}")
        elif piece["most"] and opened < 0:
            spelled.append(f"{{0,{piece['most']}}}")
        elif name := piece["escape"]:
            if name in UNKNOWN or (name == "W" and opened >= 0):
                raise ValueError(
                    rf"the regular expression holds \{name}{' inside brackets' * (name == 'W')},"
                    r" which is not known"
                )
            spelled.append((INSIDE if opened >= 0 else OUTSIDE).get(name, piece[0]))
        else:
            spelled.append(piece[0])
            if opened < 0 and letter == "[":
                opened = piece.end()
            elif letter == "]" and opened >= 0 and pattern[opened : piece.start()] not in ("", "^"):
                opened = -1
    return "".join(spelled)


def literal_pattern(text: str) -> str:
    """The pattern that matches just this text."""
    return text.translate(ESCAPED)
