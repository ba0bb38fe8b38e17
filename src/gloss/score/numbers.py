"""Numbers that a language model means: the expected value over its alternatives, and tokens as one line each."""

import math
from collections.abc import Sequence

import numpy as np

HIGHEST = 10


def expected(alternatives: Sequence[tuple[str, float]], highest: int) -> float:
    """The mean of the whole numbers 0 to `highest` among the alternatives, by their probabilities; not a number without any."""
    found = [(int(token), logprob) for token, logprob in alternatives if is_number(token, highest) and logprob > -math.inf]
    if not found:
        return math.nan
    values, logprobs = np.array(found, dtype=np.float64).T
    weights = np.exp(logprobs - logprobs.max())
    return float((values * weights).sum() / weights.sum())


def is_number(token: str, highest: int) -> bool:
    """Whether a token is one of the numbers, spaces around it left aside."""
    bare = token.strip()
    return bare.isascii() and bare.isdigit() and len(bare) <= len(str(highest)) and int(bare) <= highest


def visible(piece: str) -> str:
    """A token on one line, its line breaks and tabs written out."""
    return piece.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
