"""What each token of a tokenizer says, as bytes, so that text is put together exactly and without the tokenizer."""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Vocabulary:
    """The bytes of every token, by id; a token that stands for no text (a special token) has its name instead."""

    pieces: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """Each token read by itself; bytes that are part of a character stand as `\\xe4`. What rules match against."""
        return tuple(piece.decode("utf-8", errors="backslashreplace") for piece in self.pieces)

    def text(self, ids: Iterable[int]) -> str:
        """The text that these tokens spell; padding spells nothing."""
        return b"".join(self.pieces[i] for i in ids if i >= 0).decode("utf-8", errors="replace")

    def texts(self, ids: Iterable[int]) -> list[str]:
        """One string a position, which together are `text(ids)`: a character cut across tokens belongs to the last of them."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        parts = [decoder.decode(self.pieces[i]) if i >= 0 else "" for i in ids]
        if parts:
            parts[-1] += decoder.decode(b"", final=True)
        return parts
