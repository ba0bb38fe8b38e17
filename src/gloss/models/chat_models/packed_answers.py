"""Answers in few bytes, as the ledger keeps them: what was said, compressed, and behind it the
log-probabilities, three bytes each where that is all they have.
"""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from typing import Any, cast

import numpy as np

from gloss.models.chat_models.prompts import Answer, PromptToken, TokenLogprob

# Part of the format: what answers to gloss' questions often hold, the commonest last.
COMMON = (
    '"activations": {"explanation": "texts": [ "pairs": [["", "\\n'
    + "[interpretation]: the token `a word that is words in of and when such as after before names "
    + 'YesNo{"answers": [0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0]}'
    + ", ".join(f'"{number}": 1' for number in range(60, 25, -1))
    + "".join(f', "{number}": 0' for number in range(26, 51))
    + '["{\\"1\\": 1, \\"2\\": 1, \\"3\\": 1'
    + "".join(f', \\"{number}\\": 0' for number in range(1, 26))
    + '}",null]}",[[["0",["1"]],["1",["0"]],[" 0",[" 1"]],[" 1",[" 0"]]],"01110100010110",'
    + "[6,8,8,8,8,8,8,8,8,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9]],null]"
).encode()
NOTHING = float("nan")  # of a token of which nobody knows


def in_24_bits(values: Sequence[float]) -> list[float]:
    """Each number as near as 24 bits come: a sign, an exponent as in 32 bits, and 15 bits behind
    the point, which is one part in 60,000.

    >>> in_24_bits([-0.1, -12.34567])
    [-0.10000038146972656, -12.345703125]
    """
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x80) & 0xFFFFFF00).astype(np.uint32).view(np.float32).tolist()


@dataclass(frozen=True, slots=True)
class UnpackedAnswer:
    """What `pack_answer` packed of an answer."""

    text: str | None
    logprobs: tuple[TokenLogprob, ...] | None
    prompt_logprobs: tuple[PromptToken, ...] | None


def pack_answer(answer: Answer) -> bytes:
    """The text and the log-probabilities of an answer. `unpack_answer` reads it."""
    generated, own = answer.logprobs, answer.prompt_logprobs
    numbers: list[float] = []
    for token in (*(generated or ()), *(own or ())):
        numbers.append(NOTHING if token.logprob is None else token.logprob)
        numbers += [value for _, value in token.alternatives]
    said = [
        answer.text,
        None if generated is None else fold_tokens(generated),
        None if own is None else [[o.start, o.end, o.token, token_names(o)] for o in own],
    ]
    text = json.dumps(said, separators=(",", ":")).encode()
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=COMMON)
    return squeezer.compress(text) + squeezer.flush() + pack_numbers(numbers)


def unpack_answer(packed: bytes) -> UnpackedAnswer:
    """The text and the log-probabilities out of the bytes that `pack_answer` made."""
    reader = zlib.decompressobj(-15, zdict=COMMON)
    text, folded, own = json.loads(reader.decompress(packed))
    generated = None if folded is None else unfold_tokens(*folded)
    names = [others for _, others, _ in generated or ()] + [others for *_, others in own or ()]
    numbers = iter(unpack_numbers(reader.unused_data, sum(1 + len(each) for each in names)))

    def valued(others: list[str]) -> tuple[float, tuple[tuple[str, float], ...]]:
        return next(numbers), tuple(zip(others, islice(numbers, len(others)), strict=True))

    return UnpackedAnswer(
        text,
        None
        if generated is None
        else tuple(TokenLogprob(token, *valued(others), at) for token, others, at in generated),
        None
        if own is None
        else tuple(prompt_token(a, b, token, *valued(others)) for a, b, token, others in own),
    )


def token_names(token: TokenLogprob | PromptToken) -> list[str]:
    """The alternatives of a token."""
    return [name for name, _ in token.alternatives]


def prompt_token(
    start: int, end: int, token: str, logprob: float, others: tuple[tuple[str, float], ...]
) -> PromptToken:
    """A token of the prompt, whose log-probability may be nothing."""
    return PromptToken(start, end, token, None if math.isnan(logprob) else logprob, others)


def fold_tokens(tokens: Sequence[TokenLogprob]) -> list[Any]:
    """Generated tokens: each kind of token once, the kinds in their order, and how far apart the
    tokens stand where that is known.
    """
    kinds: dict[tuple[str, ...], int] = {}
    order = [kinds.setdefault((token.token, *token_names(token)), len(kinds)) for token in tokens]
    starts = [token.start for token in tokens]
    apart = (
        None if None in starts else [b - a for a, b in pairwise(cast("list[int]", [0, *starts]))]
    )
    listed = "".join(map(str, order)) if len(kinds) <= 10 else order
    return [[[token, others] for token, *others in kinds], listed, apart]


def unfold_tokens(
    kinds: list[list[Any]], order: str | list[int], apart: list[int] | None
) -> list[tuple[str, list[str], int | None]]:
    """Each token, its alternatives, and where it stands."""
    starts = [None] * len(order) if apart is None else accumulate(apart)
    found = zip(map(int, order), starts, strict=True)
    return [(kinds[kind][0], kinds[kind][1], start) for kind, start in found]


def pack_numbers(numbers: Sequence[float]) -> bytes:
    """Three bytes a number where none has more, or else eight."""
    whole, short = np.array(numbers, "<f8"), np.array(in_24_bits(numbers), "<f4")
    if not np.array_equal(whole, short, equal_nan=True):
        return whole.tobytes()
    return short.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()


def unpack_numbers(packed: bytes, count: int) -> list[float]:
    """So many numbers out of what `pack_numbers` made of them."""
    if len(packed) == 8 * count:
        return np.frombuffer(packed, "<f8").tolist()
    short = np.zeros((count, 4), np.uint8)
    short[:, 1:] = np.frombuffer(packed, np.uint8).reshape(count, 3)
    return short.view("<f4")[:, 0].tolist()
