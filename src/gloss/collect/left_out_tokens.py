"""Which tokens are read and left out: special ones by default, or those that somebody lists."""

import re

from gloss.errors import BadSettings
from gloss.models.model_settings import SPECIAL, LeaveOut, require_leave_out
from gloss.models.subject import Subject


def find_left_out_tokens(subject: Subject, asked: LeaveOut) -> frozenset[int]:
    """The tokens at which no activation is kept.

    Raises BadSettings for what is none of the subject's tokens.
    """
    require_leave_out(asked)
    if isinstance(asked, str):
        return subject.tokens.special.numbers if asked == SPECIAL else frozenset()
    return frozenset(token_number(subject, each) for each in asked)


def token_number(subject: Subject, token: str | int) -> int:
    """A token's number, which a text gives by naming the token or by being one token."""
    if isinstance(token, int):
        size = len(subject.vocabulary())
        if not 0 <= token < size:
            raise BadSettings(
                f"leave_out has the token {token}, and this subject's go from 0 to {size - 1}; give"
                " one of them"
            )
        return token
    added = {
        known.content: number
        for number, known in subject.tokens.tokenizer.get_added_tokens_decoder().items()
    }
    found = added.get(token, subject.tokens.tokenizer.token_to_id(token))
    numbers = [found] if found is not None else subject.encode(token)
    if len(numbers) != 1:
        raise BadSettings(
            f"leave_out has {token!r}, which is {len(numbers)} tokens to this subject; give a text"
            " that is one token, or a number"
        )
    return numbers[0]


def text_end_tokens(subject: Subject, left_out: frozenset[int]) -> frozenset[int]:
    """The left-out tokens that stand between two texts."""
    return subject.text_ends & left_out


def text_end_pattern(subject: Subject, left_out: frozenset[int]) -> re.Pattern[str] | None:
    """How these are written in text, as far as the tokenizer reads that as the token; None where
    there are none.
    """
    added = subject.tokens.tokenizer.get_added_tokens_decoder()
    written = [
        added[number].content
        for number in sorted(text_end_tokens(subject, left_out))
        if number in added
    ]
    read = [
        text
        for text in written
        if text_end_tokens(subject, left_out).intersection(subject.encode(text))
    ]
    return (
        re.compile("|".join(map(re.escape, sorted(read, key=len, reverse=True)))) if read else None
    )
