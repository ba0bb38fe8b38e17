"""JSON in what a language model writes, whatever stands around it."""

import json
from collections.abc import Iterator
from typing import Any


def json_values(text: str) -> Iterator[Any]:
    """Every outermost object or list of JSON in a text.

    >>> list(json_values('Here: {"a": [1]} and [2], {not json}'))
    [{'a': [1]}, [2]]
    """
    decoder, place = json.JSONDecoder(strict=False), 0
    while place < len(text):
        if text[place] in "{[":
            try:
                value, place = decoder.raw_decode(text, place)
            except (json.JSONDecodeError, RecursionError):
                place += 1
                continue
            yield value
        else:
            place += 1
