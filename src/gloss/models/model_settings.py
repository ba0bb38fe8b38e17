"""What settings may say of a model, checked without loading anything: device, type of number, and
which tokens count.
"""

import math
import re
from collections.abc import Mapping, Sequence

from gloss.errors import BadSettings

AUTO = "auto"
DEVICES = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d{1,3})?")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # words of transformers'
RESTING = ("cpu", "disk")  # where weights may lie beside cards
DTYPES = ("float32", "bfloat16", "float16", "float64")
# in which a dictionary's encoder can be multiplied; the first is the default
ENCODER_DTYPES = ("float32", "bfloat16", "float16")
SPECIAL, NOTHING = "special", "none"  # words for the tokens to leave out
MASSIVE_MULTIPLE = 10.0  # of the median length, beyond which a vector is massive
LeaveOut = str | tuple[str | int, ...]


def check_device_and_dtype(device: str, dtype: str) -> None:
    """Raises ValueError for a name that no machine knows."""
    if not DEVICES.fullmatch(device):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:1, mps or xpu, got {device!r}")
    if dtype not in (AUTO, *DTYPES):
        raise ValueError(
            f"dtype must be auto, {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, got {dtype!r}"
        )


def check_device_map(given: object) -> None:
    """Raise BadSettings for what is neither a word of transformers' nor a place for each part."""
    if isinstance(given, Mapping):
        wrong = [each for each in given.values() if not (type(each) is int or each in RESTING)]
        if wrong or not given:
            raise BadSettings(
                f"device_map gives {wrong[0]!r} as a place"
                if wrong
                else 'device_map is empty; give each part the number of a card, "cpu" or "disk"'
            )
    elif given not in ("", *DEVICE_MAPS):
        raise BadSettings(
            f"device_map is {given!r}; give {', '.join(DEVICE_MAPS)}, or a table with a place for"
            " each part of the model"
        )


def require_leave_out(leave_out: object) -> None:
    """Raise BadSettings where `leave_out` is neither of the two words nor a list of tokens, by text
    or number.
    """
    listed = isinstance(leave_out, tuple) and all(type(each) in (str, int) for each in leave_out)
    if leave_out not in (SPECIAL, NOTHING) and not listed:
        raise BadSettings(
            f'leave_out is {leave_out!r}; give "{SPECIAL}", "{NOTHING}", or a list of tokens, each'
            " by its text or its number"
        )


def leave_out_from_words(given: Sequence[str] | None) -> LeaveOut:
    """`leave_out` from a command line: one of the two words, or tokens, where digits alone are a
    number.
    """
    words = tuple(given or (SPECIAL,))
    if words in ((SPECIAL,), (NOTHING,)):
        return words[0]
    return tuple(int(word) if word.isdecimal() else word for word in words)


def require_massive_multiple(massive: float) -> None:
    """Raise BadSettings for what is no multiple of the median length."""
    if not (massive == 0 or 1 < massive < math.inf):
        raise BadSettings(
            f"massive is {massive}; give a multiple of the median length above 1, or 0 to leave no"
            " token out for it"
        )
