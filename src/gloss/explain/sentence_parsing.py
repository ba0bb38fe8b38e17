"""Reads the sentence that an explainer was asked for, in the ways in which models write it down."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from gloss.models.chat_models.prompts import Answer, Message
from gloss.models.chat_models.thoughts import strip_thoughts
from gloss.records import Examples, Explanation, Failure, Reason

KEYS = ("interpretation", "explanation")  # of an object that stands in for the tag
LEAD = r"^[ \t]*(?:[>#\-]+[ \t]*|\d+[.)][ \t]*)*"  # quotes, headings, items
TAG = re.compile(
    LEAD + r"(?P<open>[*_`]*)\s*[\[【]\s*interpretation\s*"
    r"(?:[\]】](?P<before>[\s_`]*\**)\s*(?:[:：=–—-]|(?=\s|\**$))"
    r"(?P<after>\**)|(?P<inside>[:：]))(?P<text>.*)$",
    re.IGNORECASE | re.MULTILINE,
)
BARE = re.compile(
    LEAD
    + r"(?P<open>[*_`]*)\s*(?:(?:the|my|final|revised|new|short|one-sentence)\s+)*interpretation"
    r"\s*(?P<before>[*_`]*)\s*"
    r"(?:(?:[:：]|[–—-](?=\s))(?P<after>\**)|(?=$))(?P<inside>(?!))?(?P<text>.*)$",
    re.IGNORECASE | re.MULTILINE,
)
ELEMENT = re.compile(r"<interpretation>(.*?)</interpretation>", re.IGNORECASE | re.DOTALL)
FENCE = re.compile(r"^\s*```")
ITEM = re.compile(r"^\s*(?:[-*>]\s+|\d+[.)]\s+)")
ENDS = re.compile(r"[.!?。！？][\s\"'”’»*_`)\]]*$")
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“"}
BOLD = ("**", "__")
PLACEHOLDER = re.compile(
    r"\W*(?:(?:insert |put |write )?(?:your |the |a |one )*(?:(?:short |single"
    r" )*sentence|explanation|interpretation|answer|text)"
    r"(?: here| goes here)?|n/?a|none|tbd|todo|\W*)\W*",
    re.IGNORECASE,
)
FEWEST_WORDS = 2  # of a stretch of the prompt that nobody says by chance


def parse_explanation(
    answer: Answer,
    examples: Examples,
    sha256: str,
    messages: Sequence[Message] = (),
    method: str = "max_activating",
) -> Explanation | Failure:
    """The explanation that an answer gives.

    `messages` is the prompt, whose own words are no answer.
    """
    if answer.text is None:
        assert answer.reason is not None
        return Failure(examples.feature, "explain", answer.reason, answer.detail)
    said = parse_sentence(answer.text, messages)
    if said is None:
        echoed = parse_sentence(answer.text) is not None
        fault = "the prompt's own words" if echoed else "no sentence after [interpretation]:"
        detail = f"{fault} in {answer.text[-200:]!r}"
        return Failure(examples.feature, "explain", Reason.UNPARSABLE, detail)
    return Explanation(examples.feature, said, method, prompt_hash=sha256)


def parse_sentence(text: str, messages: Sequence[Message] = ()) -> str | None:
    """The sentence that stands behind the last tag, or in the last object of JSON that has one;
    None where there is none.

    Thoughts do not count, nor does what the prompt itself says.
    """
    said = strip_thoughts(text).text
    if not said:
        return None
    for ways in (
        tagged_sentences(said, TAG),
        element_sentences(said),
        json_sentences(said),
        tagged_sentences(said, BARE),
    ):
        found = [one for one in ways if one and not PLACEHOLDER.fullmatch(one)]
        if found:
            return None if echoes_prompt(found[-1], messages) else found[-1]
    return None


def tagged_sentences(text: str, tag: re.Pattern[str]) -> Iterator[str]:
    """What stands behind each tag: on its line, going on where that does not end, or the first
    paragraph after it.
    """
    for found in tag.finditer(text):
        here, later = strip_decoration(found), text[found.end() :].splitlines()[1:]
        if here and (ENDS.search(here) or found["inside"]):
            yield strip_quotes(here)
            continue
        lines = [here] if here else []
        for line in later if here else skip_blank_lines(later):
            if (
                not line.strip()
                or FENCE.match(line)
                or TAG.match(line)
                or (ITEM.match(line) and lines)
            ):
                break
            lines.append(line.strip() if lines else ITEM.sub("", line).strip())
            if here and ENDS.search(line):
                break
        yield strip_quotes(" ".join(lines))


def skip_blank_lines(lines: Sequence[str]) -> Sequence[str]:
    """The lines from the first that says something."""
    first = next(
        (number for number, line in enumerate(lines) if line.strip() and not FENCE.match(line)),
        len(lines),
    )
    return lines[first:]


def strip_decoration(found: re.Match[str]) -> str:
    """The tagged text as it was written.

    Only bold face that began before the tag and is closed at the end is taken off.
    """
    opened, text = found["open"], found["text"]
    if found["inside"]:
        return (
            text.strip().removesuffix(opened).rstrip().removesuffix("]").removesuffix("】").strip()
        )
    closed_before, closed_after = (found["before"] or "").strip(), found["after"] or ""
    if opened and not closed_before and not closed_after:
        text = text.strip().removesuffix(opened)
    if closed_after and not opened:
        text = closed_after + text  # it belongs to the text, as in **kwargs
    return text.strip()


def strip_quotes(text: str) -> str:
    """The text without quotes or bold face around the whole of it."""
    text = text.strip()
    for mark in BOLD:
        if (
            len(text) > 2 * len(mark)
            and text.startswith(mark)
            and text.endswith(mark)
            and text.count(mark) == 2
            and " " in text
        ):
            text = text.removeprefix(mark).removesuffix(mark).strip()
    return text[1:-1].strip() if len(text) > 2 and is_enclosed(text) else text


def is_enclosed(text: str) -> bool:
    """Whether the quote that a text begins with is closed by its last character and not before."""
    closing = QUOTES.get(text[0])
    if closing is None or text[-1] != closing:
        return False
    if closing == text[0]:
        return closing not in text[1:-1]
    steps = accumulate((one == text[0]) - (one == closing) for one in text)
    return [at for at, depth in enumerate(steps) if depth == 0] == [len(text) - 1]


def element_sentences(text: str) -> Iterator[str]:
    """What stands in elements of that name."""
    for found in ELEMENT.finditer(text):
        yield strip_quotes(" ".join(found[1].split()))


def json_sentences(text: str) -> Iterator[str]:
    """What objects of JSON say under one of the keys."""
    decoder, at = json.JSONDecoder(strict=False), text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end = at + 1
        else:
            yield from sentences_in_value(value)
        at = text.find("{", end)


def sentences_in_value(value: Any) -> Iterator[str]:
    """What an object, or one in it, says under one of the keys."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if str(key).strip("[] ").lower() in KEYS and isinstance(inner, str):
                yield strip_quotes(inner)
            else:
                yield from sentences_in_value(inner)


def echoes_prompt(said: str, messages: Sequence[Message]) -> bool:
    """Whether the prompt says the same, in its instructions or as an example of an answer."""
    words = said.lower().split()
    told = [" ".join(one.text.lower().split()) for one in messages if one.role == "system"]
    answers = [parse_sentence(one.text) for one in messages if one.role == "assistant"]
    same = " ".join(words)
    return (len(words) >= FEWEST_WORDS and any(same in one for one in told)) or any(
        one is not None and " ".join(one.lower().split()) == same for one in answers
    )
