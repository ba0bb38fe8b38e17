"""How an endpoint wants to be asked: what it refuses by name is said otherwise, or left out, and
that is remembered.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
# names of one thing
LIMITS = (MAX_TOKENS, MAX_COMPLETION_TOKENS, "max_output_tokens", "max_new_tokens")
LOGPROBS, ALTERNATIVES = "logprobs", "top_logprobs"
TEMPERATURE, TOP_P, FORMAT, MESSAGES = "temperature", "top_p", "response_format", "messages"
LEFT_OUT_TOGETHER: Mapping[str, tuple[str, ...]] = {LOGPROBS: (LOGPROBS, ALTERNATIVES)}
TEPID = 0.01  # for servers that want a temperature above 0
# statuses of requests that hold something which is not taken
REFUSES = frozenset({400, 403, 404, 405, 415, 422})
REFUSES_TURNS = REFUSES - {403} | {500, 501}  # some servers fall over their own chat template
MOST_WORDS = 2000  # characters of an error that are read

# whichever of its names was sent
LIMIT = re.compile(r"\bmax[_ -]?(?:(?:output|new|completion)[_ -]?)?tokens\b", re.IGNORECASE)
NAMED: Mapping[str, re.Pattern[str]] = {
    MAX_TOKENS: LIMIT,
    MAX_COMPLETION_TOKENS: LIMIT,
    TEMPERATURE: re.compile(r"temperature", re.IGNORECASE),
    TOP_P: re.compile(r"\btop_?p\b", re.IGNORECASE),
    LOGPROBS: re.compile(r"log[ _-]?prob", re.IGNORECASE),
    FORMAT: re.compile(
        r"response_?\s?(?:format|schema)|json[ _]?schema|structured.output|guided|grammar",
        re.IGNORECASE,
    ),
}
TURNS = re.compile(
    r"\broles?\b|alternat|raise_exception|developer instruction"
    r"|system[ _-](?:message|prompt|instruction|turn)"
    r"|(?:message|prompt|instruction|turn)s?\b.{0,40}\bsystem\b",
    re.IGNORECASE | re.DOTALL,
)
SYSTEM = re.compile(r"(?<![a-z])system(?![a-z])", re.IGNORECASE)
NUMBER = r"[^\d.;]{0,24}?(?<![\w.-])(\d[\d,]*)(?![\w-])"
AT_MOST = re.compile(
    r"(?:at most|<=|≤|less than or equal to|up to|maximum(?: value)?(?: of| is)?|exceeds?|more"
    r" than|limit(?: of| is)"
    rf"|between \d+ and|\[\s*\d+\s*,){NUMBER}",
    re.IGNORECASE,
)
AT_LEAST = re.compile(
    rf"(?:at least|>=|≥|greater than or equal to|minimum(?: value)?(?: of| is)?){NUMBER}",
    re.IGNORECASE,
)
WARM = re.compile(
    r"strictly positive|(?:greater|more|larger) than 0|above 0|> ?0|must be positive|\(0(?:\.0+)?,",
    re.IGNORECASE,
)
COLDEST = re.compile(
    r"(?:at least|>=|≥|(?:greater than or |(?<!or ))equal to|min(?:imum)?(?: value)?(?: of|"
    r" is|:)?|between|\[)[^\d.]{0,16}"
    r"(0?\.\d+|1(?:\.0+)?)(?![\d.])",
    re.IGNORECASE,
)
CONTEXT = re.compile(
    r"(?:context (?:length|size|window|limit)|inputs`? tokens \+"
    r" `?max_new_tokens`?)\D{0,24}(\d[\d,]*)",
    re.IGNORECASE,
)
GIVEN = re.compile(
    r"(\d[\d,]*)(?: tokens)? (?:in the (?:messages|input|prompt)|`?inputs?`? tokens|prompt"
    r" tokens|of text input)",
    re.IGNORECASE,
)
# An error where others answer that the tokens were used up.
OUT_OF_ROOM = re.compile("output limit was reached|could not finish the message", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Manner:
    """What differs from the plainest way to ask.

    Every lesson changes one field, so that there are few of them.
    """

    # what it calls the most tokens of an answer; "" where it takes no limit
    limit: str = MAX_TOKENS
    left_out: tuple[str, ...] = ()  # fields that it does not take
    # whether it takes system turns; otherwise their text opens the first turn of the user
    system: bool = True
    coldest: float = 0.0
    least_tokens: int = 1
    most_tokens: int = 0  # 0 where no bound is known
    most_alternatives: int = 0
    thinks: bool = False  # whether it was seen to think before it answers

    def apply(self, body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """A chat's request, plainly put, as this endpoint takes it.

        Fields of `extra` win, and nothing is said twice.
        """
        said = {name: value for name, value in body.items() if name not in self.left_out}
        if not self.system:
            said[MESSAGES] = fold_system_turns(said[MESSAGES])
        if TEMPERATURE in said:
            said[TEMPERATURE] = max(said[TEMPERATURE], self.coldest)
        if self.most_alternatives and ALTERNATIVES in said:
            said[ALTERNATIVES] = min(said[ALTERNATIVES], self.most_alternatives)
        limit = said.pop(MAX_TOKENS)
        if self.limit and not any(name in extra for name in LIMITS):
            wanted = max(limit, self.least_tokens)
            said[self.limit] = min(wanted, self.most_tokens or wanted)
        if extra.get(LOGPROBS) is False:
            said.pop(ALTERNATIVES, None)
        return said | dict(extra)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status that is an error, and what the server said with it."""

    status: int
    text: str
    headers: Mapping[str, str]


def learn_manner(
    manner: Manner,
    sent: Mapping[str, Any],
    extra: Mapping[str, Any],
    refusal: Refusal,
    enough: int = 1,
) -> Manner | None:
    """The manner that heeds a refusal of a request; None where it names nothing that can be said
    otherwise.

    `enough`: how many tokens an answer needs at least.
    """
    pointed, said = parse_error_body(refusal.text)
    if OUT_OF_ROOM.search(said):
        return None
    ours = (
        [name for name in NAMED if name in sent and name not in extra]
        if refusal.status in REFUSES
        else []
    )
    name = first_named_field(ours, pointed)
    if name is None and CONTEXT.search(said):
        name = manner.limit if manner.limit in ours else None
    elif name is None:
        systems = refusal.status in REFUSES_TURNS and any(
            turn["role"] == "system" for turn in sent[MESSAGES]
        )
        at_turns = MESSAGES in pointed and ("role" in pointed or "system" in pointed)
        if systems and (at_turns or TURNS.search(said)):
            return replace(manner, system=False)
        name = first_named_field(ours, said)
        if systems and name is None and SYSTEM.search(said) and refusal.status in REFUSES:
            return replace(manner, system=False)
    return None if name is None else change_field(manner, sent, name, said, enough)


def change_field(
    manner: Manner, sent: Mapping[str, Any], name: str, said: str, enough: int
) -> Manner | None:
    """The manner that says a field otherwise, or leaves it out."""
    if name == manner.limit:
        return change_limit(manner, sent[name], said, enough)
    if name == LOGPROBS:
        most, wanted = first_number(AT_MOST, said), sent.get(ALTERNATIVES, 0)
        if 0 < most < wanted:
            return replace(manner, most_alternatives=most)
    if name == TEMPERATURE and sent[name] == 0:
        if least := COLDEST.search(said):
            return replace(manner, coldest=float(least[1]))
        if WARM.search(said):
            return replace(manner, coldest=TEPID)
    return replace(manner, left_out=(*manner.left_out, *LEFT_OUT_TOGETHER.get(name, (name,))))


def change_limit(manner: Manner, sent: int, said: str, enough: int) -> Manner | None:
    """The manner with the limit's other bounds, or its other name; None where no answer would have
    room.
    """
    if context := first_number(CONTEXT, said):
        room = context - first_number(GIVEN, said)
        return replace(manner, most_tokens=room) if enough <= room < sent else None
    most, least = first_number(AT_MOST, said), first_number(AT_LEAST, said)
    if enough <= most < sent:
        return replace(manner, most_tokens=most)
    if least > sent:
        return replace(manner, least_tokens=least)
    return replace(manner, limit=MAX_COMPLETION_TOKENS if manner.limit == MAX_TOKENS else "")


def manner_guesses(manner: Manner) -> Iterator[Manner]:
    """Manners to try on an endpoint that refuses a plain chat and does not say why."""
    quiet = replace(manner, left_out=(*manner.left_out, LOGPROBS, ALTERNATIVES))
    newer = replace(manner, limit=MAX_COMPLETION_TOKENS, left_out=(*manner.left_out, TEMPERATURE))
    bare = replace(newer, left_out=(*quiet.left_out, TEMPERATURE, TOP_P), system=False)
    yield quiet
    yield replace(manner, limit=MAX_COMPLETION_TOKENS)
    yield replace(manner, left_out=(*manner.left_out, TEMPERATURE))
    yield replace(manner, system=False)
    yield newer
    yield replace(bare, system=True)
    yield replace(bare, limit=MAX_TOKENS)
    yield bare
    yield replace(bare, limit="")


def fold_system_turns(turns: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The turns with what the system says at the head of the user's next one, and with no role
    twice in a row.
    """
    found: list[dict[str, str]] = []
    for turn in turns:
        role = "user" if turn["role"] == "system" else turn["role"]
        if found and found[-1]["role"] == role:
            found[-1]["content"] += "\n\n" + turn["content"]
        else:
            found.append({"role": role, "content": turn["content"]})
    return found


def first_named_field(names: Sequence[str], text: str) -> str | None:
    """Which of these fields a text names first."""
    found = {name: match.start() for name in names if (match := NAMED[name].search(text))}
    return min(found, key=lambda name: found[name], default=None)


def first_number(pattern: re.Pattern[str], text: str) -> int:
    """The number that a pattern finds in a text; 0 where it finds none."""
    match = pattern.search(text)
    return int(match[1].replace(",", "")) if match else 0


POINTS = ("param", "parameter", "loc", "field")
# of the request itself, which may hold any word
REPEATS = ("input", "ctx", "body", "request", "url")


def parse_error_body(text: str) -> tuple[str, str]:
    """What an error points at, and what it says, without what it repeats of the request."""
    try:
        content = json.loads(text)
    except ValueError:
        return "", text[:MOST_WORDS]
    pointed: list[str] = []
    said: list[str] = []

    def read(value: Any, name: str) -> None:
        if name in POINTS and value is not None:
            pointed.append(".".join(map(str, value)) if isinstance(value, list) else str(value))
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key not in REPEATS:
                    read(inner, key)
        elif isinstance(value, list):
            for inner in value:
                read(inner, name)
        elif isinstance(value, str):
            said.append(value)

    read(content, "")
    return " ".join(pointed)[:MOST_WORDS], " ".join(said)[:MOST_WORDS]
