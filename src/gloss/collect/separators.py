"""Cuts a long text into documents where a separator stands: an end-of-text token, blank lines, or
any string.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

AUTO, WHOLE = "auto", ""  # cut at end-of-text tokens that are written out; cut nowhere
BLANK_LINES = "\n\n"
# the last two alone on their line
END_OF_TEXT = re.compile(r"<\|(?:endoftext|end_of_text)\|>|(?<![^\n])(?:</s>|<eos>)(?=\r?\n)")
LINE_START = re.compile(r"\n(?=\S)")
HELD = 2**10  # characters at a piece's end that a separator may begin in
LONGEST = 2**17  # characters without the start of a line


def separator_pattern(split: str) -> re.Pattern[str] | None:
    """What [collect] split means; None cuts nowhere.

    A line break stands for that of Windows, too.
    """
    if split == WHOLE:
        return None
    if split == AUTO:
        return END_OF_TEXT
    if split == BLANK_LINES:
        return re.compile(r"\n(?:[ \t]*\r?\n)+")
    return re.compile(r"\r?\n".join(re.escape(part) for part in split.split("\n")))


def split_documents(
    pieces: Iterable[str], pattern: re.Pattern[str] | None
) -> Iterator[Iterator[str]]:
    """The texts between separators, each in pieces, without the blanks around separators.

    One of blanks alone is none. A text without a separator stays as it is.
    """
    if pattern is None:
        yield iter(pieces)
        return
    for _, group in groupby(number_pieces(pieces, pattern), key=itemgetter(0)):
        yield (piece for _, piece in group)


def number_pieces(pieces: Iterable[str], pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Each piece with the number of the text that it belongs to.

    What a separator may begin in waits for the next piece.
    """
    number, waiting, begun = 0, "", False  # begun: a part of the present text has been handed on
    for piece in pieces:
        *whole, rest = pattern.split(waiting + piece)
        for text in whole:
            kept = text.rstrip() if begun or not number else text.strip()
            if kept or begun:
                yield number, kept
            number, begun = number + bool(kept or begun or not number), False
        if end := ready_length(rest, max(HELD, len(pattern.pattern))):
            yield number, rest[:end] if begun or not number else rest[:end].lstrip()
            begun = True
        waiting = rest[end:]
    if number:
        waiting = waiting.rstrip() if begun else waiting.strip()
    if waiting or begun or not number:
        yield number, waiting


def ready_length(text: str, held: int) -> int:
    """How much of a text may be handed on: up to the last start of a line outside its end."""
    if len(text) <= held:
        return 0
    starts = [match.end() for match in LINE_START.finditer(text, 0, len(text) - held)]
    return starts[-1] if starts else len(text) - held if len(text) > LONGEST else 0
