"""Which tokens count: the settings by which activations at some of them are left out, checked without loading anything."""

import math
from collections.abc import Sequence

from gloss.errors import BadSettings

SPECIAL, NOTHING = "special", "none"
MULTIPLE = 10.0  # of the median length, beyond which a vector is massive
Asked = str | tuple[str | int, ...]


def require_known(leave_out: object) -> None:
    """Raise BadSettings where `leave_out` is neither of the two words nor a list of tokens, by text or number."""
    listed = isinstance(leave_out, tuple) and all(type(each) in (str, int) for each in leave_out)
    if leave_out not in (SPECIAL, NOTHING) and not listed:
        raise BadSettings(
            f'leave_out is {leave_out!r}; give "{SPECIAL}", "{NOTHING}", or a list of tokens, each by its text or its number'
        )


def of_words(given: Sequence[str] | None) -> Asked:
    """`leave_out` from a command line: one of the two words, or tokens, where digits alone are a number."""
    words = tuple(given or (SPECIAL,))
    if words in ((SPECIAL,), (NOTHING,)):
        return words[0]
    return tuple(int(word) if word.isdecimal() else word for word in words)


def require_multiple(massive: float) -> None:
    """Raise BadSettings for what is no multiple of the median length."""
    if not (massive == 0 or 1 < massive < math.inf):
        raise BadSettings(
            f"massive is {massive}; give a multiple of the median length above 1, or 0 to leave no token out for it"
        )
