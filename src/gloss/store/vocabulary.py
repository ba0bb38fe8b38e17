"""What each token of a tokenizer says, as bytes, so that text is put together exactly and without
the tokenizer.
"""

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8
from numpy import ndarray

CONTINUATION = bytes(range(0x80, 0xC0))  # bytes that go on with a character
CONTINUATIONS = frozenset(CONTINUATION[i : i + 1] for i in range(len(CONTINUATION)))


@dataclass(frozen=True)
class Vocabulary:
    """The bytes of every token, by id.

    A token that stands for no text (a special token) has its name instead.
    """

    pieces: tuple[bytes, ...]
    # of every token those that the subject takes for alike, most alike first; -1 for none
    alike: Int32[ndarray, "token alike"] | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """Each token read by itself; bytes that are part of a character stand as `\\xe4`.

        What rules match against.
        """
        return tuple(piece.decode("utf-8", errors="backslashreplace") for piece in self.pieces)

    @cached_property
    def whole(self) -> tuple[str | None, ...]:
        """Each token's text where it cuts no character, otherwise None. At the end, where padding
        looks it up, stands nothing.
        """
        return (*map(decode_whole, self.pieces), "")

    def text(self, ids: Iterable[int]) -> str:
        """The text that these tokens spell; padding spells nothing."""
        return b"".join(self.pieces[i] for i in ids if i >= 0).decode("utf-8", errors="replace")

    def texts(self, ids: Sequence[int], edges: tuple[bytes, bytes] | None = None) -> list[str]:
        """One string a position, which together are `text(ids)`: a character cut across tokens
        belongs to the last of them.

        `edges` are the bytes before and behind that complete the first and the last character of a
        window; of a character that they do not complete nothing is shown.
        """
        whole = [text for i in ids if (text := self.whole[i]) is not None]
        if len(whole) == len(ids):
            return whole
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        pieces = [self.pieces[i] if i >= 0 else b"" for i in ids]
        if edges is not None:
            last = max((place for place, piece in enumerate(pieces) if piece), default=-1)
            whole = edges[0] + b"".join(pieces) + edges[1]
            begin = 0 if edges[0] else len(whole) - len(whole.lstrip(CONTINUATION))
            for place, piece in enumerate(pieces):
                pieces[place], begin = piece[begin:], max(0, begin - len(piece))
            if last >= 0:
                first = next(place for place, piece in enumerate(pieces) if piece or place == last)
                pieces[first] = edges[0] + pieces[first]
                pieces[last] += edges[1]
        parts = [decoder.decode(piece) for piece in pieces]
        if parts and edges is None:
            parts[-1] += decoder.decode(b"", final=True)
        return parts

    @cached_property
    def heads(self) -> tuple[UInt8[ndarray, "token 3"], Int64[ndarray, " token"]]:
        """The first three bytes of every token, and how many of them there are."""
        return outer_bytes(self.pieces, last=False)

    @cached_property
    def tails(self) -> tuple[UInt8[ndarray, "token 3"], Int64[ndarray, " token"]]:
        """The last three bytes of every token, at the right, and how many of them there are."""
        return outer_bytes(self.pieces, last=True)

    @cached_property
    def begins_inside(self) -> Bool[ndarray, " token"]:
        """Whether each token begins inside a character."""
        return np.fromiter(
            (piece[:1] in CONTINUATIONS for piece in self.pieces), bool, len(self.pieces)
        )

    @cached_property
    def ends_inside(self) -> Bool[ndarray, " token"]:
        """Whether each token may end inside a character: its last three bytes are not whole
        characters by themselves.
        """
        return np.fromiter(
            (bool(piece) and piece[-1] >= 0x80 for piece in self.pieces), bool, len(self.pieces)
        )


def outer_bytes(
    pieces: Sequence[bytes], *, last: bool
) -> tuple[UInt8[ndarray, "token 3"], Int64[ndarray, " token"]]:
    """The first three bytes of each piece, from the left, or the last three, from the right; and
    how many there are.
    """
    outer = [piece[-3:] if last else piece[:3] for piece in pieces]
    filled = [each.rjust(3, b"\0") if last else each.ljust(3, b"\0") for each in outer]
    found = np.frombuffer(b"".join(filled), np.uint8).reshape(len(pieces), 3)
    return found, np.fromiter(map(len, outer), np.int64, len(outer))


def decode_whole(piece: bytes) -> str | None:
    """The text of some bytes; None where a character of it is cut, or none at all."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return None
